"""A folder of pictures, one per frame, read as a video.

Frames are the JPEG and PNG files that have one naming, in the order of their numbers (`2.jpg`
before `10.jpg`); see `frame_names.py`. Numbering may start anywhere but must have no gap: a missing
frame is an error that names it, and is never replaced by a neighbour. Pictures of optical flow in
the folder are not frames of the video; see `find.py`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple, NoReturn

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from mixtconv._types import Frame
from mixtconv.video.find import PICTURE_SUFFIXES, flow_twins, picture_names, sort_names
from mixtconv.video.frame_names import are_times, choose_frames
from mixtconv.video.opening import refuse_large
from mixtconv.video.pictures import UnreadableVideoError

_FLOW = (
    "it holds optical flow, not pictures of the video; give the videos themselves, or train with "
    "--modality flow"
)


class Pictures(NamedTuple):
    """Pictures of a folder, one per frame or field of flow, in temporal order."""

    folder: Path
    names: Sequence[str]


def list_frames(folder: str | Path) -> list[str]:
    """List the names of a folder's frames.

    Raises:
        UnreadableVideoError: there is none, some are missing, or it holds optical flow.
    """
    pictures = sort_names(picture_names(folder)).pictures
    if not pictures:
        _refuse_no_frames(folder)
    if flow_twins(folder) is not None:
        raise UnreadableVideoError(folder, _FLOW)
    return _in_order(folder, pictures)


def list_numbered(folder: str | Path) -> list[str]:
    """List the names of all pictures of a folder, frames or optical flow; as `list_frames`."""
    names = picture_names(folder)
    if not names:
        _refuse_no_frames(folder)
    return _in_order(folder, names)


def _refuse_no_frames(folder: str | Path) -> NoReturn:
    if picture_names(folder):
        raise UnreadableVideoError(folder, _FLOW)
    raise UnreadableVideoError(
        folder, f"the folder holds no pictures ({', '.join(PICTURE_SUFFIXES)})"
    )


def _in_order(folder: str | Path, names: Sequence[str]) -> list[str]:
    """The frames among sorted names; raises if it is not clear which they are, or for a gap."""
    chosen = choose_frames(names)
    if chosen.rival is not None:
        raise UnreadableVideoError(
            folder,
            f"several kinds of pictures with the same numbers, such as {chosen.frames[0]} and "
            f"{chosen.rival}; leave one kind in the folder",
        )
    if chosen.numbers is not None:
        check_numbers(folder, chosen.numbers, "frames")
    return list(chosen.frames)


def check_numbers(folder: str | Path, numbers: Sequence[int], things: str) -> None:
    """Raise if sorted numbers repeat, or have a gap and are not times.

    Memory and time depend on how many they are, not on how large.

    Raises:
        UnreadableVideoError: the message names the first few that are missing.
    """
    twice = next((n for n, after in pairwise(numbers) if n == after), None)
    if twice is not None:
        raise UnreadableVideoError(
            folder, f"of {things}, {twice} is there twice; leave one file for each number"
        )
    num_missing = numbers[-1] - numbers[0] + 1 - len(numbers)
    if num_missing and not are_times(numbers):
        first = [gap for n, after in pairwise(numbers) for gap in range(n + 1, min(after, n + 7))]
        named = ", ".join(map(str, first[:5])) + (", ..." if num_missing > 5 else "")
        raise UnreadableVideoError(
            folder,
            f"{num_missing} of {things} {numbers[0]} to {numbers[-1]} missing: {named}; "
            "extract them again or number them without gaps",
        )


def load_pictures(
    folder: str | Path,
    names: Sequence[str],
    indices: Sequence[int],
    *,
    mode: Literal["RGB", "L"] = "RGB",
    least_short_side: int | None = None,
) -> Frame:
    """Load frames by number: `(T, H, W, 3)`; all must be of one size.

    Args:
        folder: the folder.
        names: names of all frames, from `list_frames`. All must have the size of the first, so that
            the result does not depend on which frames are read.
        indices: numbers of the frames.
        mode: `L` loads grey pictures, `(T, H, W, 1)`.
        least_short_side: as for `mixtconv.data.clips.read_clip`.
    """
    first = Path(folder, names[0])
    size = _size(first)
    refuse_large(first, size[1], size[0])
    reduction = _reduction(min(size), least_short_side)
    rows = {index: row for row, index in enumerate(sorted(set(indices)))}
    pictures = [_load_picture(Path(folder, names[i]), first, size, reduction, mode) for i in rows]
    return np.stack([pictures[rows[index]] for index in indices])  # (T, H, W, C)


def _load_picture(
    path: Path, first: Path, size: tuple[int, int], reduction: int, mode: str
) -> Frame:
    """Load one picture upright, `(H, W, C)`; a JPEG is reduced while decoding."""
    with _open_picture(path) as image:
        height, width = _upright_size(image)
        if (height, width) == size:
            image.draft(mode, (image.width // reduction, image.height // reduction))
            ImageOps.exif_transpose(image, in_place=True)
            picture = _in_mode(image, mode)
            if reduction > 1 and (picture.height, picture.width) == size:  # not a JPEG
                picture = picture.reduce(reduction)
            return np.atleast_3d(np.asarray(picture))
    raise UnreadableVideoError(
        path,
        f"the picture is {width}x{height} but the first of its folder, {first.name}, is "
        f"{size[1]}x{size[0]}; all must be of one size",
    )


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """A picture in `RGB` or `L`; of 16 bits (depth, infrared) the upper eight, rounded.

    Pillow itself would take all values above 255 for white.
    """
    if image.mode == mode:
        return image
    if image.mode == "F":
        raise UnreadableVideoError(
            getattr(image, "filename", "a picture"),
            "the picture holds fractions, whose range is unknown; write it with 8 or 16 bits",
        )
    if image.mode.startswith("I"):
        values = np.round(np.asarray(image) * (255 / 65535))
        image = Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))
    return image.convert(mode)


def _reduction(short_side: int, least_short_side: int | None) -> int:
    """The largest factor by which a JPEG decoder may reduce pictures.

    >>> _reduction(1080, 256), _reduction(256, 256), _reduction(1080, None)
    (4, 1, 1)
    """
    if least_short_side is None:
        return 1
    return next(by for by in (8, 4, 2, 1) if short_side // by >= least_short_side or by == 1)


def _size(path: Path) -> tuple[int, int]:
    """Height and width of a picture, read from its header."""
    with _open_picture(path) as image:
        return _upright_size(image)


@contextmanager
def _open_picture(path: Path) -> Iterator[Image.Image]:
    """A picture for the block, of which every error in reading is an `UnreadableVideoError`."""
    try:
        with Image.open(path) as image:
            yield image
    except Image.DecompressionBombError as error:  # beyond twice Pillow's own limit
        raise UnreadableVideoError(path, f"Pillow does not read it: {error}") from error
    except UnreadableVideoError:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise UnreadableVideoError(path, "the picture is damaged or not a picture") from error


def _upright_size(image: Image.Image) -> tuple[int, int]:
    """Height and width of a picture after the rotation in its header."""
    sideways = image.getexif().get(ExifTags.Base.Orientation, 1) >= 5
    return (image.width, image.height) if sideways else (image.height, image.width)
