"""The folders of a known dataset: where its lists are, and its videos by name.

`find_lists` finds the folder of the lists below the one that the user gave, `folders_near` the
folders that may hold the videos. `VideoIndex` finds a video by its name, from one listing of each
folder. The lists name a video with the suffix in which it was distributed, or with none. A copy may
hold another form of it (prepared, or as a folder of pictures), so names are compared without the
suffix of a video, and in composed form (NFC), whichever way their accents are encoded.
"""

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixtconv._names import composed, first_few
from mixtconv.video.find import VIDEO_SUFFIXES, is_hidden, natural_order

MAX_SUBFOLDERS = 64
"""A folder with more folders than this holds videos, so these are not searched for lists."""

_LIST_SUFFIXES = (".csv", ".json", ".txt")

Patterns = Mapping[str, Sequence[str]]
"""Role of a list (`train`) -> patterns of its name, the more common first."""


class VideoIndex:
    """Videos by name without suffix; folders count as videos, whatever is in them.

    Args:
        folders: the folders of the videos; of equal names the first wins.
        in_classes: whether the videos are in the folders of these, and named `folder/name`.
        any_case: whether a name that is not found is looked up regardless of case.
    """

    def __init__(
        self, folders: Iterable[Path], *, in_classes: bool = False, any_case: bool = False
    ) -> None:
        self.folders = tuple(folders)
        self._paths: dict[str, str] = {}
        self._in_any_case: dict[str, str] | None = None
        self._any_case = any_case
        for folder in self.folders:
            if in_classes:
                for inner in subfolders(folder):
                    self._add(inner, prefix=f"{inner.name}/")
            else:
                self._add(folder)

    def _add(self, folder: Path, *, prefix: str = "") -> None:
        for entry in visible_entries(folder):
            stem = strip_suffix(entry.name)
            if is_folder(entry):
                self._paths.setdefault(composed(prefix + entry.name), entry.path)
            if stem != entry.name:  # a file, or a folder that keeps the name of a file
                self._paths.setdefault(composed(prefix + stem), entry.path)

    def find(self, name: str) -> Path | None:
        """The video of a name, with or without suffix."""
        key = composed(strip_suffix(name))
        path = self._paths.get(key)
        if path is None and self._any_case:
            if self._in_any_case is None:
                self._in_any_case = {known.casefold(): path for known, path in self._paths.items()}
            path = self._in_any_case.get(key.casefold())
        return None if path is None else Path(path)


def strip_suffix(name: str) -> str:
    """A name without the suffix of a video; other suffixes stay.

    >>> strip_suffix("v_Archery_g01_c01.AVI"), strip_suffix("mr.bean")
    ('v_Archery_g01_c01', 'mr.bean')
    """
    stem, dot, suffix = name.rpartition(".")
    return stem if f".{suffix.lower()}" in VIDEO_SUFFIXES and dot and stem else name


@dataclass(frozen=True)
class FoundLists:
    """The lists of a dataset, all in one folder."""

    folder: Path
    """The folder."""
    files: Mapping[str, Path]
    """Role of a list -> the file; only those that exist."""


def visible_entries(folder: Path, suffixes: tuple[str, ...] = ("",)) -> list[os.DirEntry[str]]:
    """The entries of a folder by name, without hidden ones; none if it is not a folder."""
    try:
        with os.scandir(folder) as entries:
            # By suffix first: the folder may be that of 200,000 videos.
            ending = (entry for entry in entries if entry.name.lower().endswith(suffixes))
            visible = [entry for entry in ending if not is_hidden(entry.name)]
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
    root: Path,
    patterns: Patterns,
    *,
    needed: Sequence[str],
    inner: Sequence[str],
    title: str,
    expected: str,
    videos: str,
) -> FoundLists:
    """Find the folder with most of the needed lists: `root`, one in it, or an `inner` of these.

    The case of names does not matter.

    Args:
        root: the folder that the user gave.
        patterns: the names of the lists.
        needed: the lists of which at least one must exist.
        inner: names of folders in which lists are distributed.
        title: the dataset's name.
        expected: the names of the lists, in words.
        videos: the folder of videos expected beside them, in words.

    Raises:
        ValueError: there is none; the message says what was found, and where to look instead.
    """
    below = subfolders(root)
    below = below if len(below) <= MAX_SUBFOLDERS else [root / name for name in inner]
    deeper = [folder / name for folder in below for name in inner]
    best = _most_lists((root, *below, *deeper), patterns, needed)
    if best is not None:
        return best
    advice = f"give the folder that holds {expected} beside {videos}"
    # Perhaps the user gave the folder of the videos, beside the lists.
    parent = root.absolute().parent
    outer = _most_lists((parent, *(parent / name for name in inner)), patterns, needed)
    if outer is not None:
        advice = f"its lists are in {outer.folder}: give {parent}"
    raise ValueError(
        f"{root} is not laid out as {title}: looked for {expected} in it and in its folders; "
        f"found {_first_entries(root)}; {advice}"
    )


def _most_lists(
    folders: Iterable[Path], patterns: Patterns, needed: Sequence[str]
) -> FoundLists | None:
    """The lists in the first of the folders with most of the needed ones; None if all lack them."""
    best: FoundLists | None = None
    most = 0
    for folder in folders:
        files = _match(folder, patterns)
        number = sum(name in files for name in needed)
        if number > most:
            best, most = FoundLists(folder, files), number
    return best


def named_like(folder: Path, pattern: str) -> tuple[Path, ...]:
    """The lists in a folder whose whole name matches a pattern, in any case; by name."""
    return tuple(folder / name for name in _matching(_list_names(folder), [pattern]))


def _match(folder: Path, patterns: Patterns) -> dict[str, Path]:
    names = _list_names(folder)
    found = {role: _matching(names, choices) for role, choices in patterns.items()}
    return {role: folder / matching[0] for role, matching in found.items() if matching}


def _list_names(folder: Path) -> list[str]:
    return [entry.name for entry in visible_entries(folder, _LIST_SUFFIXES)]


def _matching(names: Sequence[str], patterns: Sequence[str]) -> list[str]:
    """The names that a pattern matches in any case, those of earlier patterns first."""
    return [n for pattern in patterns for n in names if re.fullmatch(pattern, n, re.IGNORECASE)]


def _first_entries(folder: Path) -> str:
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
