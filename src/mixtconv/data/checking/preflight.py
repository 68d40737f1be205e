"""A quick check of every video of a catalog before the first training step."""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mixtconv._names import first_few
from mixtconv._types import Progress
from mixtconv.data.datasets.catalog import VideoCatalog
from mixtconv.data.modality import probe_for
from mixtconv.data.parallel import in_parallel, usable_cores
from mixtconv.data.preparation.encoding import as_unreadable
from mixtconv.models.spec import Modality
from mixtconv.video.pictures import Unreadable, UnreadableVideoError

_MUCH_MORE = 10.0


@dataclass(frozen=True)
class ClassCount:
    """Readable videos of one class."""

    name: str
    """Class name."""
    train: int
    """Videos to train on."""
    val: int
    """Videos to validate on."""


@dataclass(frozen=True)
class CatalogReport:
    """What opening every video of a catalog found."""

    counts: tuple[ClassCount, ...]
    """Readable videos of each class, in the order of labels."""
    unreadable: tuple[Unreadable, ...]
    """Videos that cannot be read, in the order of the catalog."""
    ignored: tuple[Path, ...]
    """Files and folders in the source that are not used."""
    notes: tuple[str, ...]
    """The catalog's notes."""

    @property
    def without_train(self) -> tuple[str, ...]:
        """Classes without a readable video to train on."""
        return tuple(count.name for count in self.counts if count.train == 0)

    @property
    def without_val(self) -> tuple[str, ...]:
        """Classes without a readable video to validate on."""
        return tuple(count.name for count in self.counts if count.val == 0)

    @property
    def imbalance(self) -> float:
        """Training videos of the largest class for each one of the smallest that has any."""
        trained = [count.train for count in self.counts if count.train > 0]
        return max(trained) / min(trained) if trained else 1.0

    def warnings(self) -> tuple[str, ...]:
        """What the user should know before training, a sentence each; empty if all is well."""
        sentences = []
        if self.unreadable:
            files = [f"{video.path} ({video.reason})" for video in self.unreadable]
            sentences.append(f"unreadable videos, {len(files)}: {first_few(files)}")
        if self.ignored:
            sentences.append(f"not taken as videos, {len(self.ignored)}: {first_few(self.ignored)}")
        for split, names in (("training", self.without_train), ("validation", self.without_val)):
            if names:
                sentences.append(
                    f"classes without {split} videos, {len(names)}: {first_few(names)}"
                )
        if self.imbalance >= _MUCH_MORE:
            sentences.append(
                f"the largest class has {self.imbalance:.0f} times the videos of the smallest"
            )
        return (*sentences, *self.notes)


def check_catalog(
    catalog: VideoCatalog,
    *,
    modality: Modality | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> CatalogReport:
    """Open every video of a catalog and count what can be read.

    Args:
        catalog: from `load_catalog`.
        modality: what a model sees of them; those of another modality are unreadable. By default
            each may be a video or its optical flow.
        workers: threads; by default one per core.
        progress: called in this thread with the videos done and the videos in all.
    """
    paths = list(dict.fromkeys(sample.path for sample in (*catalog.train, *catalog.val)))
    find_fault = partial(_find_fault, modality=modality)
    reasons: dict[Path, str] = {}
    # Closed at once by Ctrl-C, so that it does not wait for the whole queue.
    with closing(in_parallel(paths, find_fault, workers=workers or usable_cores())) as outcomes:
        for done, (path, outcome) in enumerate(outcomes, 1):
            if (reason := outcome.result()) is not None:
                reasons[path] = reason
            if progress is not None:
                progress(done, len(paths))
    train, val = (
        Counter(sample.label for sample in samples if sample.path not in reasons)
        for samples in (catalog.train, catalog.val)
    )
    return CatalogReport(
        tuple(
            ClassCount(name, train[label], val[label]) for label, name in enumerate(catalog.classes)
        ),
        tuple(Unreadable(path, reasons[path]) for path in paths if path in reasons),
        catalog.ignored,
        catalog.notes,
    )


def _find_fault(path: Path, modality: Modality | None) -> str | None:
    """Why no frame of a video can be read; None if its first one can."""
    try:
        with as_unreadable(path):
            probe_for(path, modality)
    except UnreadableVideoError as error:
        return error.reason_in(path)
    return None
