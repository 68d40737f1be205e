"""What a layout of videos on disk says: which videos, of which class, in which split."""

from collections.abc import Sequence
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


@dataclass(frozen=True)
class VideoListing:
    """All videos of a folder or a CSV."""

    source: Path
    """The folder or the CSV."""
    videos: tuple[ListedVideo, ...]
    """The videos, in an order that does not depend on the machine."""
    ignored: tuple[Path, ...] = ()
    """Files and folders in the source that were not taken, hidden ones left out."""
    notes: tuple[str, ...] = ()
    """Sentences that the user should read."""


def first_few(items: Sequence[object], *, count: int = 3, separator: str = ", ") -> str:
    """Write the first few items, and how many more there are.

    >>> first_few(["a", "b", "c", "d"], count=2)
    'a, b and 2 more'
    """
    more = len(items) - count
    text = separator.join(str(item) for item in items[:count])
    return f"{text} and {more} more" if more > 0 else text


def count_of(number: int, thing: str) -> str:
    """Write a number of things.

    >>> count_of(1, "line"), count_of(2, "class")
    ('1 line', '2 classes')
    """
    plural = thing + ("es" if thing.endswith("s") else "s")
    return f"{number} {thing if number == 1 else plural}"
