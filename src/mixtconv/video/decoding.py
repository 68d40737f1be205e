"""Pictures of a video file by number, exactly those of decoding the file from its start.

There are two ways. The plain one decodes from the first packet with one thread, skips packets
that cannot be decoded, and is right by definition. The checked one may use several threads, jump
to later entries and leave out packets that nothing wanted depends on; it tells the decoder to
report damage instead of hiding it (how damage is hidden differs with the number of threads) and
compares every picture's time with the packet table. At the first thing that is not as expected it
gives up and the plain way is taken.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtconv._types import Frame
from mixtconv.video.packet_table import (
    PacketTable,
    Run,
    demux_readable,
    mean_run_length,
    plan_runs,
)
from mixtconv.video.pictures import UnreadableVideoError

# Decoders that report damage they would otherwise hide when several threads work; others (VP8 is
# one) stay with one thread, because what they make of damage depends on the number of threads.
THREADED_CODECS = {"h264", "hevc", "mpeg4", "vp9"}

# Each thread holds a picture back, at the end of every run: decoding eight runs of 2 to 8 packets
# takes 1.3 to 2.5 times as long with two threads as with one.
MIN_PACKETS_THREADED = 16

Opened = tuple[Any, Any]
"""A PyAV container and its video stream."""


@dataclass(frozen=True)
class Decoded:
    """Result of one pass over a file."""

    pictures: dict[int, Frame]
    """RGB, `(H, W, 3)`, by number; those past the end of the video are absent."""
    num_pictures: int | None
    """Pictures in the file, if the pass had reason to count them, else None."""


class _UnexpectedError(Exception):
    """The checked way met something it cannot vouch for."""


@contextmanager
def open_video(path: str | Path) -> Iterator[Opened]:
    """Opens a file as (container, video stream), and closes it whatever happens."""
    import av  # noqa: PLC0415

    source = Path(path)
    if not source.exists():
        raise UnreadableVideoError(path, "there is no such file or folder")
    if source.stat().st_size == 0:
        raise UnreadableVideoError(path, "the file is empty (0 bytes)")
    # Titles in a broken encoding do not matter; PyAV 19 no longer asks what to do with them.
    lenient = {} if int(av.__version__.split(".")[0]) >= 19 else {"metadata_errors": "ignore"}
    try:
        container = av.open(str(source), **lenient)
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UnreadableVideoError(
            path, f"not a video, or its header is damaged or missing ({reason})"
        ) from error
    with container:
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in container.streams.video if not s.disposition & cover]
        if not streams:
            kinds = sorted({s.type for s in container.streams}) or ["nothing"]
            raise UnreadableVideoError(
                path, f"the file has no video stream, it holds {' and '.join(kinds)} only"
            )
        if streams[0].codec_context is None:
            raise UnreadableVideoError(path, "there is no decoder for its video stream")
        yield container, streams[0]


def decode_pictures(
    path: str | Path,
    table: PacketTable,
    wanted: Sequence[int],
    *,
    num_threads: int,
    opened: Opened | None = None,
    at_start: bool = False,
) -> Decoded:
    """Decodes the pictures of the given numbers; `num_threads` 0 leaves the choice to the codec.

    `opened` is the file as `open_video` gives it, from which nothing has been decoded, so that it
    need not be opened once more; `at_start` says that no packet has been read from it either.
    """
    order = sorted(set(wanted))
    if order[-1] >= table.num_pictures:  # a packet gives several
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
            return _decode_threaded(path, table, order, num_threads)
    except _UnexpectedError:
        return decode_plain(path, table, order)
    return decode_plain(path, table, order, opened if at_start else None)


@dataclass(frozen=True)
class TimedFrame:
    """A decoded frame that is not yet converted, and its time."""

    frame: Any
    """As PyAV gives it."""
    size: tuple[int, int]
    """Width and height that it is converted to, see `to_rgb`."""
    time_base: Fraction
    """Seconds of the stream's unit of time; the last frames of a file do not know it themselves."""

    @property
    def seconds(self) -> Fraction | None:
        """Presentation time exactly, None where the source gives none."""
        return None if self.frame.pts is None else self.frame.pts * self.time_base

    def to_rgb(self) -> Frame:
        """The picture, `(H, W, 3)`, upright."""
        return to_rgb(self.frame, self.size)


def decode_every(path: str | Path) -> Iterator[Frame]:
    """Decodes every picture of a file in order, in the plain way."""
    return (frame.to_rgb() for frame in decode_every_timed(path))


def decode_every_timed(path: str | Path) -> Iterator[TimedFrame]:
    """Decodes every picture of a file as `decode_every`, each with its time."""
    with open_video(path) as (container, stream):
        stream.thread_count = 1
        size = (stream.width, stream.height)
        for packet in _with_flush(container, stream):
            for frame in decode_packet(stream, packet) or ():
                yield TimedFrame(frame, size, stream.time_base)


def decode_plain(
    path: str | Path, table: PacketTable, wanted: Sequence[int], opened: Opened | None = None
) -> Decoded:
    """Decodes from the first packet with one thread; nothing wanted counts the whole file.

    It stops at the last wanted picture, but goes on to the end, counting, where the number of
    packets has turned out not to be the number of pictures or cannot be trusted to be. `opened` is
    the file, untouched.
    """
    numbers = set(wanted)
    last = max(numbers, default=-1)
    pictures: dict[int, Frame] = {}
    count = 0
    counting = last < 0 or not (table.trusted or table.counted)
    with nullcontext(opened) if opened else open_video(path) as (container, stream):
        stream.thread_count = 1
        size = (stream.width, stream.height)
        for packet in _with_flush(container, stream):
            frames = decode_packet(stream, packet)
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
    """The frames that a packet gives, None if it cannot be decoded."""
    import av  # noqa: PLC0415

    try:
        frames: list[Any] = stream.decode(packet)
    except av.FFmpegError:
        return None
    return frames


def to_rgb(frame: Any, size: tuple[int, int]) -> Frame:
    """Converts a decoded frame to upright RGB, `(H, W, 3)`.

    `size` is the stream's (width, height); a frame of another size, as in a recording that
    switches its resolution, is scaled to it.
    """
    from av.video.reformatter import VideoReformatter  # noqa: PLC0415

    # One thread, and not the reformatter that frames share from PyAV 19 on: a forked process would
    # wait for ever for threads that it was not given.
    width, height = size
    rgb: Any = VideoReformatter().reformat(frame, width, height, format="rgb24", threads=1)
    return _upright(rgb.to_ndarray(), frame)


def _upright(rgb: Frame, frame: Any) -> Frame:
    """Applies the display matrix: x' = a x + c y, y' = b x + d y, x to the right and y down.

    Only quarter turns and mirror images are applied, which is what cameras write.
    """
    import av  # noqa: PLC0415

    side_data = frame.side_data.get(av.sidedata.sidedata.Type.DISPLAYMATRIX)
    if side_data is None:
        return rgb
    a, b, _, c, d = np.frombuffer(bytes(side_data), dtype=np.int32)[:5].tolist()
    if a == d == 0 and b and c:
        rgb = rgb.transpose(1, 0, 2)  # (W, H, 3)
        flip_x, flip_y = c < 0, b < 0
    elif b == c == 0:
        flip_x, flip_y = a < 0, d < 0
    else:
        return rgb
    return rgb[:: -1 if flip_y else 1, :: -1 if flip_x else 1]


def _with_flush(container: Any, stream: Any) -> Iterator[Any]:
    """Yields the packets, then None, at which a decoder gives what it held back."""
    yield from demux_readable(container, stream)
    yield None


def _decode_threaded(
    path: str | Path, table: PacketTable, wanted: Sequence[int], num_threads: int
) -> Decoded:
    """Decodes in order with several threads, where the packets do not say what to expect."""
    pictures: dict[int, Frame] = {}
    count = 0
    with open_video(path) as (container, stream), _strictly(stream, num_threads):
        size = (stream.width, stream.height)
        for packet in _with_flush(container, stream):
            for frame in stream.decode(packet):
                if count in wanted:
                    pictures[count] = to_rgb(frame, size)
                count += 1
            if table.counted and count > wanted[-1]:
                return Decoded(pictures, None)
    return Decoded(pictures, count)


def _decode_checked(
    path: str | Path,
    table: PacketTable,
    runs: Sequence[Run],
    num_threads: int,
    opened: Opened | None = None,
) -> Decoded:
    pictures: dict[int, Frame] = {}
    with (
        nullcontext(opened) if opened else open_video(path) as (container, stream),
        _strictly(stream, num_threads),
    ):
        size = (stream.width, stream.height)
        for (entry_packet, entry_picture), numbers in runs:
            if entry_packet or opened:
                container.seek(int(table.seek_times[entry_packet]), stream=stream)
            needed = table.needed(numbers)
            packets = _from_packet(_with_flush(container, stream), table, entry_packet, needed)
            frames = (frame for packet in packets for frame in stream.decode(packet))
            given = np.flatnonzero(needed[table.picture_packets[entry_picture:]]) + entry_picture
            for number, frame in _numbered(frames, table, given.tolist()):
                if number in numbers:
                    pictures[number] = to_rgb(frame, size)
                if number == numbers[-1]:
                    break
            else:  # ended too soon
                raise _UnexpectedError
    return Decoded(pictures, None)


@contextmanager
def _strictly(stream: Any, num_threads: int) -> Iterator[None]:
    """Sets a decoder up to report damage, which is then unexpected."""
    import av  # noqa: PLC0415

    stream.thread_count = num_threads
    stream.thread_type = "FRAME"
    stream.codec_context.options = {"err_detect": "explode"}
    try:
        yield
    except av.FFmpegError as error:
        raise _UnexpectedError from error


def _from_packet(
    packets: Iterator[Any], table: PacketTable, start: int, needed: npt.NDArray[np.bool_]
) -> Iterator[Any]:
    """Passes the needed packets on from number `start`, if they are all those of the table."""
    position = -1
    for packet in packets:
        if packet is not None:
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
    """Number of the packet at which a jump has landed; it must not be behind `start`."""
    found = np.flatnonzero(table.times[: start + 1] == packet.pts)
    if len(found) != 1:
        raise _UnexpectedError
    return int(found[0])


def _numbered(
    frames: Iterator[Any], table: PacketTable, numbers: Sequence[int]
) -> Iterator[tuple[int, Any]]:
    """Gives the frames their numbers, making sure that their times are those of the table."""
    for frame, number in zip(frames, numbers, strict=False):
        if not _as_announced(table, number, frame):
            raise _UnexpectedError
        yield number, frame


def _as_announced(table: PacketTable, number: int, frame: Any) -> bool:
    """Whether a frame is, by its time, the picture that the packet table has at this number."""
    return bool(number < table.num_pictures and frame.pts == table.picture_times[number])
