"""How the GPU kernel cuts clips into tiles, and the tables that say which taps a tile has.

A frame is a matrix whose rows lie one after the other in memory. Which of its axes the channels are
follows from the memory format:

    channels-last          rows: positions (H * W)    columns: channels
    contiguous (NCHW)      rows: channels             columns: positions
    the same, flattened    one row                    columns: channels x positions

The flattened view is for frames such as 7x7, whose rows of 49 values start at odd addresses: as one
row of C * 49 values they can still be read 16 bytes at a time. It costs a division and a tap for
every value instead of one for every row, and its tiles cut channels in two, so that it serves the
filter alone and not the gradient of the taps.

A tile is some rows and columns of up to eight consecutive frames of one clip. Its borders ignore
those of the groups of channels, so that its addresses are aligned however the channels are split:
each tile has a list of the taps that any of its channels has.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

ChannelAxis = Literal["rows", "columns", "flat"]

FRAMES_PER_TILE = 8
_VECTOR_BYTES = 16  # the widest access of one thread
_WORD_BYTES = 4  # a thread reads this much of a frame at least, value by value if need be
_CHANNEL_ROW_BYTES = 128  # of channels-last: a cache line, and few groups of channels a tile
_POSITION_ROW_BYTES = 512  # of NCHW: rows start anywhere, so longer ones share fewer cache lines
_INT32_VALUES = 2**31 - 1


@dataclass(frozen=True)
class Tiling:
    """The cut of clips, `num_frames` x `num_rows` x `num_columns`, into tiles, and who does one."""

    channel_axis: ChannelAxis
    num_frames: int
    num_rows: int
    num_columns: int
    num_positions: int
    """H * W."""
    vector: int
    """Values that a thread reads at once: a power of two that divides `num_columns`."""
    tile_frames: int
    tile_rows: int
    tile_columns: int
    num_warps: int
    max_registers: int
    """Of one thread."""
    wide_offsets: bool
    """Values of one tile lie further apart than a 32-bit integer counts."""

    @property
    def time_tiles(self) -> int:
        return -(-self.num_frames // self.tile_frames)

    @property
    def row_tiles(self) -> int:
        return -(-self.num_rows // self.tile_rows)

    @property
    def column_tiles(self) -> int:
        return -(-self.num_columns // self.tile_columns)

    @property
    def tiles_of_a_channel(self) -> int:
        """How many tiles of a clip share a channel, where no tile cuts one in two."""
        other_tiles = self.row_tiles if self.channel_axis == "columns" else self.column_tiles
        return other_tiles * self.time_tiles

    @property
    def channel_spans(self) -> list[tuple[int, int]]:
        """First and last channel (exclusive) of each tile along the axis that has the channels."""
        if self.channel_axis == "rows":
            size, length, values = self.tile_rows, self.num_rows, 1
        elif self.channel_axis == "columns":
            size, length, values = self.tile_columns, self.num_columns, 1
        else:
            size, length, values = self.tile_columns, self.num_columns, self.num_positions
        return [
            (start // values, -(-min(start + size, length) // values))
            for start in range(0, length, size)
        ]


def choose_tiling(
    num_frames: int,
    num_channels: int,
    num_positions: int,
    *,
    itemsize: int,
    channels_last: bool,
    taps_gradient: bool,
) -> Tiling:
    """The tiles for clips of T = `num_frames`, C = `num_channels` and H * W = `num_positions`.

    Threads, vectors and registers are chosen together: a thread holds 8 frames of one vector (with
    the gradient of the taps, of half a vector, for it holds two tensors; with one row, 2 frames),
    which leaves room for 16 warps or more on a multiprocessor of 65,536 registers, in 2 blocks or
    more, so that some read while others wait.

    Args:
        num_frames, num_channels, num_positions: at least 1 each.
        itemsize: bytes of a value, 2, 4 or 8.
        channels_last: the memory format. H * W = 1 is the same in both, and best seen as this one.
        taps_gradient: the gradient of the taps is wanted.

    >>> options = {"itemsize": 2, "channels_last": True, "taps_gradient": False}
    >>> tiling = choose_tiling(8, 256, 56 * 56, **options)
    >>> tiling.channel_axis, tiling.tile_rows, tiling.tile_columns, tiling.vector
    ('columns', 16, 64, 8)
    """
    widest = _VECTOR_BYTES // itemsize
    axis: ChannelAxis = "rows"
    rows, columns, longest = num_channels, num_positions, _POSITION_ROW_BYTES // itemsize
    if channels_last or num_positions == 1:
        axis = "columns"
        rows, columns, longest = num_positions, num_channels, _CHANNEL_ROW_BYTES // itemsize
    elif (
        not taps_gradient
        and _vector(columns, widest) < widest // 2
        and _vector(rows * columns, widest) == widest
        and rows * columns < _INT32_VALUES // 2
    ):
        axis, rows, columns = "flat", 1, rows * columns
    vector = _vector(columns, widest // 2 if taps_gradient else widest)
    bytes_per_thread = max(_WORD_BYTES, vector * itemsize)  # of a frame
    num_warps = 4 if bytes_per_thread == _VECTOR_BYTES else 8
    warps_resident = 24 if bytes_per_thread == 8 and not taps_gradient else 16
    if axis == "flat":
        bytes_per_thread, num_warps, warps_resident = 4, 8, 32
    values = 32 * num_warps * bytes_per_thread // itemsize  # of a frame in a tile
    tile_columns = values if axis == "flat" else _tile_columns(columns, longest)
    tile_frames = min(FRAMES_PER_TILE, _power_of_two_above(num_frames))
    return Tiling(
        channel_axis=axis,
        num_frames=num_frames,
        num_rows=rows,
        num_columns=columns,
        num_positions=num_positions,
        vector=vector,
        tile_frames=tile_frames,
        tile_rows=values // tile_columns,
        tile_columns=tile_columns,
        num_warps=num_warps,
        # In the code compiled for sm_90 this spills a handful of registers at most.
        max_registers=65536 // (32 * warps_resident) // 8 * 8,
        wide_offsets=tile_frames * rows * columns > _INT32_VALUES,
    )


@dataclass(frozen=True)
class TapTables:
    """Which taps the tiles have, as int32 tensors on the device that runs the kernel."""

    first_step: Tensor
    """(tiles + 1,): the steps of tile i are first_step[i] up to first_step[i + 1]."""
    steps: Tensor
    """(steps, 2): the frame offset of a tap, and its row of `slots`."""
    slots: Tensor
    """(different taps, C): where in the flat tensor of taps a channel has this one, -1 if not."""
    mixed: bool
    """Some tile has a channel that lacks one of the tile's taps."""


def tap_tables(
    tiling: Tiling,
    channels: tuple[int, ...],
    num_taps: tuple[int, ...],
    offsets: tuple[int, ...],
    device: torch.device,
) -> TapTables:
    """Tables for groups of `channels[m]` channels with `num_taps[m]` taps at `offsets`."""
    groups = []  # (first channel, last channel, first slot, taps)
    first_channel = first_slot = first_offset = 0
    for group_channels, group_taps in zip(channels, num_taps, strict=True):
        taps = _identified(
            # An offset of T meets no frame, as any larger one.
            max(-tiling.num_frames, min(offset, tiling.num_frames))
            for offset in offsets[first_offset : first_offset + group_taps]
        )
        groups.append((first_channel, first_channel + group_channels, first_slot, taps))
        first_channel += group_channels
        first_slot += group_channels * group_taps
        first_offset += group_taps

    different = sorted({tap for *_, taps in groups for tap in taps})
    slots = torch.full((len(different), first_channel), -1, dtype=torch.int32)
    for first, last, slot, taps in groups:
        for index, tap in enumerate(taps):
            row = slots[different.index(tap), first:last]
            row.copy_(slot + index + len(taps) * torch.arange(last - first))

    first_step, steps, mixed = [0], [], False
    for start, stop in tiling.channel_spans:
        present = [taps for first, last, _, taps in groups if max(first, start) < min(last, stop)]
        met = sorted({tap for taps in present for tap in taps})
        mixed |= any(len(taps) < len(met) for taps in present)
        steps += [(tap[0], different.index(tap)) for tap in met]
        first_step.append(len(steps))
    return TapTables(
        first_step=torch.tensor(first_step, dtype=torch.int32, device=device),
        steps=torch.tensor(steps, dtype=torch.int32, device=device),
        slots=slots.to(device),
        mixed=mixed,
    )


def _identified(offsets: Iterable[int]) -> list[tuple[int, int]]:
    """The offset of each tap, and how many taps before it have the same one."""
    seen: Counter[int] = Counter()
    taps = []
    for offset in offsets:
        taps.append((offset, seen[offset]))
        seen[offset] += 1
    return taps


def _tile_columns(num_columns: int, longest: int) -> int:
    """The longest power of two that pads the columns by at most a quarter more than the best."""
    longest = min(longest, _power_of_two_above(num_columns))
    widths = [longest >> halvings for halvings in range(4) if longest >> halvings >= 32]
    padded = {width: -(-num_columns // width) * width for width in widths or [longest]}
    return max(width for width in padded if padded[width] <= 1.25 * min(padded.values()))


def _vector(num_values: int, widest: int) -> int:
    """The largest power of two, up to `widest`, that divides `num_values`."""
    return min(num_values & -num_values, widest)


def _power_of_two_above(number: int) -> int:
    return 1 << (number - 1).bit_length()
