"""What the user names as data: a folder, a CSV, or a known dataset by its name."""

from dataclasses import dataclass
from typing import Literal

ClassOrder = Literal["published", "distributed", "alphabetical"]


@dataclass(frozen=True)
class DataSource:
    """The data of a command."""

    data: str
    """Folder of class folders (with or without train/ and val/), CSV of path and label, or with
    --root the name of a known dataset: something_v1, something_v2, jester, ucf101, hmdb51,
    kinetics400."""
    root: str | None = None
    """Folder of the known dataset, in the layout in which it is distributed."""
    official_split: int = 1
    """Which of the dataset's splits, where it has several: 1, 2 or 3 of ucf101 and hmdb51."""
    class_order: ClassOrder = "published"
    """Order of a known dataset's classes: as in published weights, as in the file of labels that
    comes with it, or alphabetical."""

    def __post_init__(self) -> None:
        if self.official_split not in (1, 2, 3):
            raise ValueError(f"--official-split is {self.official_split}; give 1, 2 or 3")
