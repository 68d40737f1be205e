"""The folders of a known dataset: where its lists are, and its videos by name.

`find_lists` finds the folder of the lists below the one that the user gave, `folders_near` the
folders that may hold the videos. `VideoIndex` finds a video by its name, from one listing of each
folder. The lists name a video with the suffix in which it was distributed, or with none. A copy may
hold another form of it (prepared, or as a folder of pictures), so names are compared without the
suffix of a video, and in composed form (NFC), whichever way their accents are encoded.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixtconv._names import first_few
from mixtconv.video.find import VIDEO_SUFFIXES, natural_order


class VideoIndex:
    """Videos by name without suffix; folders count as videos, whatever is in them.

    Args:
        any_case: whether a name that is not found is looked up regardless of case.
    """

    def __init__(self, *, any_case: bool = False) -> None:
        self._paths: dict[str, str] = {}
        self._in_any_case: dict[str, str] | None = None
        self._any_case = any_case

    def add_folder(self, folder: Path, *, prefix: str = "") -> None:
        """Add the videos in a folder as `prefix` + name; names that are known already stay."""
        for entry in visible_entries(folder):
            stem = strip_suffix(entry.name)
            if is_folder(entry):
                self._paths.setdefault(_composed(prefix + entry.name), entry.path)
            if stem != entry.name:  # a file, or a folder that keeps the name of a file
                self._paths.setdefault(_composed(prefix + stem), entry.path)

    def add_class_folders(self, folder: Path) -> None:
        """Add the videos in the folders of a folder as `folder/name`."""
        for inner in subfolders(folder):
            self.add_folder(inner, prefix=f"{inner.name}/")

    def find(self, name: str) -> Path | None:
        """The video of a name, with or without suffix."""
        key = _composed(strip_suffix(name))
        path = self._paths.get(key)
        if path is None and self._any_case:
            if self._in_any_case is None:
                self._in_any_case = {known.casefold(): path for known, path in self._paths.items()}
            path = self._in_any_case.get(key.casefold())
        return None if path is None else Path(path)


def index_of(folders: Iterable[Path]) -> VideoIndex:
    """The videos directly in folders; of equal names the first wins."""
    index = VideoIndex()
    for folder in folders:
        index.add_folder(folder)
    return index


def strip_suffix(name: str) -> str:
    """A name without the suffix of a video; other suffixes stay.

    >>> strip_suffix("v_Archery_g01_c01.AVI"), strip_suffix("mr.bean")
    ('v_Archery_g01_c01', 'mr.bean')
    """
    stem, dot, suffix = name.rpartition(".")
    return stem if f".{suffix.lower()}" in VIDEO_SUFFIXES and dot and stem else name


def _composed(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


MAX_SUBFOLDERS = 64
"""A folder with more folders than this holds videos, so these are not searched for lists."""

_LIST_SUFFIXES = (".csv", ".json", ".txt")

Patterns = Mapping[str, Sequence[str]]
"""Role of a list (`train`) -> patterns of its name, the more common first."""


@dataclass(frozen=True)
class FoundLists:
    """The lists of a dataset, all in one folder."""

    folder: Path
    """The folder."""
    files: Mapping[str, Path]
    """Role of a list -> the file; only those that exist."""


def visible_entries(folder: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder by name, without hidden ones; none if it is not a folder."""
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(visible, key=lambda entry: entry.name)


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder or a link to one; a link to itself is not."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder."""
    return [Path(entry.path) for entry in visible_entries(folder) if is_folder(entry)]


def find_lists(
    root: Path, patterns: Patterns, *, needed: Sequence[str], inner: Sequence[str] = ()
) -> FoundLists | None:
    """Find the folder with most of the needed lists: `root`, one in it, or an `inner` of these.

    The case of names does not matter.

    Args:
        root: the folder that the user gave.
        patterns: the names of the lists.
        needed: the lists of which at least one must exist.
        inner: names of folders in which lists are distributed.
    """
    below = subfolders(root)
    below = below if len(below) <= MAX_SUBFOLDERS else [root / name for name in inner]
    deeper = [folder / name for folder in below for name in inner]
    best: FoundLists | None = None
    most = 0
    for folder in (root, *below, *deeper):
        files = _match(folder, patterns)
        number = sum(name in files for name in needed)
        if number > most:
            best, most = FoundLists(folder, files), number
    return best


def named_like(folder: Path, pattern: str) -> tuple[Path, ...]:
    """The lists in a folder whose whole name matches a pattern, in any case; by name."""
    names = [
        entry.name
        for entry in visible_entries(folder)
        if entry.name.lower().endswith(_LIST_SUFFIXES)
    ]
    return tuple(folder / name for name in names if re.fullmatch(pattern, name, re.IGNORECASE))


def _match(folder: Path, patterns: Patterns) -> dict[str, Path]:
    try:
        with os.scandir(folder) as entries:
            # By suffix first: the folder may be that of 200,000 videos.
            names = sorted(e.name for e in entries if e.name.lower().endswith(_LIST_SUFFIXES))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    files = {}
    for role, choices in patterns.items():
        for choice in choices:
            matching = [name for name in names if re.fullmatch(choice, name, re.IGNORECASE)]
            if matching:
                files[role] = folder / matching[0]
                break
    return files


def lists_not_found(
    root: Path, *, title: str, lists: str, videos: str, outer: FoundLists | None
) -> ValueError:
    """The error for a folder without the lists of a dataset.

    Args:
        root: the folder that the user gave.
        title: the dataset's name.
        lists: the names that were looked for.
        videos: the folder of videos expected beside them.
        outer: the lists, if they are beside the folder that the user gave.
    """
    advice = f"give the folder that holds {lists} beside {videos}"
    if outer is not None:
        advice = f"its lists are in {outer.folder}: give {root.absolute().parent}"
    return ValueError(
        f"{root} is not laid out as {title}: looked for {lists} in it and in its folders; "
        f"found {describe(root)}; {advice}"
    )


def find_beside(
    root: Path, patterns: Patterns, *, needed: Sequence[str], inner: Sequence[str] = ()
) -> FoundLists | None:
    """Find the lists in the parent of `root`, in case the user gave the folder of the videos."""
    parent = root.absolute().parent
    for folder in (parent, *(parent / name for name in inner)):
        files = _match(folder, patterns)
        if any(name in files for name in needed):
            return FoundLists(folder, files)
    return None


def describe(folder: Path) -> str:
    """The first few entries of a folder, for a message."""
    names = [entry.name + ("/" if is_folder(entry) else "") for entry in visible_entries(folder)]
    return first_few(natural_order(names), count=5) if names else "nothing"


def folders_near(root: Path, lists: FoundLists, names: Sequence[str]) -> list[Path]:
    """The folders that may hold videos: those of `names`, then those that contain the lists.

    Searched are the folder of the lists and its parents, up to `root`.
    """
    around = [lists.folder]
    while around[-1] != root:
        around.append(around[-1].parent)
    named = [folder / name for folder in around for name in names]
    return [folder for folder in (*named, *around) if folder.is_dir()]
