"""A quick check of every video of a catalog before the first training step."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mixtconv._names import first_few
from mixtconv._types import Progress
from mixtconv.data.checking.run import check_videos
from mixtconv.data.checking.video import VideoToCheck
from mixtconv.data.datasets.catalog import VideoCatalog
from mixtconv.models.spec import Modality
from mixtconv.video.pictures import Unreadable

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
    videos = [VideoToCheck(path, min_frames=1, modality=modality, quick=True) for path in paths]
    checked = check_videos(videos, workers=workers, progress=progress)
    reasons = {path: video.faults[0].reason for path, video in checked.items() if video.faults}
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
