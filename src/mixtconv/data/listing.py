"""What a layout of videos on disk says: which videos, of which class, in which split.

What the user names as data: a folder, a CSV, or a known dataset by its name.

Which videos are held out for validation where the data do not say.

Names by which a video is the same one as a file, as pictures and as optical flow.
"""

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
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


def hold_out(names: Iterable[str], fraction: float) -> frozenset[str]:
    """Choose about `fraction` of the names by a hash of each name.

    A name is chosen or not by itself alone, so adding or removing others moves none, and neither
    the machine nor the order matters. One exception: of two names or more at least one is chosen
    and one is not; where the hash would not have it so, the lowest or the highest hash gives way.

    >>> sorted(hold_out(["a.mp4", "b.mp4", "c.mp4"], 0.3))
    ['c.mp4']
    """
    places = {name: _place(name) for name in names}
    chosen = {name for name, place in places.items() if place < fraction}
    if len(places) < 2:
        return frozenset()
    if not chosen:
        chosen = {min(places, key=places.__getitem__)}
    if len(chosen) == len(places):
        chosen.remove(max(places, key=places.__getitem__))
    return frozenset(chosen)


def _place(name: str) -> float:
    """A number in [0, 1) from a name; file systems differ in how they compose accents."""
    text = unicodedata.normalize("NFC", name).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64


def video_keys(videos: Sequence[ListedVideo]) -> tuple[str, ...]:
    """Give each of some videos a name of its own.

    It is the name inside the data, without a video's suffix, since a folder of pictures has none.
    Where several videos come to the same name, theirs keep the suffix, then get the split in front,
    then a number behind.

    >>> from pathlib import Path
    >>> names = ["jump/a.mp4", "jump/b.mp4", "jump/b.avi"]
    >>> video_keys([ListedVideo(Path(name), "jump", None, name) for name in names])
    ('jump/a', 'jump/b.mp4', 'jump/b.avi')
    """
    numbers: Counter[str] = Counter()
    numbered = []
    for video in videos:
        name = _with_split(video)
        numbers[name] += 1
        numbered.append(f"{name}#{numbers[name]}")
    keys = [_without_suffix(video.key) for video in videos]
    for longer in ([video.key for video in videos], [_with_split(v) for v in videos], numbered):
        times = Counter(keys)
        keys = [key if times[key] == 1 else more for key, more in zip(keys, longer, strict=True)]
    return tuple(keys)


def _without_suffix(name: str) -> str:
    from mixtconv.video.reader import VIDEO_SUFFIXES  # noqa: PLC0415 (--help does without NumPy)

    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in VIDEO_SUFFIXES else name


def _with_split(video: ListedVideo) -> str:
    return f"{video.split}/{video.key}" if video.split else video.key
