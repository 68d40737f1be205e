"""Settings of reports and of the picture of samples: each field is a flag.

Neither torch nor NumPy is imported, as `--help` reads the fields.
"""

from dataclasses import dataclass

from mixtconv._names import refuse_below
from mixtconv.data.listing import DataSource
from mixtconv.training.settings import TrainingSettings


@dataclass(frozen=True)
class ReportData(DataSource):
    """Dataset of the report."""

    data: str | None = None  # type: ignore[assignment]
    """Folder of class folders, CSV of path and label, or with --root the name of a known dataset;
    default what the runs were trained with, and of that, without --split, what they held out."""


@dataclass(frozen=True)
class ReportScale:
    """Content of the page.

    Raises:
        ValueError: a negative number.
    """

    more_protocols: list[str] | None = None
    """Further views of every video to score by, for a table of their own, such as [1x10,10x3]."""
    num_examples: int = 8
    """Clips that are shown with their frames: first those on which the models differ or err."""
    max_clips: int = 2000
    """Clips on the maps of features; of more videos so many are chosen by chance; 0 leaves the maps
    out."""

    def __post_init__(self) -> None:
        refuse_below(0, self, "num_examples", "max_clips")


@dataclass(frozen=True)
class SampleSettings(TrainingSettings):
    """Picture of the first training batch; takes the flags of `mixtconv train`."""

    out: str = "sample.png"
    """File of the picture, .png or .svg; one that is there is replaced."""
