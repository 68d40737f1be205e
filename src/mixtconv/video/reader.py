"""Reading video by frame number, from files (through PyAV) and from folders of pictures.

Frame i is the i-th frame of decoding the whole file from its start, however it is reached. The
count in a file's header is not trusted: packets are counted, and if decoding shows that some give
no frame, frames are counted.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from mixtconv._types import Frame
from mixtconv.video.decoding import decode_every, decode_pictures, decode_plain
from mixtconv.video.folder import list_frames, load_pictures
from mixtconv.video.opening import open_video
from mixtconv.video.packet_table import (
    PACKET_TABLES,
    PacketTable,
    demux_readable,
    has_ticks,
)
from mixtconv.video.pictures import Clip, UnreadableVideoError, VideoInfo


def probe_video(path: str | Path, *, table: PacketTable | None = None) -> VideoInfo:
    """Read the facts about a video: count its packets and decode its first frame.

    Args:
        path: a file or a folder of pictures.
        table: packets of the file, if they are known.
    """
    if Path(path).is_dir():
        names = list_frames(path)
        height, width = load_pictures(path, names, (0,)).shape[1:3]
        return VideoInfo(len(names), width, height, None, "pictures")
    with open_video(path) as (container, stream):
        table = table or PACKET_TABLES.get(path) or PACKET_TABLES.read(path, container, stream)
        rate = _average_rate(stream)
        codec = stream.codec_context.name
    first = _read_file(path, lambda num_frames: (0,), num_threads=1, table=table)
    height, width = first.frames.shape[1:3]
    frames_per_second = float(rate) if rate else None
    return VideoInfo(table.num_pictures, width, height, frames_per_second, codec)


def read_pictures(
    path: str | Path,
    choose_indices: Callable[[int], Sequence[int]],
    *,
    num_threads: int = 0,
    least_short_side: int | None = None,
    table: PacketTable | None = None,
) -> Clip[Frame]:
    """Read the frames that a function of the number of frames chooses, as arrays, upright.

    The arguments are those of `mixtconv.data.clips.read_clip`, but `num_threads` is 0 for the
    codec's choice, and `table` has the packets of a file, if they are known.
    """
    if Path(path).is_dir():
        names = list_frames(path)
        indices = checked_indices(path, choose_indices(len(names)), len(names))
        pixels = load_pictures(path, names, indices, least_short_side=least_short_side)
        return Clip(pixels, indices, len(names))
    return _read_file(path, choose_indices, num_threads=num_threads, table=table)


def iterate_frames(path: str | Path) -> Iterator[Frame]:
    """Read all frames in order, one at a time, each uint8 RGB `(H, W, 3)`.

    Raises:
        UnreadableVideoError: there is no frame, or a picture of a folder cannot be read.
    """
    if Path(path).is_dir():
        names = list_frames(path)
        for index in range(len(names)):
            yield load_pictures(path, names, (index,))[0]
        return
    number = -1
    for number, frame in enumerate(decode_every(path)):  # noqa: B007
        yield frame.to_rgb()
    refuse_no_picture(path, number + 1)


DEFAULT_RATE = Fraction(25)
"""Frames per second of a source that does not say."""


def frame_rate(path: str | Path) -> Fraction | None:
    """Average frames per second, None if the source does not say."""
    if Path(path).is_dir():
        return None
    with open_video(path) as (_, stream):
        return _average_rate(stream)


def has_constant_rate(path: str | Path) -> bool:
    """Whether the frames of a file are at its average rate, to a tick of its clock.

    Only its packets are read. A file without times has a constant rate.
    """
    with open_video(path) as (container, stream):
        rate, times = _average_rate(stream), []
        for packet in demux_readable(container, stream):
            time = packet.dts if packet.pts is None or has_ticks(container) else packet.pts
            if packet.size and not packet.is_discard and time is not None:
                times.append(time)
        if rate is None or not times:
            return True
        seconds = (np.sort(times) - min(times)) * float(stream.time_base)
        error = np.abs(seconds - np.arange(len(times)) / float(rate)).max()
        return bool(error < 1.01 * float(stream.time_base))


def picture_start(path: str | Path) -> Fraction:
    """Seconds by the file's clock before the first picture, as where its sound begins earlier."""
    if Path(path).is_dir():
        return Fraction(0)
    with open_video(path) as (container, stream):
        return start_of(container, stream)


def start_of(container: Any, stream: Any) -> Fraction:
    """Seconds by the clock of an open file before the first picture of its stream."""
    if stream.start_time is None or container.start_time is None:
        return Fraction(0)
    start = stream.start_time * stream.time_base - Fraction(container.start_time, 1_000_000)
    return Fraction(max(start, 0))


def _average_rate(stream: Any) -> Fraction | None:
    return stream.average_rate or stream.guessed_rate or None


def _read_file(
    path: str | Path,
    choose_indices: Callable[[int], Sequence[int]],
    *,
    num_threads: int,
    table: PacketTable | None = None,
) -> Clip[Frame]:
    table = table or PACKET_TABLES.get(path)
    with ExitStack() as stack:
        opened = None
        if table is None:
            opened = stack.enter_context(open_video(path))
            table = PACKET_TABLES.read(path, *opened)
        num_frames = table.num_pictures
        refuse_no_picture(path, num_frames)
        indices = tuple(int(index) for index in choose_indices(num_frames))
        # The packets may announce too few frames: count them before a number is refused.
        if max(indices, default=0) >= num_frames:
            num_frames = decode_plain(path, table, ()).num_pictures or 0
            refuse_no_picture(path, num_frames)
            indices = checked_indices(path, choose_indices(num_frames), num_frames)
        indices = checked_indices(path, indices, num_frames)
        decoded = decode_pictures(path, table, indices, num_threads=num_threads, opened=opened)
    if decoded.num_pictures is not None:
        PACKET_TABLES.set_count(path, table, decoded.num_pictures)
    # Decoding found another number of frames than the packets announce: choose again.
    if decoded.num_pictures not in (None, num_frames):
        num_frames = decoded.num_pictures or 0
        refuse_no_picture(path, num_frames)
        indices = checked_indices(path, choose_indices(num_frames), num_frames)
        if not set(indices) <= set(decoded.pictures):
            decoded = decode_plain(path, table, indices)
    return Clip(_stacked(decoded.pictures, indices), indices, num_frames)


def _stacked(pictures: dict[int, Frame], indices: Sequence[int]) -> Frame:
    """Pictures by number as one array (T, H, W, 3); each is dropped when it is copied.

    `np.stack` would need twice the memory.
    """
    stacked = np.empty((len(indices), *pictures[indices[0]].shape), np.uint8)
    left = Counter(indices)
    for row, index in enumerate(indices):
        stacked[row] = pictures[index]
        left[index] -= 1
        if not left[index]:
            del pictures[index]
    return stacked


def refuse_no_picture(path: str | Path, num_frames: int) -> None:
    """Raise `UnreadableVideoError` for a video of no frames."""
    if num_frames == 0:
        raise UnreadableVideoError(path, "not one picture in it can be decoded")


def checked_indices(path: object, indices: Sequence[int], num_frames: int) -> tuple[int, ...]:
    """The indices as a tuple, after a check that there is one and that all are in the video.

    Raises:
        ValueError: there is none, or one outside.
    """
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
