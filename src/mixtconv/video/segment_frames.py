"""The frames of a segment of a recording, by number, without decoding what is before it."""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import cached_property, lru_cache, partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from mixtconv._types import Frame
from mixtconv.video.decoding import decode_range
from mixtconv.video.file_locks import FileLocks
from mixtconv.video.folder import list_frames, load_pictures
from mixtconv.video.in_memory import VideoFrames, given
from mixtconv.video.opening import open_video
from mixtconv.video.packet_table import PACKET_TABLES, FileStamp, PacketTable, file_stamp
from mixtconv.video.pictures import Clip, UnreadableVideoError, VideoInfo
from mixtconv.video.reader import checked_indices, iterate_frames, probe_video, read_pictures
from mixtconv.video.segment import DatasetVideo, Segment, Span, Stretch, Video, in_words
from mixtconv.video.timing import timed_frames
from mixtconv.video.writer import TICKS

Pixels = TypeVar("Pixels")
ChooseIndices = Callable[[int], Sequence[int]]

_RECORDINGS_TIMED = 32
"""Recordings without reliable times of packets of which a process keeps the times of all frames."""

_TOLERANCE = Fraction(1, 2)
"""Part of the last frame by which a segment may end after its recording: Matroska rounds times to
milliseconds, and no file says how long its last frame is shown."""

_LISTING, _TIMING = FileLocks(), FileLocks()


class Recording:
    """Which frames of a recording its segments have; made once for all that is asked of it.

    Args:
        path: a file or a folder of pictures.

    Raises:
        UnreadableVideoError: the file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.table = None if path.is_dir() else packet_table(path)

    @cached_property
    def times(self) -> Sequence[Fraction]:
        """When each frame is first shown, seconds from the first one, ascending.

        They are read from the packets where these tell them; otherwise all frames are decoded once.

        Raises:
            UnreadableVideoError: it has no frame, or is a folder of pictures, which have no times.
        """
        if self.table is None:
            raise UnreadableVideoError(
                self.path,
                "a folder of pictures, which have no times: give segments in frames (start_frame, "
                "end_frame)",
            )
        if self.table.trusted and self.table.num_pictures:
            return PacketTimes(self.table.picture_times, self.table.time_base)
        with _TIMING.of(self.path):
            return _decoded_times(self.path, file_stamp(self.path))

    @cached_property
    def num_frames(self) -> int:
        """Frames that its packets announce, or else that decoding has found."""
        if self.table is None:
            return len(list_frames(self.path))
        return self.table.num_pictures if self.table.trusted else len(self.times)

    @property
    def seconds(self) -> Fraction:
        """How long it is; a folder of pictures has 0 seconds."""
        return Fraction(0) if self.table is None else self.times[-1] + self._last_duration

    @property
    def _last_duration(self) -> Fraction:
        """How long the last frame is shown: as long as the one before, which files do not say."""
        return self.times[-1] - self.times[-2] if len(self.times) > 1 else Fraction(1)

    def __str__(self) -> str:
        frames = f"which has {self.num_frames} frames"
        return frames if self.table is None else f"{frames} in {in_words(round(self.seconds, 3))} s"

    def numbers(self, span: Span, num_frames: int | None = None) -> range:
        """The frames that belong to a segment.

        Of a segment that lies between two frames it is the one shown meanwhile. What is beyond the
        end of the recording is left out.

        Args:
            span: the segment.
            num_frames: frames that can be decoded; by default `self.num_frames`.

        Raises:
            UnreadableVideoError: all of the segment is beyond the end or cannot be decoded, or the
                recording is a folder of pictures and the segment in seconds.
        """
        # Where packets do not tell how many frames there are, decoding all of them did.
        if num_frames is None or (self.table is not None and not self.table.trusted):
            num_frames = self.num_frames
        segment = Segment(self.path, span)
        if span.in_frames:
            first, end = int(span.start), int(span.end)
            if first >= self.num_frames:
                raise UnreadableVideoError(
                    segment, f"it starts after the end of the recording, {self}"
                )
        else:
            first, end = (bisect_left(self.times, time) for time in (span.start, span.end))
            if first == end:  # between two frames, or after the start of the last one
                first = end - 1
            if end == len(self.times) and span.start >= self.seconds:
                raise UnreadableVideoError(
                    segment, f"it starts after the end of the recording, {self}"
                )
        if first >= num_frames:
            raise UnreadableVideoError(
                segment,
                f"not one picture in it can be decoded: it starts with number {first} of the "
                f"recording, of whose {self.num_frames} pictures {num_frames} can be",
            )
        return range(first, min(end, num_frames))

    def reaches(self, span: Span) -> bool:
        """Whether it goes on to the end of a segment, but for half a frame.

        Raises:
            UnreadableVideoError: the segment lies behind its end.
        """
        self.numbers(span)
        if span.in_frames:
            return span.end <= self.num_frames
        return span.end <= self.seconds + _TOLERANCE * self._last_duration

    def stretches(self, spans: Iterable[Span]) -> list[Stretch]:
        """Starts and ends of segments in one unit, seconds, or frames where all are in frames."""
        spans = list(spans)
        if all(span.in_frames for span in spans):
            return [(span.start, span.end) for span in spans]
        return [
            (self._shown(span.start), self._shown(span.end))
            if span.in_frames
            else (span.start, span.end)
            for span in spans
        ]

    def in_seconds(self, span: Span) -> Span:
        """A segment in seconds; one whose frames are all shown at one time lasts a tick.

        Raises:
            UnreadableVideoError: the recording has no frame, or no times.
        """
        if not span.in_frames:
            return span
        start, end = self._shown(span.start), self._shown(span.end)
        return Span(start, max(end, start + Fraction(1, TICKS)))

    def last_seconds(self, span: Span) -> Fraction:
        """How long the last frame of a segment is shown in it.

        Raises:
            UnreadableVideoError: as `numbers`.
        """
        last = self.times[self.numbers(span)[-1]]
        end = min(self.in_seconds(span).end, self.seconds)
        return max(end - last, Fraction(1, TICKS))

    def _shown(self, number: Fraction) -> Fraction:
        """When a frame is shown, or would be if the recording went on."""
        beyond = max(int(number) - len(self.times), 0)
        if not beyond and number < len(self.times):
            return self.times[int(number)]
        return self.seconds + beyond * self._last_duration


def read_video(
    video: str | Video | VideoFrames,
    choose_indices: ChooseIndices,
    *,
    num_threads: int = 0,
    least_short_side: int | None = None,
) -> Clip[Frame]:
    """Read frames of a video or a segment as `reader.read_pictures` does those of a file.

    Of frames in memory they are chosen in the same way. A dataset is asked for its video.

    Raises:
        UnreadableVideoError: the video has no readable frame, or the segment none in it.
    """
    if isinstance(video, DatasetVideo):
        with given(video) as source:
            return read_video(
                source, choose_indices, num_threads=num_threads, least_short_side=least_short_side
            )
    if isinstance(video, VideoFrames):
        num_frames = len(video.pictures)
        return video.read(checked_indices(video, choose_indices(num_frames), num_frames))
    read = partial(read_pictures, num_threads=num_threads, least_short_side=least_short_side)
    if not isinstance(video, Segment):
        return read(video, choose_indices)
    recording = Recording(video.path)
    return _read_segment(video, recording, choose_indices, partial(read, table=recording.table))


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
    return _read_segment(video, Recording(video.path), choose_indices, read)


def _read_segment(
    segment: Segment,
    recording: Recording,
    choose_indices: ChooseIndices,
    read: Callable[[Path, ChooseIndices], Clip[Pixels]],
) -> Clip[Pixels]:
    numbers = range(0)

    def choose(num_frames: int) -> list[int]:
        nonlocal numbers
        numbers = recording.numbers(segment.span, num_frames)
        chosen = checked_indices(segment, choose_indices(len(numbers)), len(numbers))
        return [numbers[index] for index in chosen]

    clip = read(segment.path, choose)
    indices = tuple(index - numbers.start for index in clip.indices)
    return Clip(clip.frames, indices, len(numbers))


def packet_table(path: Path) -> PacketTable:
    """The packets of a file, kept if they were listed before."""
    if (table := PACKET_TABLES.get(path)) is not None:
        return table
    with _LISTING.of(path):  # of segments that are read at a time, one lists them
        if (table := PACKET_TABLES.get(path)) is None:
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
    if isinstance(video, DatasetVideo):
        with given(video) as source:
            yield from (
                source.pictures if isinstance(source, VideoFrames) else iterate_frames(source)
            )
    elif isinstance(video, Segment):
        yield from _frames_of(video, Recording(video.path))
    else:
        yield from iterate_frames(video)


def iterate_timed(segment: Segment) -> Iterator[tuple[Fraction, Frame]]:
    """All frames of a segment as `iterate_video`, with the seconds from its first frame.

    Raises:
        UnreadableVideoError: as there.
    """
    recording = Recording(segment.path)
    times, numbers = recording.times, recording.numbers(segment.span)
    frames = _frames_of(segment, recording)
    # A damaged file may have fewer frames than are listed, as when it is read as a whole.
    for number, frame in zip(numbers, frames, strict=False):
        yield times[number] - times[numbers.start], frame


def _frames_of(segment: Segment, recording: Recording) -> Iterator[Frame]:
    numbers = recording.numbers(segment.span)
    path, table = recording.path, recording.table
    if table is None:
        names = list_frames(path)
        for number in numbers:
            yield load_pictures(path, names, (number,))[0]
        return
    has_any = False
    for frame in decode_range(path, table, numbers):
        has_any = True
        yield frame
    if not has_any:
        raise UnreadableVideoError(segment, "not one picture in it can be decoded")


def shown_at(video: Segment, indices: Sequence[int]) -> list[Fraction]:
    """When frames of a segment are first shown, seconds from the first frame of the recording.

    Args:
        video: the segment.
        indices: of its frames, counted from its first one.
    """
    recording = Recording(video.path)
    first = recording.numbers(video.span).start
    return [recording.times[first + index] for index in indices]


def probe(video: Video) -> VideoInfo:
    """The facts about a video, or about a segment as if it were one; see `reader.probe_video`.

    Raises:
        UnreadableVideoError: it has no readable frame.
    """
    if isinstance(video, DatasetVideo):
        with given(video) as source:
            return source.info() if isinstance(source, VideoFrames) else probe_video(source)
    if not isinstance(video, Segment):
        return probe_video(video)
    recording = Recording(video.path)
    info = probe_video(video.path, table=recording.table)
    return replace(info, num_frames=len(recording.numbers(video.span, info.num_frames)))
