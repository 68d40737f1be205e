"""A quick check of every video of a catalog before the first training step."""

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mixtconv._names import first_few
from mixtconv._types import Progress
from mixtconv.data.datasets.catalog import VideoCatalog
from mixtconv.data.listing import VideoSample
from mixtconv.data.modality import probe_for
from mixtconv.data.parallel import in_parallel, usable_cores
from mixtconv.models.spec import Modality
from mixtconv.video.opening import as_unreadable
from mixtconv.video.pictures import Unreadable, UnreadableVideoError

_MUCH_MORE = 10.0


@dataclass(frozen=True)
class CatalogReport:
    """What opening every video of a catalog found."""

    catalog: VideoCatalog
    """The catalog."""
    unreadable: tuple[Unreadable, ...]
    """Videos that cannot be read, in the order of the catalog."""

    def count_readable(self, samples: Iterable[VideoSample]) -> dict[str, int]:
        """The number of readable videos of each class among samples of the catalog."""
        bad = {video.path for video in self.unreadable}
        counts = Counter(sample.label for sample in samples if sample.path not in bad)
        return {name: counts[label] for label, name in enumerate(self.catalog.classes)}

    def warnings(self) -> tuple[str, ...]:
        """What the user should know before training, a sentence each; empty if all is well."""
        train = self.count_readable(self.catalog.train)
        val = self.count_readable(self.catalog.val)
        files = [f"{video.path} ({video.reason})" for video in self.unreadable]
        lists: dict[str, Sequence[object]] = {
            "unreadable videos": files,
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
            sentences.append(f"the largest class has {ratio:.0f} times the videos of the smallest")
        return (*sentences, *self.catalog.notes)


def check_catalog(
    catalog: VideoCatalog,
    *,
    modality: Modality | None = None,
    known: Container[Path] = (),
    workers: int | None = None,
    progress: Progress | None = None,
) -> CatalogReport:
    """Open every video of a catalog and count what can be read.

    Args:
        catalog: from `load_catalog`.
        modality: what a model sees of them; those of another modality are unreadable. By default
            each may be a video or its optical flow.
        known: videos that are known to be readable, and not opened.
        workers: threads; by default one per core.
        progress: called in this thread with the videos done and the videos in all.
    """
    samples = (*catalog.train, *catalog.val)
    paths = list(dict.fromkeys(item.path for item in samples if item.path not in known))
    find_fault = partial(_find_fault, modality=modality)
    reasons: dict[Path, str] = {}
    # Closed at once by Ctrl-C, so that it does not wait for the whole queue.
    with closing(in_parallel(paths, find_fault, workers=workers or usable_cores())) as outcomes:
        for done, (path, outcome) in enumerate(outcomes, 1):
            if (reason := outcome.result()) is not None:
                reasons[path] = reason
            if progress is not None:
                progress(done, len(paths))
    unreadable = tuple(Unreadable(path, reasons[path]) for path in paths if path in reasons)
    return CatalogReport(catalog, unreadable)


def _find_fault(path: Path, modality: Modality | None) -> str | None:
    """Why no frame of a video can be read; None if its first one can."""
    try:
        with as_unreadable(path):
            probe_for(path, modality)
    except UnreadableVideoError as error:
        return error.reason_in(path)
    return None
