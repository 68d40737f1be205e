"""A quick check of every video of a catalog before the first training step."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from mixtconv._names import first_few
from mixtconv._types import Progress
from mixtconv.data.class_sizes import size_notes
from mixtconv.data.datasets.catalog import VideoCatalog
from mixtconv.data.listing import VideoSample, labels_of
from mixtconv.data.modality import probe_for
from mixtconv.data.parallel import in_parallel, usable_cores
from mixtconv.models.spec import Modality
from mixtconv.video.opening import as_unreadable
from mixtconv.video.pictures import Unreadable, UnreadableVideoError
from mixtconv.video.segment import DatasetVideo, Segment, Video, recording_of
from mixtconv.video.segment_frames import Recording

_MUCH_MORE = 10.0


@dataclass(frozen=True)
class CatalogReport:
    """What opening every video of a catalog found."""

    catalog: VideoCatalog
    """The catalog."""
    unreadable: tuple[Unreadable, ...]
    """Videos that cannot be read, in the order of the catalog."""
    beyond: tuple[Segment, ...] = ()
    """Segments that go on after the end of their recording, where they are cut off."""

    def count_readable(self, samples: Iterable[VideoSample]) -> dict[str, int]:
        """The number of readable videos of each class among samples of the catalog."""
        bad = {video.path for video in self.unreadable}
        readable = [sample for sample in samples if sample.video not in bad]
        counts = Counter(label for sample in readable for label in labels_of(sample.label))
        return {name: counts[label] for label, name in enumerate(self.catalog.classes)}

    def warnings(self) -> tuple[str, ...]:
        """What the user should know before training, a sentence each; empty if all is well."""
        train = self.count_readable(self.catalog.train)
        val = self.count_readable(self.catalog.val)
        files = [f"{video.path} ({video.reason})" for video in self.unreadable]
        lists: dict[str, Sequence[object]] = {
            "unreadable videos": files,
            "segments that end after their recording, and with it": self.beyond,
            "not taken as videos": self.catalog.ignored,
            "classes without training videos": [name for name in train if not train[name]],
        }
        if self.catalog.val:  # else nothing is held out
            missing = [name for name in val if not val[name]]
            lists["classes without validation videos"] = missing
        sentences = [
            f"{what}, {len(items)}: {first_few(items)}" for what, items in lists.items() if items
        ]
        trained = [count for count in train.values() if count]
        if trained and (ratio := max(trained) / min(trained)) >= _MUCH_MORE:
            sentences.append(
                f"the largest class has {ratio:.0f} times the videos of the smallest (--balance "
                "draws or weighs them evenly)"
            )
        sentences += size_notes(val)
        return (*sentences, *self.catalog.notes)


def check_catalog(
    catalog: VideoCatalog,
    *,
    modality: Modality | None = None,
    others: Mapping[Modality, str] | None = None,
    known: Container[Video] = (),
    workers: int | None = None,
    progress: Progress | None = None,
) -> CatalogReport:
    """Open every video of a catalog and count what can be read.

    Args:
        catalog: from `load_catalog`.
        modality: what a model sees of them; those of another modality are unreadable. By default
            each may be a video or its optical flow.
        others: further modalities in which the training videos are read, each with who does, such
            as `the teacher large`.
        known: videos that are known to be readable in the modality, and not opened for it.
        workers: threads; by default one per core.
        progress: called in this thread with the videos done and the videos in all.
    """
    samples = (*catalog.train, *catalog.val)
    videos = dict.fromkeys(sample.video for sample in samples)
    paths = [video for video in videos if video not in known and not _is_seen(video, modality)]
    find_fault = partial(_find_fault, modality=modality)
    reasons: dict[Video, str] = {}
    beyond: set[Video] = set()
    # Closed at once by Ctrl-C, so that it does not wait for the whole queue.
    with closing(in_parallel(paths, find_fault, workers=workers or usable_cores())) as outcomes:
        for done, (path, outcome) in enumerate(outcomes, 1):
            reason, is_beyond = outcome.result()
            if reason is not None:
                reasons[path] = reason
            if is_beyond:
                beyond.add(path)
            if progress is not None:
                progress(done, len(paths))
    unreadable = tuple(Unreadable(path, reasons[path]) for path in paths if path in reasons)
    late = tuple(path for path in paths if path in beyond and isinstance(path, Segment))
    return CatalogReport(catalog, unreadable, late)


def _is_seen(video: Video, modality: Modality | None) -> bool:
    """Whether a dataset has given the frames of a video before, and these are all that is read."""
    is_known = isinstance(video, DatasetVideo) and video.is_known
    return is_known and modality not in ("flow", "rgbflow")


def _find_fault(video: Video, modality: Modality | None) -> tuple[str | None, bool]:
    """Why no frame of a video can be read, None if its first one can; whether it goes too far."""
    try:
        with as_unreadable(recording_of(video)):
            probe_for(video, modality)
            if not isinstance(video, Segment):
                return None, False
            return None, not Recording(video.path).reaches(video.span)
    except UnreadableVideoError as error:
        return error.reason_in(video), False
