"""A folder of pictures, one a frame, read as a video.

Frames are the JPEG and PNG files in the natural order of their names (`2.jpg` before `10.jpg`).
Where all names are numbers with a common beginning (`img_00001.jpg`), numbering may start
anywhere but must have no gap: a missing frame is an error that names it, never replaced by a
neighbour.
"""

import os
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from mixtconv.data.clip import UnreadableVideoError

PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png")

_DIGITS = re.compile(r"(\d+)")
_NUMBERED = re.compile(r"(.*?)(\d+)\.[^.]*")


def natural_order(names: Iterable[str]) -> list[str]:
    """Sorts names so that numbers inside them count as numbers.

    >>> natural_order(["10.jpg", "9.jpg", "00001.jpg"])
    ['00001.jpg', '9.jpg', '10.jpg']
    """

    def key(name: str) -> tuple[list[tuple[int, str]], str]:
        parts = _DIGITS.split(name)
        return [(int(p), "") if p.isdecimal() else (-1, p) for p in parts], name

    return sorted(names, key=key)


def list_pictures(folder: str | Path) -> list[Path]:
    """Lists the pictures of a folder in the order of the frames; empty if it holds none."""
    return [Path(folder, name) for name in _picture_names(folder)]


def list_frames(folder: str | Path) -> list[str]:
    """Lists the frames of a folder by name; raises where there are none or some are missing."""
    names = _picture_names(folder)
    if not names:
        raise UnreadableVideoError(
            folder, f"the folder holds no pictures ({', '.join(PICTURE_SUFFIXES)})"
        )
    matches = [_NUMBERED.fullmatch(name) for name in names]
    numbered = [match for match in matches if match is not None]
    if len(numbered) < len(names) or len({match[1] for match in numbered}) > 1:
        return names
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
    return names


def _picture_names(folder: str | Path) -> list[str]:
    """Names of the pictures of a folder in the order of the frames."""
    # Names and not paths: this is done for every clip, and a path takes as long as ten names.
    names = (entry.name for entry in os.scandir(folder))
    return natural_order(
        name
        for name in names
        if name.lower().endswith(PICTURE_SUFFIXES) and not name.startswith(".")
    )


def load_frames(
    folder: str | Path,
    names: Sequence[str],
    indices: Sequence[int],
    *,
    least_short_side: int | None = None,
) -> Tensor:
    """Loads the frames of the given numbers, uint8 `(T, 3, H, W)`; all must be of one size.

    `names` are those of all frames, from `list_frames`. The size asked for is that of the first
    picture, so that the result does not depend on which frames are read. With `least_short_side`
    pictures are reduced, as `video.read_clip` says. In memory the channels of a pixel lie beside
    each other.
    """
    first = Path(folder, names[0])
    size = _size(first)
    reduction = _reduction(min(size), least_short_side)
    rows = {index: row for row, index in enumerate(sorted(set(indices)))}
    pictures = [_load_picture(Path(folder, names[i]), first, size, reduction) for i in rows]
    frames = np.stack([pictures[rows[index]] for index in indices])  # (T, H, W, 3)
    return torch.from_numpy(frames).permute(0, 3, 1, 2)  # (T, 3, H, W)


def _load_picture(
    path: Path, first: Path, size: tuple[int, int], reduction: int
) -> npt.NDArray[np.uint8]:
    """Loads one picture as upright RGB, `(H, W, 3)`; a JPEG is reduced in decoding."""
    try:
        with Image.open(path) as image:
            height, width = _upright_size(image)
            if (height, width) == size:
                image.draft("RGB", (image.width // reduction, image.height // reduction))
                ImageOps.exif_transpose(image, in_place=True)
                rgb = image if image.mode == "RGB" else image.convert("RGB")
                if reduction > 1 and (rgb.height, rgb.width) == size:  # not a JPEG
                    rgb = rgb.reduce(reduction)
                return np.asarray(rgb)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UnreadableVideoError(path, "the picture is damaged or not a picture") from error
    raise UnreadableVideoError(
        path,
        f"the picture is {width}x{height} but the first of its folder, {first.name}, is "
        f"{size[1]}x{size[0]}; all must be of one size",
    )


def _reduction(short_side: int, least_short_side: int | None) -> int:
    """By how much pictures may be reduced, of what a JPEG decoder can do.

    >>> _reduction(1080, 256), _reduction(256, 256), _reduction(1080, None)
    (4, 1, 1)
    """
    if least_short_side is None:
        return 1
    return next(by for by in (8, 4, 2, 1) if short_side // by >= least_short_side or by == 1)


def _size(path: Path) -> tuple[int, int]:
    """Height and width of a picture, read from its header."""
    try:
        with Image.open(path) as image:
            return _upright_size(image)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UnreadableVideoError(path, "the picture is damaged or not a picture") from error


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width of a picture that is turned as its header says."""
    sideways = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (image.width, image.height) if sideways else (image.height, image.width)
