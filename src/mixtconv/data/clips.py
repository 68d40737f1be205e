"""The frames of a clip as a tensor.

Reading video by frame number as tensors; how, and from what, is `picture_reader.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from mixtconv.video.reader import read_pictures


@dataclass(frozen=True)
class Clip:
    """Frames taken from one video, in the order in which they were asked for."""

    frames: Tensor
    """uint8 RGB, `(T, 3, H, W)`."""
    indices: tuple[int, ...]
    """Of each frame, its number in a decoding of the whole video from its start."""
    num_frames: int
    """Frames in the whole video."""


def rows_together(frames: Tensor) -> Tensor:
    """Copies frames (..., 3, H, W) so that a row of one channel lies together, as torch has it.

    The same as `frames.contiguous()`; for bytes NumPy takes a third of the time.

    >>> rows_together(torch.zeros(2, 8, 8, 3, dtype=torch.uint8).permute(0, 3, 1, 2)).stride()
    (192, 64, 8, 1)
    """
    copy = torch.empty(frames.shape, dtype=frames.dtype)
    np.copyto(copy.numpy(), frames.numpy())
    return copy


def as_frames(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """Pictures (T, H, W, C) as frames (T, C, H, W), without a copy."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)  # (T, C, H, W)


def read_clip(
    path: str | Path,
    choose_indices: Callable[[int], Sequence[int]],
    *,
    num_threads: int | None = None,
    channels_last: bool = False,
    least_short_side: int | None = None,
) -> Clip:
    """Reads the frames that a function of the number of frames chooses.

    `choose_indices` gets the number of frames and returns the wanted ones, in any order, also
    several times the same. It must depend on nothing else: if decoding shows that the file
    holds another number of pictures than its packets announce, it is called again.

    `num_threads` is the decoder's; by default one inside a worker of a DataLoader, otherwise as
    many as the codec likes. It changes the speed, never the frames.

    `channels_last` leaves the channels of a pixel beside each other in memory, as they are decoded:
    the tensor is a view of one of `(T, H, W, 3)`, which is resized several times as fast.

    `least_short_side` says how large frames must be. A folder of pictures is then read at a half, a
    quarter or an eighth of their height and width where that is no less, which a JPEG decoder does
    while decoding; it is a fair stand-in for resizing them. Video files come as they are: those of
    their decoders that can do the same are either not faster for it or change what is shown.

    Returns uint8 RGB frames, `(T, 3, H, W)`, upright by the file's rotation.

    >>> import numpy as np
    >>> from mixtconv.video.writer import write_video
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "clip.mp4")
    ...     frames = np.zeros((12, 48, 64, 3), dtype=np.uint8)
    ...     write_video(path, frames, frames_per_second=25)
    ...     clip = read_clip(path, lambda num_frames: range(0, num_frames, 3))
    >>> clip.frames.shape, clip.indices, clip.num_frames
    (torch.Size([4, 3, 48, 64]), (0, 3, 6, 9), 12)
    """
    pictures = read_pictures(
        path,
        choose_indices,
        num_threads=_threads(num_threads),
        least_short_side=least_short_side,
    )
    frames = as_frames(pictures.pixels)
    frames = frames if channels_last else rows_together(frames)
    return Clip(frames, pictures.indices, pictures.num_frames)


def read_frames(
    path: str | Path, indices: Sequence[int], *, num_threads: int | None = None
) -> Tensor:
    """Reads the frames of the given numbers, uint8 `(T, 3, H, W)`, in the order given."""
    return read_clip(path, lambda num_frames: indices, num_threads=num_threads).frames


def _threads(num_threads: int | None) -> int:
    if num_threads is None:
        return 0 if get_worker_info() is None else 1
    if num_threads < 1:
        raise ValueError(f"num_threads is {num_threads}; it must be 1 or more, or None")
    return num_threads
