"""The kind of a packet, from the first bytes of its compressed picture, without decoding it.

A packet is an `entry` if a decoder may start there, `spare` if no other picture refers to its
picture, a `picture` if neither is known, and `doubtful` if it does not look complete.
"""

from collections.abc import Callable
from typing import Any, Literal

PacketKind = Literal["entry", "picture", "spare", "doubtful"]
KindReader = Callable[[memoryview], PacketKind]

# First bytes of the units of a picture to which no other refers: slices with the two bits of
# nal_ref_idc at 0, and units without effect on other pictures. A parameter set would have one.
_SPARE_HEADS = {1, 6, 9, 12}  # slice, supplemental information, delimiter, filler


def kind_reader(stream: Any) -> KindReader:
    """The function from a packet of an open PyAV stream to its kind."""
    context = stream.codec_context
    make = _KIND_READERS.get(context.name)
    return make(bytes(context.extradata or b"")) if make is not None else lambda data: "doubtful"


def _read_h264(extradata: bytes) -> KindReader:
    length_bytes = (extradata[4] & 3) + 1 if len(extradata) > 6 and extradata[0] == 1 else 0
    parameter_sets = _picture_parameter_sets(extradata) if length_bytes else set()

    def kind(data: memoryview) -> PacketKind:
        units = _units(data, length_bytes)
        heads = [unit[0] for unit in units]
        types = [head & 31 for head in heads]
        if any(head >= 128 for head in heads) or not all(1 <= kind <= 21 for kind in types):
            return "doubtful"
        first = next((unit for unit, kind in zip(units, types, strict=True) if kind in (1, 5)), b"")
        first_block, slice_type, parameter_set = _exponential_golomb(first[1:9], 3)
        if first_block != 0 or slice_type > 9 or parameter_set not in parameter_sets:
            return "doubtful"
        if 1 not in types:
            return "entry"
        return "spare" if all(head in _SPARE_HEADS for head in heads) else "picture"

    return kind


def _picture_parameter_sets(extradata: bytes) -> set[int]:
    """Numbers of the H.264 picture parameter sets in an MP4 header; none of a damaged one."""
    at, numbers = 6, set()
    for group in range(2):  # sequence sets, then picture sets, each with its length
        if at - 1 + group >= len(extradata):
            return set()
        count = extradata[at - 1] & 31 if group == 0 else extradata[at]
        at += group
        for _ in range(count):
            size = int.from_bytes(extradata[at : at + 2], "big")
            if group == 1:
                numbers |= set(_exponential_golomb(extradata[at + 3 : at + 2 + size], 1))
            at += 2 + size
    return numbers - {-1}  # of one that is cut off


def _exponential_golomb(data: bytes | memoryview, count: int) -> tuple[int, ...]:
    """Read unsigned Exp-Golomb numbers: n zeros, then n + 1 bits of the number plus one.

    >>> _exponential_golomb(bytes([0b1_010_011_0]), 3)
    (0, 1, 2)
    """
    bits, left = int.from_bytes(data, "big"), 8 * len(data)
    values = []
    for _ in range(count):
        zeros = left - bits.bit_length()
        left -= 2 * zeros + 1
        if left < 0:
            return (-1,) * count
        values.append((bits >> left) - 1)
        bits &= (1 << left) - 1
    return tuple(values)


def _read_hevc(extradata: bytes) -> KindReader:
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


def _read_mpeg4(extradata: bytes) -> KindReader:
    def kind(data: memoryview) -> PacketKind:
        start = bytes(data[:256])
        at = start.find(b"\0\0\1\xb6")  # start of a video object plane
        if start[:3] != b"\0\0\1" or not 0 <= at < len(start) - 4:
            return "doubtful"
        return "entry" if start[at + 4] >> 6 == 0 else "picture"

    return kind


# Files of other codecs are decoded from the start. VP8, VP9 and AV1 are not here because their
# decoders drop pictures for damage that the first bytes do not show.
_KIND_READERS: dict[str, Callable[[bytes], KindReader]] = {
    "h264": _read_h264,
    "hevc": _read_hevc,
    "mpeg4": _read_mpeg4,
    "mjpeg": lambda _: lambda data: "entry" if data[:3] == b"\xff\xd8\xff" else "doubtful",
}


def _units(data: memoryview, length_bytes: int) -> list[memoryview]:
    """Split a packet into its length-prefixed units; none if they do not fill it exactly."""
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
