"""The list of a video file's packets, read without decoding, and which of them must be decoded.

Three things are drawn from it: how many pictures the file should give (headers are often wrong),
at which packets a decoder may start, and which packets it may leave out, and still give the very
pictures, under the very numbers, that decoding the file from its first packet gives. A start
holds only where all of this does:

- each packet carries its own presentation time, no time occurs twice, and the times were stored
  by the container (AVI stores none; where pictures are reordered the times are guesses);
- the start is a picture behind which nothing refers back. A container's keyframe mark is not
  enough: H.264 and HEVC files mark open-GOP entries too, so the packet itself is looked at;
- every packet that is jumped over looks whole, because a packet so damaged that it gives no
  picture shifts the number of all pictures after it.

A packet of H.264 may be left out (`spare`) where it says that no other picture refers to it, which
is so for about half the packets of a usual file, and where the decoder knows from the start how
far pictures are reordered: one that has to learn it may lose a picture meanwhile.

The look at a packet reads its first bytes (and for H.264 and HEVC the lengths of its units), not
its compressed content. This is the limit of it: a picture that a decoder drops for damage behind
intact first bytes, in a packet that is jumped over or left out, is counted, and the frames read
after it are each one picture early. Decoding every packet notices.

Packet tables of the files that a process has read, so that an epoch need not list them again.

A worker of a DataLoader reads the same files every epoch, and for sparse frames of a well prepared
file the list of its packets is a good part of the work. Tables are kept until their room is full,
and then no more are added: files come in a new random order every epoch, for which the table of
any file is as good to keep as that of any other, and throwing one out for another gains nothing.
"""

import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtconv.video.packet_kinds import PacketKind, kind_reader

# A jump costs the search in the file and, where pictures are reordered, those that a decoder holds
# back. Without reordering it pays at once: eight frames of a prepared video of 40 to 64 frames take
# 1.3 to 1.4 times as long when only jumps over eight packets or more are made.
FEWEST_PACKETS_JUMPED = 2
FEWEST_REORDERED_PACKETS_JUMPED = 8


@dataclass(frozen=True)
class PacketTable:
    """The packets of a video stream in the order in which they are stored (decoding order)."""

    codec: str
    """Name of the decoder."""
    num_pictures: int
    """Packets that should give a picture."""
    times: npt.NDArray[np.int64]
    """Presentation time of each packet, `(packets,)`; empty when `trusted` is false."""
    seek_times: npt.NDArray[np.int64]
    """Decoding time of each packet, `(packets,)`; empty when `trusted` is false."""
    sizes: npt.NDArray[np.integer]
    """Bytes of each packet, `(packets,)`; empty when `trusted` is false."""
    picture_times: npt.NDArray[np.int64]
    """Presentation times of the pictures in the order of showing, `(num_pictures,)`."""
    picture_packets: npt.NDArray[np.integer]
    """Number of the packet of each picture in the order of showing, `(num_pictures,)`."""
    trusted: bool
    """Whether the packets' times say which picture is which."""
    entries: tuple[tuple[int, int], ...]
    """Where decoding may start: (packet, picture), ascending; the first packet is always one."""
    spare: npt.NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, dtype=np.bool_))
    """Whether each packet's picture is needed by no other, `(packets,)`; perhaps empty."""
    counted: bool = False
    """Whether `num_pictures` was found by decoding all of them, not by counting packets."""

    def needed(self, wanted: Sequence[int]) -> npt.NDArray[np.bool_]:
        """Which packets a decoder must have to give the wanted pictures, `(packets,)`."""
        needed = np.ones(len(self.times), dtype=np.bool_)
        needed[: len(self.spare)] = ~self.spare
        needed[self.picture_packets[list(wanted)]] = True
        return needed

    @property
    def num_bytes(self) -> int:
        """Memory that the table takes, about."""
        columns = {id(column): column for column in vars(self).values()}.values()  # some are shared
        arrays = sum(column.nbytes for column in columns if isinstance(column, np.ndarray))
        return 1000 + arrays + 120 * len(self.entries)


Run = tuple[tuple[int, int], tuple[int, ...]]
"""An entry (packet, picture) and the pictures to take from there, ascending."""


def plan_runs(table: PacketTable, wanted: Sequence[int]) -> list[Run]:
    """Splits the wanted pictures (ascending) into runs, each decoded from one entry."""
    runs: list[tuple[tuple[int, int], list[int]]] = [((0, 0), [])]
    if not table.trusted:
        return [((0, 0), tuple(wanted))]
    first_pictures = [picture for _, picture in table.entries]
    in_order = bool((np.diff(table.times) > 0).all())
    fewest = FEWEST_PACKETS_JUMPED if in_order else FEWEST_REORDERED_PACKETS_JUMPED
    reached = 0
    for picture in wanted:
        entry = table.entries[bisect_right(first_pictures, picture) - 1]
        if entry[0] - reached >= fewest:
            runs.append((entry, []))
        runs[-1][1].append(picture)
        reached = max(reached, int(table.picture_packets[picture]))
    return [(entry, tuple(pictures)) for entry, pictures in runs if pictures]


def packets_a_run(table: PacketTable, runs: Sequence[Run]) -> float:
    """How many packets a run goes through, on average."""
    lasts = [table.picture_packets[list(pictures)].max() for _, pictures in runs]
    entries = [entry for (entry, _), _ in runs]
    return 1 + float(np.mean(lasts) - np.mean(entries))


def read_packet_table(container: Any, stream: Any) -> PacketTable:
    """Reads the packets of an open PyAV container to its end, decoding nothing."""
    times: list[int | None] = []
    seek_times: list[int | None] = []
    sizes: list[int] = []
    discarded: list[bool] = []
    kinds: list[PacketKind] = []
    entry_packets: list[int] = []
    codec = stream.codec_context.name
    kind_of = kind_reader(stream)
    for packet in demux_readable(container, stream):
        kind = "doubtful" if packet.is_corrupt else kind_of(memoryview(packet))
        if kind == "entry" and packet.is_keyframe:
            entry_packets.append(len(times))
        time, seek_time = packet.pts, packet.dts
        kinds.append(kind)
        times.append(time)
        seek_times.append(time if seek_time is None else seek_time)
        sizes.append(packet.size)
        discarded.append(packet.is_discard)
    shown = np.flatnonzero(~np.array(discarded, dtype=bool))
    nothing = np.empty(0, dtype=np.int64)
    if not _times_tell_pictures(container, times, seek_times):
        return PacketTable(
            codec, len(shown), nothing, nothing, nothing, nothing, nothing, False, ()
        )
    num_whole = kinds.index("doubtful") if "doubtful" in kinds else len(kinds)
    presentation = np.array(times, dtype=np.int64)
    order = shown[np.argsort(presentation[shown], kind="stable")]
    all_in_order = np.array_equal(order, np.arange(len(times)))
    picture_times = presentation if all_in_order else presentation[order]
    usable = [
        packet for packet in entry_packets if 0 < packet <= num_whole and not discarded[packet]
    ]
    entries = [(k, int(np.searchsorted(picture_times, presentation[k]))) for k in usable]
    spare = np.array([kind == "spare" for kind in kinds]) & ~np.array(discarded, dtype=bool)
    spare[num_whole:] = False
    if spare.any() and reordering(presentation) > stream.codec_context.reorder_depth:
        spare[:] = False
    # Tables are kept for every file that a worker reads: equal columns share their memory.
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
    )


def reordering(times: npt.NDArray[np.int64]) -> int:
    """How many pictures a decoder must hold back to show all in order.

    That is the most packets that stand before another one and are shown after it.

    >>> reordering(np.array([0, 1, 2])), reordering(np.array([0, 4, 2, 1, 3]))
    (0, 2)
    """
    most, earlier = 0, list[int]()
    for shown in times.tolist():
        place = bisect_right(earlier, shown)
        most = max(most, len(earlier) - place)
        earlier.insert(place, shown)
    return most


def demux_readable(container: Any, stream: Any) -> Any:
    """Yields the stream's packets up to the end of the file or to where it cannot be read on."""
    import av  # noqa: PLC0415

    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.FFmpegError:
        return


def _ascending(entries: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Keeps the entries whose pictures ascend with their packets (they do in a sound file)."""
    kept: list[tuple[int, int]] = []
    for entry in entries:
        if not kept or entry[1] > kept[-1][1]:
            kept.append(entry)
    return kept


def _times_tell_pictures(
    container: Any, times: Sequence[int | None], seek_times: Sequence[int | None]
) -> bool:
    if not times or None in times or None in seek_times or len(set(times)) != len(times):
        return False
    stored = {"mp4", "mov", "matroska", "webm"} & set(container.format.name.split(","))
    return bool(stored) or list(times) == list(seek_times)


MOST_BYTES = 64 * 2**20
"""Room for tables in one process: some ten thousand videos of ten seconds."""

SETTLED_SECONDS = 2
"""Age from which the table of a file is kept, since the times of change of a younger one may not
tell when it changes again."""

_Stamp = tuple[int, int, int, int]


class TableMemory:
    """Packet tables by file, as long as the file stays as it was.

    Args:
        most_bytes: room for tables.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self.most_bytes = most_bytes
        self.num_bytes = 0
        self._tables: dict[str, tuple[_Stamp, PacketTable]] = {}

    def get(self, path: str | Path) -> PacketTable | None:
        """The packet table of a file, if it is kept and the file is as it was."""
        if str(path) not in self._tables:
            return None
        stamp, table = self._tables[str(path)]
        try:
            return table if stamp == _stamp(path) else None
        except OSError:  # opening the file says what is the matter
            return None

    def read(self, path: str | Path, container: Any, stream: Any) -> PacketTable:
        """Read the packet table of an open file, and keep it if there is room."""
        stamp = _stamp(path)
        table = read_packet_table(container, stream)
        _, before = self._tables.pop(str(path), (None, None))
        if before is not None:
            self.num_bytes -= before.num_bytes
        settled = time.time_ns() - max(stamp[2:]) > SETTLED_SECONDS * 10**9
        if settled and self.num_bytes + table.num_bytes <= self.most_bytes:
            self.num_bytes += table.num_bytes
            self._tables[str(path)] = (stamp, table)
        return table

    def count(self, path: str | Path, table: PacketTable, num_pictures: int) -> None:
        """Say how many pictures there are where packets do not tell, so that none counts again."""
        stamp, kept = self._tables.get(str(path), (None, None))
        if stamp is not None and kept is table and not table.trusted:
            counted = replace(table, num_pictures=num_pictures, counted=True)
            self._tables[str(path)] = (stamp, counted)


def _stamp(path: str | Path) -> _Stamp:
    """What changes with a file: its identity, its size and its times of change."""
    status = Path(path).stat()
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


KNOWN_TABLES = TableMemory()
"""The tables of this process."""
