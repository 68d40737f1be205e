"""Frames of a video as tensors; they are read by `mixtconv.video.reader`."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from mixtconv._types import Frame
from mixtconv.video.in_memory import VideoFrames
from mixtconv.video.pictures import Clip
from mixtconv.video.segment import Video
from mixtconv.video.segment_frames import read_video


def rows_together(frames: Tensor) -> Tensor:
    """Copy frames (..., 3, H, W) to torch's default (contiguous) layout, rows of one channel.

    The same as `frames.contiguous()`, but for bytes NumPy takes a third of the time.

    >>> rows_together(torch.zeros(2, 8, 8, 3, dtype=torch.uint8).permute(0, 3, 1, 2)).stride()
    (192, 64, 8, 1)
    """
    copy = torch.empty(frames.shape, dtype=frames.dtype)
    np.copyto(copy.numpy(), frames.numpy())
    return copy


def as_frames(pixels: Frame) -> Tensor:
    """An array (T, H, W, C) as a tensor (T, C, H, W), without a copy."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2)  # (T, C, H, W)


def read_clip(
    path: str | Video | VideoFrames,
    choose_indices: Callable[[int], Sequence[int]],
    *,
    num_threads: int | None = None,
    channels_last: bool = False,
    least_short_side: int | None = None,
) -> Clip[Tensor]:
    """Read the frames that a function of the number of frames chooses.

    Args:
        path: a video file or a folder of pictures, a segment of one, or frames in memory.
        choose_indices: gets the number of frames and returns the wanted ones, in any order and with
            repeats. It must depend on nothing else: if decoding shows that the file holds another
            number of frames than its packets announce, it is called again.
        num_threads: threads of the decoder; by default one inside a DataLoader worker, else the
            codec's choice. It changes the speed, never the frames.
        channels_last: whether the channels of a pixel stay adjacent in memory, as decoded. The
            tensor is then a view of one of shape `(T, H, W, 3)`, which is resized several times as
            fast.
        least_short_side: smallest short side that is large enough, in pixels. Pictures of a folder
            are then read at a half, a quarter or an eighth of their size where that suffices,
            which JPEG decoders do while decoding; it approximates resizing them. Video files are
            read at full size: decoders with such an option are not faster for it, or change the
            content.

    Returns:
        uint8 RGB frames `(T, 3, H, W)`, rotated upright.

    Raises:
        UnreadableVideoError: the video has no readable frame, or the segment none in it.
        ValueError: no frame or one outside the video is chosen, or `num_threads` is below 1.

    >>> import numpy as np
    >>> from mixtconv.video.writer import write_video
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "clip.mp4")
    ...     frames = np.zeros((12, 48, 64, 3), dtype=np.uint8)
    ...     _ = write_video(path, frames, frames_per_second=25)
    ...     clip = read_clip(path, lambda num_frames: range(0, num_frames, 3))
    >>> clip.frames.shape, clip.indices, clip.num_frames
    (torch.Size([4, 3, 48, 64]), (0, 3, 6, 9), 12)
    """
    clip = read_video(
        path,
        choose_indices,
        num_threads=decoder_threads(num_threads),
        least_short_side=least_short_side,
    )
    frames = as_frames(clip.frames)
    frames = frames if channels_last else rows_together(frames)
    return Clip(frames, clip.indices, clip.num_frames)


def read_frames(
    path: str | Path, indices: Sequence[int], *, num_threads: int | None = None
) -> Tensor:
    """Read frames by number: uint8 `(T, 3, H, W)`, in the order of `indices`."""
    return read_clip(path, lambda num_frames: indices, num_threads=num_threads).frames


def decoder_threads(num_threads: int | None) -> int:
    """Threads of the decoder, 0 for the codec's choice; the default is that of `read_clip`."""
    if num_threads is None:
        return 0 if get_worker_info() is None else 1
    if num_threads < 1:
        raise ValueError(f"num_threads is {num_threads}; it must be 1 or more, or None")
    return num_threads
