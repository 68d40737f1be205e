"""What a layout of videos on disk says: which videos, of which class, in which split."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Split = Literal["train", "val", "test"]

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
"""Names of folders, and words in a CSV, that mean a split; earlier ones win."""


@dataclass(frozen=True, slots=True)
class ListPlace:
    """Where a list says something.

    >>> str(ListPlace("train.csv", 12)), str(ListPlace("train.json", 3, "entry"))
    ('train.csv:12', 'train.json, entry 3')
    """

    file: str
    """Name of the list."""
    line: int
    """Number of the line, or of the entry, from 1."""
    unit: Literal["line", "entry"] = "line"
    """What is counted: a JSON file has entries."""

    def __str__(self) -> str:
        if self.unit == "line":
            return f"{self.file}:{self.line}"
        return f"{self.file}, {self.unit} {self.line}"


@dataclass(frozen=True)
class ListedVideo:
    """One video as the layout gives it."""

    path: Path
    """The video: a file or a folder of pictures."""
    class_name: str
    """Name of its class."""
    split: Split | None
    """Split that the layout puts it in; None where it says nothing of splits."""
    key: str
    """Its name inside the data, the same on every machine; the split rule hashes it."""
    place: ListPlace | None = None
    """Where a list names it; None in a folder of class folders."""


ListFaultKind = Literal["missing", "mislabelled", "malformed"]
"""A video that is not there, a label that cannot be, or a line that says neither."""


@dataclass(frozen=True)
class ListedFault:
    """An entry of the data that cannot be used as it stands."""

    video: str
    """The entry: a path, or a video's name in a list."""
    reason: str
    """What is wrong with it, and where it says so."""
    kind: ListFaultKind
    """What sort of fault it is."""
    class_name: str | None = None
    """The label that the entry gives."""
    split: Split | None = None
    """The split that the entry is of."""
    place: ListPlace | None = None
    """Where the entry stands."""


@dataclass(frozen=True)
class VideoListing:
    """All videos of a folder, a CSV or a known dataset."""

    source: Path
    """The folder, the CSV, or the folder of the known dataset."""
    videos: tuple[ListedVideo, ...]
    """The videos, in an order that does not depend on the machine."""
    ignored: tuple[Path, ...] = ()
    """Files and folders in the source that were not taken, hidden ones left out."""
    notes: tuple[str, ...] = ()
    """Sentences that the user should read."""
    classes: tuple[str, ...] | None = None
    """All class names in the order of labels, where the data say so; they may lack videos."""
    faults: tuple[ListedFault, ...] = ()
    """Entries for which nobody may train or score before they are mended."""
    absent: tuple[ListedFault, ...] = ()
    """Entries whose video is not there, where that is to be expected (Kinetics)."""
    lists: tuple[Path, ...] = ()
    """The files of labels and of all splits that lie beside those read."""
