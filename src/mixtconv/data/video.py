"""Reading video by frame number, from files (through PyAV) and from folders of pictures.

Frame i is the i-th picture of decoding the whole file from its start, whatever way it is reached
by. The count in a file's header is not believed: packets are counted, and where decoding shows
that some give no picture the pictures are counted.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import get_worker_info

from mixtconv.data.clip import Clip, UnreadableVideoError, VideoInfo, rows_together
from mixtconv.data.decoding import (
    Picture,
    decode_every,
    decode_pictures,
    decode_plain,
    open_video,
)
from mixtconv.data.frame_folder import list_frames, list_pictures, load_frames
from mixtconv.data.packet_table import read_packet_table
from mixtconv.data.table_memory import KNOWN_TABLES
from mixtconv.data.video_writer import write_video

__all__ = [
    "VIDEO_SUFFIXES",
    "Clip",
    "UnreadableVideoError",
    "VideoInfo",
    "frame_rate",
    "is_video",
    "iterate_frames",
    "probe_video",
    "read_clip",
    "read_frames",
    "write_video",
]

VIDEO_SUFFIXES = (
    ".3gp",
    ".avi",
    ".flv",
    ".gif",
    ".m2ts",
    ".m4v",
    ".mkv",
    ".mov",
    ".mp4",
    ".mpeg",
    ".mpg",
    ".mts",
    ".ogv",
    ".ts",
    ".vob",
    ".webm",
    ".wmv",
)


def is_video(path: str | Path) -> bool:
    """Says whether a path looks like one video: a file by its suffix, or a folder of pictures.

    The content is not looked at. A folder counts if pictures (JPEG, PNG) lie directly in it.

    >>> is_video("clips/0001.MP4"), is_video("labels.csv")
    (True, False)
    """
    if Path(path).is_dir():
        return bool(list_pictures(path))
    return Path(path).suffix.lower() in VIDEO_SUFFIXES


def probe_video(path: str | Path) -> VideoInfo:
    """Reads the facts about a video: its packets are counted and its first picture is decoded."""
    if Path(path).is_dir():
        names = list_frames(path)
        height, width = load_frames(path, names, (0,)).shape[2:]
        return VideoInfo(len(names), width, height, None, "pictures")
    with open_video(path) as (container, stream):
        table = read_packet_table(container, stream)
        rate = _average_rate(stream)
        codec = stream.codec_context.name
    first = _read_pictures(path, lambda num_frames: (0,), num_threads=1)
    height, width = first.frames.shape[2:]
    frames_per_second = float(rate) if rate else None
    return VideoInfo(table.num_pictures, width, height, frames_per_second, codec)


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

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "clip.mp4")
    ...     frames = np.zeros((12, 48, 64, 3), dtype=np.uint8)
    ...     write_video(path, frames, frames_per_second=25)
    ...     clip = read_clip(path, lambda num_frames: range(0, num_frames, 3))
    >>> clip.frames.shape, clip.indices, clip.num_frames
    (torch.Size([4, 3, 48, 64]), (0, 3, 6, 9), 12)
    """
    if Path(path).is_dir():
        names = list_frames(path)
        indices = _checked(path, choose_indices(len(names)), len(names))
        frames = load_frames(path, names, indices, least_short_side=least_short_side)
        clip = Clip(frames, indices, len(names))
    else:
        clip = _read_pictures(path, choose_indices, num_threads=_threads(num_threads))
    return clip if channels_last else replace(clip, frames=rows_together(clip.frames))


def read_frames(
    path: str | Path, indices: Sequence[int], *, num_threads: int | None = None
) -> Tensor:
    """Reads the frames of the given numbers, uint8 `(T, 3, H, W)`, in the order given."""
    return read_clip(path, lambda num_frames: indices, num_threads=num_threads).frames


def iterate_frames(path: str | Path) -> Iterator[npt.NDArray[np.uint8]]:
    """Reads all frames in order, one at a time, each uint8 RGB `(H, W, 3)`.

    Raises:
        UnreadableVideoError: there is no frame, or a picture of a folder cannot be read.
    """
    if Path(path).is_dir():
        names = list_frames(path)
        for index in range(len(names)):
            yield load_frames(path, names, (index,))[0].permute(1, 2, 0).numpy()
        return
    number = -1
    for number, picture in enumerate(decode_every(path)):  # noqa: B007
        yield picture
    _refuse_no_picture(path, number + 1)


def frame_rate(path: str | Path) -> Fraction | None:
    """Average frames per second, None where the source does not say."""
    if Path(path).is_dir():
        return None
    with open_video(path) as (_, stream):
        return _average_rate(stream)


def _average_rate(stream: Any) -> Fraction | None:
    return stream.average_rate or stream.guessed_rate or None


def _read_pictures(
    path: str | Path, choose_indices: Callable[[int], Sequence[int]], *, num_threads: int
) -> Clip:
    known = KNOWN_TABLES.get(path)
    with open_video(path) as opened:
        table = known or KNOWN_TABLES.read(path, *opened)
        num_frames = table.num_pictures
        _refuse_no_picture(path, num_frames)
        indices = tuple(int(index) for index in choose_indices(num_frames))
        if max(indices, default=0) >= num_frames:  # the packets may announce too few
            num_frames = decode_plain(path, table, ()).num_pictures or 0
            _refuse_no_picture(path, num_frames)
            indices = _checked(path, choose_indices(num_frames), num_frames)
        indices = _checked(path, indices, num_frames)
        decoded = decode_pictures(
            path,
            table,
            indices,
            num_threads=num_threads,
            opened=opened,
            at_start=known is not None,
        )
    if decoded.num_pictures is not None:
        KNOWN_TABLES.count(path, table, decoded.num_pictures)
    if decoded.num_pictures not in (None, num_frames):
        num_frames = decoded.num_pictures or 0
        _refuse_no_picture(path, num_frames)
        indices = _checked(path, choose_indices(num_frames), num_frames)
        if not set(indices) <= set(decoded.pictures):
            decoded = decode_plain(path, table, indices)
    return Clip(_stack(decoded.pictures, indices), indices, num_frames)


def _stack(pictures: dict[int, Picture], indices: Sequence[int]) -> Tensor:
    frames = np.stack([pictures[index] for index in indices])  # (T, H, W, 3)
    return torch.from_numpy(frames).permute(0, 3, 1, 2)  # (T, 3, H, W)


def _refuse_no_picture(path: str | Path, num_frames: int) -> None:
    if num_frames == 0:
        raise UnreadableVideoError(path, "not one picture in it can be decoded")


def _checked(path: str | Path, indices: Sequence[int], num_frames: int) -> tuple[int, ...]:
    """Makes sure that there is at least one index and that all are within the video."""
    numbers = tuple(int(index) for index in indices)
    if not numbers:
        raise ValueError(f"{path}: got no frame to read; ask for at least one")
    wrong = [number for number in numbers if not 0 <= number < num_frames]
    if wrong:
        raise ValueError(
            f"{path}: got frame {wrong[0]}; its {num_frames} frames are 0 to {num_frames - 1}; "
            "choose among these"
        )
    return numbers


def _threads(num_threads: int | None) -> int:
    if num_threads is None:
        return 0 if get_worker_info() is None else 1
    if num_threads < 1:
        raise ValueError(f"num_threads is {num_threads}; it must be 1 or more, or None")
    return num_threads
