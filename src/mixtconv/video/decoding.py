"""Frames of a video file by number, exactly those of decoding the file from its start.

There are two ways. Plain decoding starts at the first packet, uses one thread, skips packets that
cannot be decoded, and is correct by definition. Checked decoding may use several threads, jump to
later entries and leave out packets that no wanted frame depends on. It sets the decoder to report
damage instead of concealing it (concealment depends on the number of threads), and compares the
time of every frame with the packet table. At the first difference it stops, and the file is decoded
plainly.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtconv._types import Frame
from mixtconv.video.colour import convert_colours
from mixtconv.video.kept_open import KEPT_OPEN, REUSABLE_CODECS, OpenFile
from mixtconv.video.opening import Opened, open_video, report_damage, square_size
from mixtconv.video.packet_table import (
    LONG_BYTES,
    PacketTable,
    Run,
    demux_readable,
    has_ticks,
    mean_run_length,
    plan_runs,
)

# Decoders that can report damage with several threads. Others (such as VP8's) use one thread,
# because their output for damaged packets depends on the number of threads.
THREADED_CODECS = {"h264", "hevc", "mpeg4", "vp9"}

# Each thread holds a frame back at the end of every run: with two threads, decoding eight runs of 2
# to 8 packets takes 1.3 to 2.5 times as long as with one.
MIN_PACKETS_THREADED = 16


@dataclass(frozen=True)
class Decoded:
    """Result of one pass over a file."""

    pictures: dict[int, Frame]
    """Frames RGB `(H, W, 3)` by number; those past the end of the video are absent."""
    num_pictures: int | None
    """Frames in the file if they were counted, else None."""


class _UnexpectedError(Exception):
    """Checked decoding met a difference from the packet table, or damage."""


def decode_pictures(
    path: str | Path,
    table: PacketTable,
    wanted: Sequence[int],
    *,
    num_threads: int,
    opened: Opened | None = None,
) -> Decoded:
    """Decode frames by number.

    Args:
        path: the file.
        table: its packets.
        wanted: numbers of the frames.
        num_threads: threads of the decoder, 0 for the codec's choice.
        opened: the file as `open_video` yields it, to save opening it again; nothing may have been
            decoded from it. Else long recordings stay open from one call to the next.
    """
    order = sorted(set(wanted))
    if order[-1] >= table.num_pictures:  # more frames than packets: one packet gives several
        return decode_plain(path, table, order)
    if table.codec not in THREADED_CODECS:
        num_threads = 1
    runs = plan_runs(table, order)
    if num_threads == 0 and table.trusted and mean_run_length(table, runs) < MIN_PACKETS_THREADED:
        num_threads = 1
    jumps = any(entry != (0, 0) for entry, _ in runs)
    try:
        if jumps or table.spare.any() or (table.trusted and num_threads != 1):
            return _decode_checked(path, table, runs, num_threads, opened)
        if num_threads != 1:
            return decode_plain(path, table, order, num_threads=num_threads)
    except _UnexpectedError:
        return decode_plain(path, table, order)
    return decode_plain(path, table, order)


@dataclass(frozen=True)
class TimedFrame:
    """A decoded frame that is not yet converted, and its time."""

    frame: Any
    """PyAV's frame."""
    size: tuple[int, int]
    """Width and height after conversion, see `to_rgb`."""
    time_base: Fraction
    """Seconds of the stream's unit of time; PyAV does not set it in the last frames of a file."""

    @property
    def seconds(self) -> Fraction | None:
        """Exact presentation time, None if the source has none."""
        return None if self.frame.pts is None else self.frame.pts * self.time_base

    def to_rgb(self) -> Frame:
        """The frame as RGB `(H, W, 3)`, upright."""
        return to_rgb(self.frame, self.size)


def decode_every(path: str | Path) -> Iterator[TimedFrame]:
    """Decode every frame of a file in order, plainly.

    AVI stores no times of display: its packets are a period apart, and the k-th frame on the screen
    has the time of the k-th packet, in whatever order the packets are stored.
    """
    with open_video(path) as (container, stream):
        stream.thread_count = 1
        size = square_size(stream)
        is_avi = has_ticks(container)
        times: deque[int | None] = deque()  # of packets whose frames the decoder has not given yet
        for packet in _with_flush(container, stream):
            frames = decode_packet(stream, packet)
            if is_avi and packet is not None and frames is not None:
                times.append(packet.dts)
            for frame in frames or ():
                if times:
                    frame.pts = times.popleft()
                yield TimedFrame(frame, size, stream.time_base)


def decode_range(path: str | Path, table: PacketTable, numbers: range) -> Iterator[Frame]:
    """Decode consecutive frames of a file one at a time, from the last entry before them.

    At the first difference from the packet table the file is decoded plainly from its start.
    """
    given = numbers.start
    if table.trusted and numbers.stop <= table.num_pictures:
        try:
            for number, picture in _range_checked(path, table, numbers):
                yield picture
                given = number + 1
        except _UnexpectedError:
            pass
    if given < numbers.stop:
        for number, frame in enumerate(decode_every(path)):
            if number >= numbers.stop:
                return
            if number >= given:
                yield frame.to_rgb()


def _range_checked(
    path: str | Path, table: PacketTable, numbers: range
) -> Iterator[tuple[int, Frame]]:
    """Decode consecutive frames by one run of `_decode_checked`, each yielded with its number."""
    run = plan_runs(table, [numbers.start])[0]
    with _open_strictly(path, table, num_threads=1) as file:
        for number, frame in _frames_of_run(file, table, (run[0], tuple(numbers))):
            if number in numbers:
                yield number, to_rgb(frame, file.size)
            if number == numbers[-1]:
                return
        raise _UnexpectedError  # fewer frames than expected


def decode_plain(
    path: str | Path,
    table: PacketTable,
    wanted: Sequence[int],
    *,
    num_threads: int = 1,
) -> Decoded:
    """Decode from the first packet with one thread; without wanted frames, count those of the file.

    Decoding stops at the last wanted frame. It continues to the end, counting, if the number of
    packets is not reliably that of frames, or turned out not to be. With another number of threads
    than one, damage is not skipped but raises `_UnexpectedError`.
    """
    is_strict = num_threads != 1
    numbers = set(wanted)
    last = max(numbers, default=-1)
    pictures: dict[int, Frame] = {}
    count = 0
    counting = last < 0 or not (table.trusted or table.counted)
    with open_video(path) as (container, stream), _strictly() if is_strict else nullcontext():
        stream.thread_count = num_threads
        if is_strict:
            report_damage(stream, num_threads)
        size = square_size(stream)
        for packet in _with_flush(container, stream):
            frames = stream.decode(packet) if is_strict else decode_packet(stream, packet)
            counting = counting or frames is None
            for frame in frames or ():
                if count in numbers:
                    pictures[count] = to_rgb(frame, size)
                if table.trusted and not _as_announced(table, count, frame):
                    counting = True
                count += 1
            if count > last and not counting:
                return Decoded(pictures, None)
    return Decoded(pictures, count)


def decode_packet(stream: Any, packet: Any) -> list[Any] | None:
    """The frames of a packet, None if it cannot be decoded."""
    import av  # noqa: PLC0415

    try:
        frames: list[Any] = stream.decode(packet)
    except av.FFmpegError:
        return None
    return frames


def to_rgb(frame: Any, size: tuple[int, int]) -> Frame:
    """Convert a decoded frame to upright RGB `(H, W, 3)`.

    `size` is that of the stream with square pixels (`square_size`), to which the frame is scaled if
    it has another, as in anamorphic video and in a recording that changes its resolution.
    """
    return _upright(convert_colours(frame, *size), frame)


def shown_size(frame: Any, size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the picture that `to_rgb(frame, size)` gives."""
    is_turned, _, _ = _turn(frame)
    return size[::-1] if is_turned else size


def to_square_grey(frame: Any, side: int, scaler: Any) -> Frame:
    """Convert a decoded frame to an upright grey picture `(side, side)`, whatever its aspect.

    `scaler` is a `VideoReformatter`, kept from frame to frame; every pixel is the mean of its area.
    """
    grey = scaler.reformat(frame, side, side, format="gray", interpolation="AREA", threads=1)
    return _upright(grey.to_ndarray()[:, :, None], frame)[:, :, 0]


def _upright(rgb: Frame, frame: Any) -> Frame:
    """Turn and mirror the pixels of a frame as it is to be shown."""
    is_turned, flip_x, flip_y = _turn(frame)
    if is_turned:
        rgb = rgb.transpose(1, 0, 2)  # (W, H, 3)
    return rgb[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


def _turn(frame: Any) -> tuple[bool, bool, bool]:
    """Whether width and height are exchanged, then x and y reversed, by the display matrix.

    It is x' = a x + c y, y' = b x + d y, x to the right and y down. Only quarter turns and mirror
    images are applied; cameras write no others.
    """
    a, b, c, d = _display_matrix(frame)
    if a == d == 0 and b and c:
        return True, c < 0, b < 0
    if b == c == 0:
        return False, a < 0, d < 0
    return False, False, False


def _display_matrix(frame: Any) -> tuple[int, int, int, int]:
    """a, b, c, d of the display matrix, of which here only the signs count; (1, 0, 0, 1) without.

    PyAV raises for a frame with side data of a kind that is newer than itself, such as the Exif of
    MJPEG and TIFF. Of such a frame it gives the turn, without a mirror image.
    """
    import av  # noqa: PLC0415

    try:
        side_data = frame.side_data.get(av.sidedata.sidedata.Type.DISPLAYMATRIX)
    except ValueError:
        return _QUARTER_TURNS.get(frame.rotation % 360, (1, 0, 0, 1))
    if side_data is None:
        return 1, 0, 0, 1
    a, b, _, c, d = np.frombuffer(bytes(side_data), dtype=np.int32)[:5].tolist()
    return a, b, c, d


_QUARTER_TURNS = {90: (0, -1, 1, 0), 180: (-1, 0, 0, -1), 270: (0, 1, -1, 0)}
"""Degrees counterclockwise -> the display matrix."""


def _with_flush(container: Any, stream: Any) -> Iterator[Any]:
    """Yield the packets, then None, at which the decoder outputs the frames that it holds back."""
    yield from (packet for packet in demux_readable(container, stream) if packet.size)
    yield None


def _decode_checked(
    path: str | Path,
    table: PacketTable,
    runs: Sequence[Run],
    num_threads: int,
    opened: Opened | None = None,
) -> Decoded:
    """Decode runs, each from its entry, and check every frame against the packet table."""
    pictures: dict[int, Frame] = {}
    with _open_strictly(path, table, num_threads, opened) as file:
        for run in runs:
            numbers = run[1]
            for number, frame in _frames_of_run(file, table, run):
                if number in numbers:
                    pictures[number] = to_rgb(frame, file.size)
                if number == numbers[-1]:
                    break
            else:  # fewer frames than expected
                raise _UnexpectedError
    return Decoded(pictures, None)


def _frames_of_run(file: OpenFile, table: PacketTable, run: Run) -> Iterator[tuple[int, Any]]:
    """Decode a run from its entry: frames with their numbers, while they agree with the table."""
    (entry_packet, entry_picture), numbers = run
    if entry_packet or not file.is_new:
        file.container.seek(int(table.seek_times[entry_packet]), stream=file.stream)
    # The packets that the decoder gets, and the numbers of the frames that they must give.
    needed = table.needed(numbers)
    packets = _from_packet(file, table, entry_packet, needed)
    frames = (frame for packet in packets for frame in file.decode(packet))
    given = table.picture_packets[entry_picture : numbers[-1] + 1]
    expected = np.flatnonzero(needed[given]) + entry_picture
    return _numbered(frames, table, expected.tolist())


@contextmanager
def _open_strictly(
    path: str | Path, table: PacketTable, num_threads: int, opened: Opened | None = None
) -> Iterator[OpenFile]:
    """Open a file unless it is open; damage that its decoder reports raises `_UnexpectedError`."""
    is_long = table.num_bytes >= LONG_BYTES and table.codec in REUSABLE_CODECS
    with _strictly(), ExitStack() as stack:
        if is_long and num_threads == 1 and not opened:
            yield stack.enter_context(KEPT_OPEN.lend(path))
            return
        container, stream = opened or stack.enter_context(open_video(path))
        report_damage(stream, num_threads)
        yield OpenFile(container, stream, square_size(stream), is_new=not opened)


@contextmanager
def _strictly() -> Iterator[None]:
    """Raise the damage that a decoder reports as `_UnexpectedError`."""
    import av  # noqa: PLC0415

    try:
        yield
    except av.FFmpegError as error:
        raise _UnexpectedError from error


def _from_packet(
    file: OpenFile, table: PacketTable, start: int, needed: npt.NDArray[np.bool_]
) -> Iterator[Any]:
    """Yield the needed packets from number `start` on, while they agree with the table."""
    position = -1
    for packet in _with_flush(file.container, file.stream):
        if packet is not None:
            file.see(packet)
            position = _landing(table, packet, start) if position < 0 else position + 1
            if position >= len(table.times) or (packet.pts, packet.size) != (
                table.times[position],
                table.sizes[position],
            ):
                raise _UnexpectedError
            if position < start or not needed[position]:
                continue
        yield packet


def _landing(table: PacketTable, packet: Any, start: int) -> int:
    """Number of the packet at which a seek has landed; it must not be after `start`."""
    if table.times[start] == packet.pts:  # as nearly always; no time occurs twice
        return start
    matches = np.flatnonzero(table.times[: start + 1] == packet.pts)
    if len(matches) != 1:
        raise _UnexpectedError
    return int(matches[0])


def _numbered(
    frames: Iterator[Any], table: PacketTable, numbers: Sequence[int]
) -> Iterator[tuple[int, Any]]:
    """Pair the frames with their numbers, while their times agree with the table."""
    for frame, number in zip(frames, numbers, strict=False):
        if not _as_announced(table, number, frame):
            raise _UnexpectedError
        yield number, frame


def _as_announced(table: PacketTable, number: int, frame: Any) -> bool:
    """Whether a frame has the time that the packet table has for this number."""
    return bool(number < table.num_pictures and frame.pts == table.picture_times[number])
