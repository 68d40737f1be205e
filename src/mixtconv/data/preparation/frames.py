"""What every form of a video is made from: the frames of the original, and what is said of it.

The frames are as the reader gives them: upright, in RGB, in number and order those of decoding the
whole source. A smaller size is reached with the filter that clips are resized with when a model is
scored.
"""

import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from mixtconv.data.clip import UnreadableVideoError
from mixtconv.data.picture_reader import iterate_frames

Frame = npt.NDArray[np.uint8]


class StoppedError(Exception):
    """Writing was told to stop."""


@dataclass(frozen=True)
class WrittenVideo:
    """Facts about a video that was written."""

    num_frames: int
    num_bytes: int


def original_frames(source: Path) -> Generator[Frame, None, None]:
    """All frames of a video, RGB (H, W, 3).

    Raises:
        UnreadableVideoError: whatever is wrong in reading.
    """
    with reading(source):
        yield from iterate_frames(source)


@contextmanager
def reading(source: Path) -> Iterator[None]:
    """Says of every error in reading that it is the source's."""
    import av  # noqa: PLC0415

    try:
        yield
    except (av.FFmpegError, OSError) as error:
        raise UnreadableVideoError(source, error.strerror or str(error)) from error


def fitted(frame: Frame, height: int, width: int) -> Frame:
    """A frame in the given size: cut where it is larger by one pixel, else resized."""
    if frame.shape[0] - height in (0, 1) and frame.shape[1] - width in (0, 1):
        return frame[:height, :width]
    # As clips are resized for scoring; Pillow, unlike torch, starts no threads of its own.
    image = Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


def flush(path: Path) -> None:
    """Wait until a file is on the disk, so that no power failure leaves a name without it."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())
