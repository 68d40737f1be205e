"""Folders of pictures that belong to a video beside them, by their names, and are no further one.

- Frames taken from a video file: `v1/`, `v1/frames/` or `v1_frames/` beside `v1.mp4`.
- Masks, thumbnails and the like: `v1_masks/` beside `v1.mp4` or `v1/`, `masks/` beside videos, or
  any folder in a folder of frames.

Pictures in a folder of frames under another naming are distinguished in `frame_names.py`.
"""

import os
import re
from collections.abc import Collection
from pathlib import Path

from mixtconv._names import composed
from mixtconv.video.frame_names import AUXILIARY

_FRAMES = frozenset(["frames", "images", "imgs", "jpegs", "jpgs", "pictures", "pngs"])
_NAME_AND_WORD = re.compile(r"(.*?)[ ._-]*([^\W\d_]+)")

_Place = tuple[str, str]
"""Path of a folder, and a name in it."""


def companions(folders: Collection[Path], files: Collection[Path]) -> dict[Path, Path]:
    """Which folders of pictures belong to another video, and to which.

    Args:
        folders: folders of pictures.
        files: video files.

    >>> companions([Path("a/v1"), Path("a/v2"), Path("a/v2_masks")], [Path("a/v1.mp4")])
    {PosixPath('a/v1'): PosixPath('a/v1.mp4'), PosixPath('a/v2_masks'): PosixPath('a/v2')}
    """
    named_files: dict[_Place, Path] = {}
    for file in files:
        parent = str(file.parent)
        for name in (file.name, file.stem):
            named_files.setdefault((parent, composed(name)), file)
    places = {folder: (str(folder.parent), composed(folder.name)) for folder in folders}
    named_folders = {place: folder for folder, place in places.items()}
    beside = {str(file.parent): file for file in files}
    for folder, (parent, name) in places.items():
        if name.casefold() not in AUXILIARY:
            beside.setdefault(parent, folder)
    found: dict[Path, Path] = {}
    for folder, place in places.items():
        match = _NAME_AND_WORD.fullmatch(place[1])
        base, word = (match[1], match[2].casefold()) if match is not None else ("", "")
        choices = [named_files.get(place), _folder_above(place[0], named_folders)]
        if word in AUXILIARY | _FRAMES:
            above = (str(folder.parent.parent), composed(folder.parent.name))
            choices += [named_files.get((place[0], base)), named_files.get(above)]
        if word in AUXILIARY:
            choices.append(named_folders.get((place[0], base)) if base else beside.get(place[0]))
        owner = next((choice for choice in choices if choice is not None), None)
        if owner is not None:
            found[folder] = owner
    return found


def _folder_above(path: str, named_folders: dict[_Place, Path]) -> Path | None:
    """The folder of pictures that a path is or is in."""
    parent, name = os.path.split(path)
    while name:
        if (owner := named_folders.get((parent, composed(name)))) is not None:
            return owner
        parent, name = os.path.split(parent)
    return None
