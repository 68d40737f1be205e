"""A quick check of every video of a catalog before the first training step."""

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass

from mixtconv._names import first_few
from mixtconv._types import Progress
from mixtconv.data.class_sizes import size_notes
from mixtconv.data.datasets.catalog import VideoCatalog
from mixtconv.data.listing import VideoSample, labels_of
from mixtconv.data.modality import probe_for
from mixtconv.data.parallel import in_parallel, usable_cores
from mixtconv.models.spec import SNIPPETS, Modality
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
    wanted: dict[Video, tuple[_Reading, ...]] = {}
    further = _further(modality, others or {})
    for samples, also in ((catalog.train, further), (catalog.val, ())):
        for video in (sample.video for sample in samples):
            own = () if video in known else (_Reading(modality),)
            readings = [each for each in (*own, *also) if not _is_seen(video, each.modality)]
            if readings and video not in wanted:
                wanted[video] = tuple(readings)
    paths = list(wanted)
    reasons: dict[Video, str] = {}
    beyond: set[Video] = set()

    def find_fault(video: Video) -> tuple[str | None, bool]:
        return _find_fault(video, wanted[video])

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


@dataclass(frozen=True)
class _Reading:
    """What is read of a video."""

    modality: Modality | None
    whose: str | None = None
    """Who reads it beside the model of the catalog."""


_OPENED: dict[Modality | None, frozenset[str]] = {
    **dict.fromkeys(SNIPPETS, frozenset({"pictures"})),
    None: frozenset(),
    "flow": frozenset({"flow"}),
    "rgbflow": frozenset({"pictures", "flow"}),
}
"""What `probe_for` opens of a video in a modality."""


def _further(modality: Modality | None, others: Mapping[Modality, str]) -> tuple[_Reading, ...]:
    """Those of other modalities that open what nothing before them has opened."""
    opened, found = _OPENED[modality], []
    for other, whose in others.items():
        if not _OPENED[other] <= opened:
            found.append(_Reading(other, whose))
            opened |= _OPENED[other]
    return tuple(found)


def _is_seen(video: Video, modality: Modality | None) -> bool:
    """Whether a dataset has given the frames of a video before, and these are all that is read."""
    is_known = isinstance(video, DatasetVideo) and video.is_known
    return is_known and modality not in ("flow", "rgbflow")


def _find_fault(video: Video, readings: Sequence[_Reading]) -> tuple[str | None, bool]:
    """Why no frame of a video can be read, None if its first one can; whether it goes too far."""
    for reading in readings:
        try:
            with as_unreadable(recording_of(video)):
                probe_for(video, reading.modality)
                is_beyond = isinstance(video, Segment) and not Recording(video.path).reaches(
                    video.span
                )
        except UnreadableVideoError as error:
            reason = error.reason_in(video)
            if reading.whose is not None:
                reason = f"{reading.whose} takes {reading.modality}: {reason}"
            return reason, False
    return None, is_beyond
