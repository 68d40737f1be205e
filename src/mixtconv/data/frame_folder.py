"""A folder of pictures, one a frame, read as a video.

Frames are the JPEG and PNG files in the natural order of their names (`2.jpg` before `10.jpg`).
Where all names are numbers with a common beginning (`img_00001.jpg`), numbering may start
anywhere but must have no gap: a missing frame is an error that names it, never replaced by a
neighbour.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from mixtconv.data.clip import UnreadableVideoError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")


def natural_order(names: Iterable[str]) -> list[str]:
    """Sorts names so that numbers inside them count as numbers.

    >>> natural_order(["10.jpg", "9.jpg", "00001.jpg"])
    ['00001.jpg', '9.jpg', '10.jpg']
    """

    def key(name: str) -> tuple[list[tuple[int, str]], str]:
        parts = re.split(r"(\d+)", name)
        return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts], name

    return sorted(names, key=key)


def list_pictures(folder: str | Path) -> list[Path]:
    """Lists the pictures of a folder in the order of the frames; empty if it holds none."""
    names = (
        entry.name
        for entry in Path(folder).iterdir()
        if entry.suffix.lower() in PICTURE_SUFFIXES and not entry.name.startswith(".")
    )
    return [Path(folder, name) for name in natural_order(names)]


def list_frames(folder: str | Path) -> list[Path]:
    """Lists the frames of a folder; raises where it holds none or where some are missing."""
    pictures = list_pictures(folder)
    if not pictures:
        raise UnreadableVideoError(
            folder, f"the folder holds no pictures ({', '.join(PICTURE_SUFFIXES)})"
        )
    matches = [re.fullmatch(r"(.*?)(\d+)", picture.stem) for picture in pictures]
    numbered = [match for match in matches if match is not None]
    if len(numbered) < len(pictures) or len({match[1] for match in numbered}) > 1:
        return pictures
    numbers = [int(match[2]) for match in numbered]
    if len(set(numbers)) < len(numbers):
        twice = next(n for n, after in pairwise(numbers) if n == after)
        raise UnreadableVideoError(
            folder, f"frame {twice} is there twice; leave one file for each number"
        )
    missing = sorted(set(range(numbers[0], numbers[-1] + 1)) - set(numbers))
    if missing:
        named = ", ".join(map(str, missing[:5])) + (", ..." if len(missing) > 5 else "")
        raise UnreadableVideoError(
            folder,
            f"{len(missing)} of frames {numbers[0]} to {numbers[-1]} missing: {named}; "
            "extract the frames again or number them without gaps",
        )
    return pictures


def load_picture(path: Path) -> Tensor:
    """Loads one picture as upright RGB, uint8 `(3, H, W)`."""
    try:
        with Image.open(path) as image:
            rgb = np.array(ImageOps.exif_transpose(image).convert("RGB"))  # (H, W, 3)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UnreadableVideoError(path, "the picture is damaged or not a picture") from error
    return torch.from_numpy(rgb).permute(2, 0, 1).contiguous()  # (3, H, W)


def load_frames(paths: Sequence[Path], indices: Sequence[int]) -> Tensor:
    """Loads the frames of the given numbers, uint8 `(T, 3, H, W)`; all must be of one size.

    The size asked for is that of the folder's first picture, so that the result does not depend
    on which frames are read.
    """
    with_size = _size(paths[0])
    loaded: dict[int, Tensor] = {}
    for index in sorted(set(indices)):
        frame = load_picture(paths[index])
        if frame.shape[1:] != with_size:
            raise UnreadableVideoError(
                paths[index],
                f"the picture is {frame.shape[2]}x{frame.shape[1]} but the first of its folder, "
                f"{paths[0].name}, is {with_size[1]}x{with_size[0]}; all must be of one size",
            )
        loaded[index] = frame
    return torch.stack([loaded[index] for index in indices])  # (T, 3, H, W)


def _size(path: Path) -> tuple[int, int]:
    """Height and width of a picture, read from its header."""
    try:
        with Image.open(path) as image:
            sideways = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
            return (image.width, image.height) if sideways else (image.height, image.width)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UnreadableVideoError(path, "the picture is damaged or not a picture") from error
