"""The videos in folders by name, found by listing each folder once.

The lists of a dataset name a video with the suffix in which it was distributed, or with none. A
copy may hold another form of it (prepared, or as a folder of pictures), so names are compared
without the suffix of a video, and accents however they are composed.
"""

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from mixtconv.data.datasets.layout import is_folder, scan, subfolders
from mixtconv.data.picture_reader import VIDEO_SUFFIXES


class VideoIndex:
    """Videos by name without suffix; folders count as videos, whatever is in them.

    Args:
        any_case: whether letters in another case count as the same, where no name is the same.
    """

    def __init__(self, *, any_case: bool = False) -> None:
        self._paths: dict[str, str] = {}
        self._in_any_case: dict[str, str] | None = None
        self._any_case = any_case

    def add_folder(self, folder: Path, *, prefix: str = "") -> None:
        """Take the videos in a folder as `prefix` + name, where no such name is known yet."""
        for entry in scan(folder):
            stem = strip_suffix(entry.name)
            if is_folder(entry):
                self._paths.setdefault(_composed(prefix + entry.name), entry.path)
            if stem != entry.name:  # a file, or a folder that keeps the name of a file
                self._paths.setdefault(_composed(prefix + stem), entry.path)

    def add_class_folders(self, folder: Path) -> None:
        """Take the videos in the folders of a folder as `folder/name`."""
        for inner in subfolders(folder):
            self.add_folder(inner, prefix=f"{inner.name}/")

    def find(self, name: str) -> Path | None:
        """The video of a name, with or without suffix."""
        key = _composed(strip_suffix(name))
        found = self._paths.get(key)
        if found is None and self._any_case:
            if self._in_any_case is None:
                self._in_any_case = {known.casefold(): path for known, path in self._paths.items()}
            found = self._in_any_case.get(key.casefold())
        return None if found is None else Path(found)


def index_of(folders: Iterable[Path]) -> VideoIndex:
    """The videos that lie directly in folders; the first folder wins."""
    index = VideoIndex()
    for folder in folders:
        index.add_folder(folder)
    return index


def strip_suffix(name: str) -> str:
    """A name without the suffix of a video, and otherwise whole.

    >>> strip_suffix("v_Archery_g01_c01.AVI"), strip_suffix("mr.bean")
    ('v_Archery_g01_c01', 'mr.bean')
    """
    stem, dot, suffix = name.rpartition(".")
    return stem if f".{suffix.lower()}" in VIDEO_SUFFIXES and dot and stem else name


def _composed(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)
