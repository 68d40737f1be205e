"""What a report of training runs can be told; nothing heavy is imported, as `--help` reads it.

The settings of a training run whose first batch is drawn: the flags of `mixtconv train`.
"""

from dataclasses import dataclass

from mixtconv.data.listing import ClassOrder
from mixtconv.training.settings import TrainingSettings


@dataclass(frozen=True)
class ReportData:
    """The videos of a report, where they are not those that the runs were trained with."""

    data: str | None = None
    """Folder of class folders, CSV of path and label, or with --root the name of a known dataset;
    default what the runs were trained with, and of that, without --split, what they held out."""
    root: str | None = None
    """Folder of the known dataset, in the layout in which it is distributed."""
    official_split: int = 1
    """Which of the dataset's splits, where it has several: 1, 2 or 3 of ucf101 and hmdb51."""
    class_order: ClassOrder = "published"
    """Order of a known dataset's classes: as in published weights, as in the file of labels that
    comes with it, or alphabetical."""


@dataclass(frozen=True)
class ReportScale:
    """How much of everything stands on the page."""

    more_protocols: list[str] | None = None
    """Further views of every video to score by, for a table of their own, such as [1x10,10x3]."""
    num_examples: int = 8
    """Clips that are shown with their frames: first those on which the models differ or err."""
    max_clips: int = 2000
    """Clips on the maps of features; of more videos so many are chosen by chance; 0 leaves the maps
    out."""

    def __post_init__(self) -> None:
        for name in ("num_examples", "max_clips"):
            if getattr(self, name) < 0:
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag} is {getattr(self, name)}; give 0 or more")


@dataclass(frozen=True)
class SampleSettings(TrainingSettings):
    """Settings of a training run, of which nothing but a picture is made."""

    out: str = "sample.png"
    """File of the picture, .png or .svg; one that is there is replaced."""
