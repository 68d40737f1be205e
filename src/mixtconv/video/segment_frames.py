"""The frames of a segment of a recording, by number, without decoding what is before it."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mixtconv._types import Frame
from mixtconv.video.decoding import decode_range
from mixtconv.video.folder import list_frames, load_pictures
from mixtconv.video.opening import open_video
from mixtconv.video.packet_table import PACKET_TABLES, FileStamp, PacketTable, file_stamp
from mixtconv.video.pictures import Clip, UnreadableVideoError, VideoInfo
from mixtconv.video.reader import checked_indices, iterate_frames, probe_video, read_pictures
from mixtconv.video.segment import Segment, Video, in_words
from mixtconv.video.timing import timed_frames

Pixels = TypeVar("Pixels")
ChooseIndices = Callable[[int], Sequence[int]]

_RECORDINGS_TIMED = 32
"""Recordings without reliable times of packets of which a process keeps the times of all frames."""


def read_video(
    video: str | Path | Segment,
    choose_indices: ChooseIndices,
    *,
    num_threads: int = 0,
    least_short_side: int | None = None,
) -> Clip[Frame]:
    """Read frames of a video or a segment as `reader.read_pictures` does those of a file.

    Raises:
        UnreadableVideoError: the video has no readable frame, or the segment none in it.
    """

    def read(path: Path, choose: ChooseIndices) -> Clip[Frame]:
        return read_pictures(
            path, choose, num_threads=num_threads, least_short_side=least_short_side
        )

    return read_within(video, choose_indices, read)


def read_within(
    video: str | Path | Segment,
    choose_indices: ChooseIndices,
    read: Callable[[Path, ChooseIndices], Clip[Pixels]],
) -> Clip[Pixels]:
    """Read a segment by a function that reads whole files, as if it were a file of its own.

    Args:
        video: the segment, or a whole video, which is read as it is.
        choose_indices: gets the number of frames of the segment, and returns the wanted ones.
        read: reads frames of a file that are chosen likewise.

    Returns:
        The frames; indices and number of frames are those within the segment.

    Raises:
        UnreadableVideoError: the recording has no frame in the segment.
    """
    if not isinstance(video, Segment):
        return read(Path(video), choose_indices)
    numbers = range(0)

    def choose(num_frames: int) -> list[int]:
        nonlocal numbers
        numbers = frame_numbers(video, num_frames)
        chosen = checked_indices(video, choose_indices(len(numbers)), len(numbers))
        return [numbers[index] for index in chosen]

    clip = read(video.path, choose)
    indices = tuple(index - numbers.start for index in clip.indices)
    return Clip(clip.frames, indices, len(numbers))


def frame_numbers(segment: Segment, num_frames: int) -> range:
    """The frames of a recording that belong to a segment.

    Of a segment that lies between two frames it is the one shown meanwhile. What is beyond the end
    of the recording is left out.

    Args:
        segment: the segment.
        num_frames: frames of the recording.

    Raises:
        UnreadableVideoError: all of the segment is beyond the end, or the recording is a folder of
            pictures and the segment in seconds.
    """
    span = segment.span
    if span.in_frames:
        first, end = int(span.start), min(int(span.end), num_frames)
        if first >= num_frames:
            raise UnreadableVideoError(
                segment, f"it starts after the end of the recording, which has {num_frames} frames"
            )
        return range(first, end)
    times = frame_times(segment.path)
    first, end = (min(bisect_left(times, time), num_frames) for time in (span.start, span.end))
    if first == end:  # between two frames, or after the start of the last one
        first = end - 1
    if end == len(times) and span.start >= times[-1] + _last_duration(times):
        raise UnreadableVideoError(
            segment,
            f"it starts after the end of the recording, {extent_in_words(segment.path)}",
        )
    return range(first, end)


def _last_duration(times: Sequence[Fraction]) -> Fraction:
    """How long the last frame is shown: as long as the one before, which files do not say."""
    return times[-1] - times[-2] if len(times) > 1 else Fraction(1)


def frame_times(path: Path) -> Sequence[Fraction]:
    """When each frame of a recording is first shown, seconds from the first one, ascending.

    They are read from the packets where these tell them; otherwise all frames are decoded once.

    Raises:
        UnreadableVideoError: it has no frame, or is a folder of pictures, which have no times.
    """
    if path.is_dir():
        raise UnreadableVideoError(
            path,
            "a folder of pictures, which have no times: give segments in frames (start_frame, "
            "end_frame)",
        )
    table = packet_table(path)
    if not table.trusted or not table.num_pictures:
        return _decoded_times(path, file_stamp(path))
    return PacketTimes(table.picture_times, table.time_base)


def packet_table(path: Path) -> PacketTable:
    """The packets of a file, kept if they were listed before."""
    table = PACKET_TABLES.get(path)
    if table is None:
        with open_video(path) as opened:
            table = PACKET_TABLES.read(path, *opened)
    return table


class PacketTimes(Sequence[Fraction]):
    """Times of frames as the packets of a file have them, each made when it is asked for."""

    def __init__(self, ticks: npt.NDArray[np.int64], time_base: Fraction) -> None:
        self._ticks, self._time_base = ticks, time_base

    def __len__(self) -> int:
        return len(self._ticks)

    def __getitem__(self, index: int) -> Fraction:  # type: ignore[override]
        return (int(self._ticks[index]) - int(self._ticks[0])) * self._time_base


@lru_cache(maxsize=_RECORDINGS_TIMED)
def _decoded_times(path: Path, stamp: FileStamp) -> tuple[Fraction, ...]:
    """Times of the frames of a file by decoding them all; `stamp` tells a changed file."""
    return tuple(frame.seconds for frame in timed_frames(path))


def iterate_video(video: Video) -> Iterator[Frame]:
    """All frames of a video or a segment in order, one at a time, each uint8 RGB `(H, W, 3)`.

    Raises:
        UnreadableVideoError: there is no frame, or a picture of a folder cannot be read.
    """
    if not isinstance(video, Segment):
        yield from iterate_frames(video)
        return
    path = video.path
    if path.is_dir():
        names = list_frames(path)
        for number in frame_numbers(video, len(names)):
            yield load_pictures(path, names, (number,))[0]
        return
    table = packet_table(path)
    # Where packets do not tell how many frames there are, one beyond the last ends the decoding.
    count = table.num_pictures if table.trusted else len(frame_times(path))
    yield from decode_range(path, table, frame_numbers(video, count))


def times_in(video: Segment) -> list[Fraction]:
    """When each frame of a segment is first shown, seconds from its first frame."""
    times = frame_times(video.path)
    numbers = frame_numbers(video, len(times))
    return [times[number] - times[numbers.start] for number in numbers]


def shown_at(video: Segment, indices: Sequence[int]) -> list[Fraction]:
    """When frames of a segment are first shown, seconds from the first frame of the recording.

    Args:
        video: the segment.
        indices: of its frames, counted from its first one.
    """
    times = frame_times(video.path)
    first = frame_numbers(video, len(times)).start
    return [times[first + index] for index in indices]


def probe(video: Video) -> VideoInfo:
    """The facts about a video, or about a segment as if it were one; see `reader.probe_video`.

    Raises:
        UnreadableVideoError: it has no readable frame.
    """
    if not isinstance(video, Segment):
        return probe_video(video)
    info = probe_video(video.path)
    return replace(info, num_frames=len(frame_numbers(video, info.num_frames)))


def ends_in(segment: Segment) -> bool:
    """Whether a recording goes on to the end of a segment.

    Raises:
        UnreadableVideoError: it has no frame, or the segment lies behind its end.
    """
    frame_numbers(segment, num_frames := _count(segment.path))
    if segment.span.in_frames:
        return segment.span.end <= num_frames
    times = frame_times(segment.path)
    return segment.span.end <= times[-1] + _last_duration(times)


def extent(path: Path) -> tuple[Fraction, Fraction]:
    """How long a recording is, in seconds and in frames; a folder of pictures has 0 seconds.

    Raises:
        UnreadableVideoError: it has no frame.
    """
    if path.is_dir():
        return Fraction(0), Fraction(len(list_frames(path)))
    times = frame_times(path)
    return times[-1] + _last_duration(times), Fraction(len(times))


def extent_in_words(path: Path) -> str:
    """How long a recording is, for the user."""
    if path.is_dir():
        return f"which has {len(list_frames(path))} frames"
    times = frame_times(path)
    seconds = in_words(round(times[-1] + _last_duration(times), 3))
    return f"which has {len(times)} frames in {seconds} s"


def _count(path: Path) -> int:
    return len(list_frames(path)) if path.is_dir() else len(frame_times(path))
