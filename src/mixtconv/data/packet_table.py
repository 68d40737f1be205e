"""The list of a video file's packets, read without decoding, and where decoding may start.

Two things are drawn from it: how many pictures the file should give (headers are often wrong),
and at which packets a decoder may start and still give the very pictures, under the very numbers,
that decoding the file from its first packet gives. The second holds only where all of this does:

- each packet carries its own presentation time, no time occurs twice, and the times were stored
  by the container (AVI stores none; where pictures are reordered the times are guesses);
- the start is a picture behind which nothing refers back. A container's keyframe mark is not
  enough: H.264 and HEVC files mark open-GOP entries too, so the packet itself is looked at;
- every packet that is jumped over looks whole, because a packet so damaged that it gives no
  picture shifts the number of all pictures after it.

The look at a packet reads its first bytes (and for H.264 and HEVC the lengths of its units), not
its compressed content. This is the limit of it: a picture that a decoder drops for damage behind
intact first bytes, in a stretch that is jumped over, is counted, and the frames read after it are
each one picture early. Decoding from the start notices.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

PacketKind = Literal["entry", "picture", "doubtful"]

# A jump costs the search in the file and the pictures a decoder holds back for reordering.
FEWEST_PACKETS_JUMPED = 8


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
    sizes: npt.NDArray[np.int64]
    """Bytes of each packet, `(packets,)`; empty when `trusted` is false."""
    picture_times: npt.NDArray[np.int64]
    """Presentation times of the pictures in the order of showing, `(num_pictures,)`."""
    picture_packets: npt.NDArray[np.int64]
    """Number of the packet of each picture in the order of showing, `(num_pictures,)`."""
    trusted: bool
    """Whether the packets' times say which picture is which."""
    entries: tuple[tuple[int, int], ...]
    """Where decoding may start: (packet, picture), ascending; the first packet is always one."""


def plan_runs(
    table: PacketTable, wanted: Sequence[int]
) -> list[tuple[tuple[int, int], tuple[int, ...]]]:
    """Splits the wanted pictures (ascending) into runs, each decoded from one entry.

    Returns pairs of an entry (packet, picture) and the pictures to take from there.
    """
    runs: list[tuple[tuple[int, int], list[int]]] = [((0, 0), [])]
    if not table.trusted:
        return [((0, 0), tuple(wanted))]
    first_pictures = [picture for _, picture in table.entries]
    reached = 0
    for picture in wanted:
        entry = table.entries[bisect_right(first_pictures, picture) - 1]
        if entry[0] - reached >= FEWEST_PACKETS_JUMPED:
            runs.append((entry, []))
        runs[-1][1].append(picture)
        reached = max(reached, int(table.picture_packets[picture]))
    return [(entry, tuple(pictures)) for entry, pictures in runs if pictures]


def read_packet_table(container: Any, stream: Any) -> PacketTable:
    """Reads the packets of an open PyAV container to its end, decoding nothing."""
    times: list[int | None] = []
    seek_times: list[int | None] = []
    sizes: list[int] = []
    discarded: list[bool] = []
    entry_packets: list[int] = []
    codec = stream.codec_context.name
    kind_of = _kind_reader(stream)
    first_doubtful: int | None = None
    for packet in demux_readable(container, stream):
        kind = "doubtful" if packet.is_corrupt else kind_of(memoryview(packet))
        if kind == "doubtful" and first_doubtful is None:
            first_doubtful = len(times)
        if kind == "entry" and packet.is_keyframe:
            entry_packets.append(len(times))
        times.append(packet.pts)
        seek_times.append(packet.pts if packet.dts is None else packet.dts)
        sizes.append(packet.size)
        discarded.append(packet.is_discard)
    shown = np.flatnonzero(~np.array(discarded, dtype=bool))
    nothing = np.empty(0, dtype=np.int64)
    if not _times_tell_pictures(container, times, seek_times):
        return PacketTable(
            codec, len(shown), nothing, nothing, nothing, nothing, nothing, False, ()
        )
    presentation = np.array(times, dtype=np.int64)
    order = shown[np.argsort(presentation[shown], kind="stable")]
    picture_times = presentation[order]
    usable = [
        packet
        for packet in entry_packets
        if packet > 0
        and not discarded[packet]
        and (first_doubtful is None or packet <= first_doubtful)
    ]
    entries = [(k, int(np.searchsorted(picture_times, presentation[k]))) for k in usable]
    return PacketTable(
        codec=codec,
        num_pictures=len(shown),
        times=presentation,
        seek_times=np.array(seek_times, dtype=np.int64),
        sizes=np.array(sizes, dtype=np.int64),
        picture_times=picture_times,
        picture_packets=order,
        trusted=True,
        entries=((0, 0), *_ascending(entries)),
    )


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


def _kind_reader(stream: Any) -> Callable[[memoryview], PacketKind]:
    context = stream.codec_context
    extradata = bytes(context.extradata or b"")
    make = _KIND_READERS.get(context.name)
    return make(extradata) if make is not None else lambda data: "doubtful"


def _read_h264(extradata: bytes) -> Callable[[memoryview], PacketKind]:
    length_bytes = (extradata[4] & 3) + 1 if len(extradata) > 6 and extradata[0] == 1 else 0
    parameter_sets = _picture_parameter_sets(extradata) if length_bytes else set()

    def kind(data: memoryview) -> PacketKind:
        units = _units(data, length_bytes)
        if any(unit[0] >= 128 or not 1 <= unit[0] & 31 <= 21 for unit in units):
            return "doubtful"
        slices = [unit for unit in units if unit[0] & 31 in (1, 5)]
        if not slices:
            return "doubtful"
        first_block, slice_type, parameter_set = _exponential_golomb(slices[0][1:9], 3)
        if first_block != 0 or slice_type > 9 or parameter_set not in parameter_sets:
            return "doubtful"
        return "entry" if all(unit[0] & 31 == 5 for unit in slices) else "picture"

    return kind


def _picture_parameter_sets(extradata: bytes) -> set[int]:
    """Numbers of the H.264 picture parameter sets that an MP4 header announces."""
    at, numbers = 6, set()
    for group in range(2):  # sequence sets, then picture sets, each with its length
        count = extradata[at - 1] & 31 if group == 0 else extradata[at]
        at += group
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            if group == 1:
                numbers |= set(_exponential_golomb(extradata[at + 3 : at + 2 + size], 1))
            at += 2 + size
    return numbers


def _exponential_golomb(data: bytes | memoryview, count: int) -> tuple[int, ...]:
    """Reads unsigned Exp-Golomb numbers: n zeros, then n + 1 bits of the number plus one.

    >>> _exponential_golomb(bytes([0b1_010_011_0]), 3)
    (0, 1, 2)
    """
    bits = "".join(f"{byte:08b}" for byte in data)
    at, values = 0, []
    for _ in range(count):
        zeros = bits.find("1", at) - at
        end = at + 2 * zeros + 1
        if zeros < 0 or end > len(bits):
            return (-1,) * count
        values.append(int(bits[at:end], 2) - 1)
        at = end
    return tuple(values)


def _read_hevc(extradata: bytes) -> Callable[[memoryview], PacketKind]:
    length_bytes = (extradata[21] & 3) + 1 if len(extradata) > 22 and extradata[0] == 1 else 0

    def kind(data: memoryview) -> PacketKind:
        units = _units(data, length_bytes)
        slices = [unit for unit in units if unit[0] >> 1 & 63 < 32]
        sound = all(unit[0] < 128 and len(unit) > 2 for unit in units)
        # The bit after the two header bytes says "first slice of its picture".
        if not sound or not slices or not slices[0][2] & 128:
            return "doubtful"
        instantaneous = (19, 20)  # IDR with and without leading pictures; not CRA, not BLA
        return "entry" if slices[0][0] >> 1 & 63 in instantaneous else "picture"

    return kind


def _read_mpeg4(extradata: bytes) -> Callable[[memoryview], PacketKind]:
    def kind(data: memoryview) -> PacketKind:
        start = bytes(data[:256])
        at = start.find(b"\0\0\1\xb6")  # start of a video object plane
        if start[:3] != b"\0\0\1" or not 0 <= at < len(start) - 4:
            return "doubtful"
        return "entry" if start[at + 4] >> 6 == 0 else "picture"

    return kind


def _read_mjpeg(extradata: bytes) -> Callable[[memoryview], PacketKind]:
    return lambda data: "entry" if bytes(data[:3]) == b"\xff\xd8\xff" else "doubtful"


# A codec that is not here is decoded from the start of the file. VP8, VP9 and AV1 stay out because
# their decoders drop a picture for damage that its first bytes do not show.
_KIND_READERS: dict[str, Callable[[bytes], Callable[[memoryview], PacketKind]]] = {
    "h264": _read_h264,
    "hevc": _read_hevc,
    "mpeg4": _read_mpeg4,
    "mjpeg": _read_mjpeg,
}


def _units(data: memoryview, length_bytes: int) -> list[memoryview]:
    """Cuts a packet into its length-prefixed units; none at all if they do not fill it."""
    units: list[memoryview] = []
    at = 0
    while length_bytes and at + length_bytes < len(data):
        size = int.from_bytes(data[at : at + length_bytes], "big")
        at += length_bytes
        if size == 0 or at + size > len(data):
            return []
        units.append(data[at : at + size])
        at += size
    return units if at == len(data) else []
