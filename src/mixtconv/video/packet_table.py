"""The list of a video file's packets, read without decoding, and which of them must be decoded.

It says how many frames the file should give (headers are often wrong), at which packets a decoder
may start, and which packets it may leave out, while the frames and their numbers stay exactly those
of decoding the file from its first packet. Decoding may start at a packet (an entry) only if:

- each packet carries its own presentation time, no time occurs twice, and the container stored the
  times (AVI does not; if frames are reordered its times are guesses);
- no later frame refers to one before the entry. The container's keyframe mark does not guarantee
  this: H.264 and HEVC files mark open-GOP entries too, so the packet itself is inspected;
- every packet that is jumped over looks whole, since a packet so damaged that it gives no frame
  shifts the numbers of all later frames.

An H.264 packet may be left out (`spare`) if it says that no other frame refers to it, which holds
for about half the packets of a typical file, and if the decoder knows the reordering depth from the
start: a decoder that has to learn the depth may lose a frame meanwhile.

Inspecting a packet reads its first bytes (and for H.264 and HEVC the lengths of its units), not its
compressed content. The limit of this: a frame that a decoder drops for damage after intact first
bytes, in a packet that is jumped over or left out, is still counted, and the frames after it are
each one frame early. Decoding every packet would notice.

Tables are cached, since a DataLoader worker reads the same files every epoch, and listing packets
is a good part of the work for sparse frames of a well prepared file. Once the cache is full, tables
of clips are not added: they come in a new random order every epoch, so that none is worth more than
another. Those of long recordings replace the ones that were used longest ago: listing one takes
seconds, and several of its segments are often read one after the other.
"""

import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fractions import Fraction
from operator import itemgetter
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtconv.video.packet_kinds import PacketKind, kind_reader

# A jump costs the seek in the file and, if frames are reordered, those that a decoder holds back.
# Without reordering it pays at once: eight frames of a prepared video of 40 to 64 frames take 1.3
# to 1.4 times as long if only jumps over eight packets or more are made.
MIN_PACKETS_JUMPED = 2
MIN_REORDERED_PACKETS_JUMPED = 8


@dataclass(frozen=True)
class PacketTable:
    """The packets of a video stream in the order in which they are stored (decoding order)."""

    codec: str
    """Name of the decoder."""
    num_pictures: int
    """Packets that should give a frame."""
    times: npt.NDArray[np.int64]
    """Presentation time of each packet, `(packets,)`; empty when `trusted` is false."""
    seek_times: npt.NDArray[np.int64]
    """Decoding time of each packet, `(packets,)`; empty when `trusted` is false."""
    sizes: npt.NDArray[np.integer]
    """Bytes of each packet, `(packets,)`; empty when `trusted` is false."""
    picture_times: npt.NDArray[np.int64]
    """Presentation times of the frames in display order, `(num_pictures,)`."""
    picture_packets: npt.NDArray[np.integer]
    """Number of the packet of each frame in display order, `(num_pictures,)`."""
    trusted: bool
    """Whether the packets' times identify the frames."""
    entries: tuple[tuple[int, int], ...]
    """Where decoding may start: (packet, frame), ascending; the first packet is always one."""
    spare: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    """Whether no other frame needs that of each packet, `(packets,)`; may be empty."""
    counted: bool = False
    """Whether `num_pictures` was found by decoding all frames, not by counting packets."""
    time_base: Fraction = Fraction(1)
    """Seconds of the unit of the times."""

    def needed(self, wanted: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Whether a decoder must get each packet to give the wanted frames, `(packets,)`."""
        needed = ~self.spare if self.spare.size else np.ones(len(self.times), dtype=np.bool_)
        needed[self.picture_packets[list(wanted)]] = True
        return needed

    @property
    def num_bytes(self) -> int:
        """Approximate size in memory."""
        columns = {id(column): column for column in vars(self).values()}.values()  # some are shared
        arrays = sum(column.nbytes for column in columns if isinstance(column, np.ndarray))
        return 1000 + arrays + 120 * len(self.entries)


Run = tuple[tuple[int, int], tuple[int, ...]]
"""An entry (packet, frame) and the frames to decode from there, ascending."""


def plan_runs(table: PacketTable, wanted: Sequence[int]) -> list[Run]:
    """Split the wanted frames (ascending) into runs, each decoded from one entry."""
    if not table.trusted:
        return [((0, 0), tuple(wanted))]
    # Of a long recording in order, comparing all times would take longer than all else here.
    in_order = table.times is table.picture_times or bool((np.diff(table.times) > 0).all())
    min_jump = MIN_PACKETS_JUMPED if in_order else MIN_REORDERED_PACKETS_JUMPED
    runs: list[tuple[tuple[int, int], list[int]]] = [((0, 0), [])]
    reached = 0  # last packet that the current run must decode
    for picture in wanted:
        entry = table.entries[bisect_right(table.entries, picture, key=itemgetter(1)) - 1]
        if entry[0] - reached >= min_jump:
            runs.append((entry, []))
        runs[-1][1].append(picture)
        reached = max(reached, int(table.picture_packets[picture]))
    return [(entry, tuple(pictures)) for entry, pictures in runs if pictures]


def mean_run_length(table: PacketTable, runs: Sequence[Run]) -> float:
    """Packets of a run, on average."""
    lasts = [table.picture_packets[list(pictures)].max() for _, pictures in runs]
    entries = [entry for (entry, _), _ in runs]
    return 1 + float(np.mean(lasts) - np.mean(entries))


def read_packet_table(container: Any, stream: Any) -> PacketTable:
    """Read the packets of an open PyAV container to its end without decoding."""
    times: list[int | None] = []
    seek_times: list[int | None] = []
    sizes: list[int] = []
    discarded: list[bool] = []
    kinds: list[PacketKind] = []
    entry_packets: list[int] = []
    codec = stream.codec_context.name
    kind_of = kind_reader(stream)
    for packet in demux_readable(container, stream):
        if not packet.size:
            continue
        kind = "doubtful" if packet.is_corrupt else kind_of(memoryview(packet))
        if kind == "entry" and packet.is_keyframe:
            entry_packets.append(len(times))
        time, seek_time = packet.pts, packet.dts
        kinds.append(kind)
        times.append(time)
        seek_times.append(time if seek_time is None else seek_time)
        sizes.append(packet.size)
        discarded.append(packet.is_discard)

    # Packets that an edit list discards are decoded but give no frame.
    shown = np.flatnonzero(~np.array(discarded, dtype=bool))
    nothing = np.empty(0, dtype=np.int64)
    if not _times_identify_frames(container, times, seek_times):
        return PacketTable(
            codec, len(shown), nothing, nothing, nothing, nothing, nothing, False, ()
        )

    # Display order: frame i is the packet with the i-th smallest presentation time.
    presentation = np.array(times, dtype=np.int64)
    order = shown[np.argsort(presentation[shown], kind="stable")]
    all_in_order = np.array_equal(order, np.arange(len(times)))
    picture_times = presentation if all_in_order else presentation[order]

    # Entries and spare packets behind the first doubtful packet are not used: if that gives no
    # frame, all numbers behind it are one too high.
    num_whole = kinds.index("doubtful") if "doubtful" in kinds else len(kinds)
    usable = [
        packet for packet in entry_packets if 0 < packet <= num_whole and not discarded[packet]
    ]
    entries = [(k, int(np.searchsorted(picture_times, presentation[k]))) for k in usable]
    spare = np.array([kind == "spare" for kind in kinds]) & ~np.array(discarded, dtype=bool)
    spare[num_whole:] = False
    # A decoder that must first learn the reordering depth could lose a frame at a missing packet.
    if spare.any() and reordering_depth(presentation) > stream.codec_context.reorder_depth:
        spare[:] = False

    # Equal columns share their memory, since the table of every file is cached.
    return PacketTable(
        codec=codec,
        num_pictures=len(shown),
        times=presentation,
        seek_times=presentation if seek_times == times else np.array(seek_times, dtype=np.int64),
        sizes=np.array(sizes, dtype=np.int32),
        picture_times=picture_times,
        picture_packets=order.astype(np.int32),
        trusted=True,
        entries=((0, 0), *_ascending(entries)),
        spare=spare,
        time_base=stream.time_base,
    )


def reordering_depth(times: npt.NDArray[np.int64]) -> int:
    """Frames that a decoder must hold back to output all in display order.

    This is the maximum, over the packets, of the number of earlier packets that are shown later.

    >>> reordering_depth(np.array([0, 1, 2])), reordering_depth(np.array([0, 4, 2, 1, 3]))
    (0, 2)
    """
    depth, earlier = 0, list[int]()
    for shown in times.tolist():
        place = bisect_right(earlier, shown)
        depth = max(depth, len(earlier) - place)
        earlier.insert(place, shown)
    return depth


def demux_readable(container: Any, *streams: Any) -> Iterator[Any]:
    """Yield the packets of streams, or of all, up to the end or the first unreadable place.

    A packet may be empty (a picture that the writer dropped): a decoder must not get it.
    """
    import av  # noqa: PLC0415

    try:
        for packet in demux(container, *streams):
            if packet.size or packet.dts is not None:  # else a flush, at the end
                yield packet
    except av.FFmpegError:
        return


def has_ticks(container: Any) -> bool:
    """Whether a container, AVI, has no times of display but a tick of a clock for each packet."""
    return bool(container.format.name == "avi")


def demux(container: Any, *streams: Any) -> Iterator[Any]:
    """Yield the packets of streams, or of all, and at the end one to flush each decoder.

    Where FFmpeg finds further streams on the way, as in a damaged transport stream, PyAV 18 fails
    to flush them; they were not asked for.
    """
    with suppress(IndexError):
        yield from container.demux(*streams)


def _ascending(entries: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """The entries whose frames ascend with their packets (all of them in a sound file)."""
    kept: list[tuple[int, int]] = []
    for entry in entries:
        if not kept or entry[1] > kept[-1][1]:
            kept.append(entry)
    return kept


def _times_identify_frames(
    container: Any, times: Sequence[int | None], seek_times: Sequence[int | None]
) -> bool:
    if not times or None in times or None in seek_times or len(set(times)) != len(times):
        return False
    # Other containers do not store presentation times; they are right only without reordering.
    stored = {"mp4", "mov", "matroska", "webm"} & set(container.format.name.split(","))
    return bool(stored) or list(times) == list(seek_times)


MAX_CACHE_BYTES = 512 * 2**20
"""Budget of a process for tables: some 130 hours of video at 30 frames per second."""

LONG_BYTES = 2**18
"""Least size of the table of a long recording, of some minutes."""

SETTLED_SECONDS = 2
"""Files younger than this are not cached: times of change are too coarse to show another change."""

FileStamp = tuple[int, int, int, int]


class PacketTableCache:
    """Packet tables by file, valid while the file does not change.

    Args:
        max_bytes: budget; once it is used up, only tables of long recordings are added, in the
            place of those that were used longest ago.
        long_bytes: size of such a table.
    """

    def __init__(self, max_bytes: int = MAX_CACHE_BYTES, *, long_bytes: int = LONG_BYTES) -> None:
        self.max_bytes, self.long_bytes = max_bytes, long_bytes
        self.num_bytes = 0
        self._tables: dict[str, tuple[FileStamp, PacketTable]] = {}  # the last used ones last
        self._lock = Lock()  # of changes: several threads read

    def get(self, path: str | Path) -> PacketTable | None:
        """The packet table of a file, if it is cached and the file has not changed."""
        with self._lock:
            found = self._tables.pop(str(path), None)
            if found is None:
                return None
            self._tables[str(path)] = found
        stamp, table = found
        try:
            return table if stamp == file_stamp(path) else None
        except OSError:  # opening the file raises an error with the reason
            return None

    def read(self, path: str | Path, container: Any, stream: Any) -> PacketTable:
        """Read the packet table of an open file, and cache it if the budget allows."""
        stamp = file_stamp(path)
        table = read_packet_table(container, stream)
        may_keep = is_settled(stamp)
        with self._lock:
            self._drop(str(path))
            if table.num_bytes >= self.long_bytes and table.num_bytes <= self.max_bytes:
                while may_keep and self.num_bytes + table.num_bytes > self.max_bytes:
                    self._drop(next(iter(self._tables)))
            if may_keep and self.num_bytes + table.num_bytes <= self.max_bytes:
                self.num_bytes += table.num_bytes
                self._tables[str(path)] = (stamp, table)
        return table

    def _drop(self, path: str) -> None:
        if (found := self._tables.pop(path, None)) is not None:
            self.num_bytes -= found[1].num_bytes

    def set_count(self, path: str | Path, table: PacketTable, num_pictures: int) -> None:
        """Store the number of frames that decoding found, if packets do not tell it reliably."""
        with self._lock:
            stamp, cached = self._tables.get(str(path), (None, None))
            if stamp is not None and cached is table and not table.trusted:
                counted = replace(table, num_pictures=num_pictures, counted=True)
                self._tables[str(path)] = (stamp, counted)


def file_stamp(path: str | Path) -> FileStamp:
    """Identity, size and times of change of a file."""
    status = Path(path).stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def is_settled(stamp: FileStamp) -> bool:
    """Whether a file is old enough for its stamp to show every later change."""
    return time.time_ns() - max(stamp[2:]) > SETTLED_SECONDS * 10**9


PACKET_TABLES = PacketTableCache()
"""The packet tables of this process."""
