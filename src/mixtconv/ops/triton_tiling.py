"""The tiles into which the GPU kernel cuts clips, and the tables of the taps of each tile.

A frame is a matrix whose rows follow each other in memory. The memory format determines which of
its axes are the channels:

    channels-last          rows: positions (H * W)    columns: channels
    contiguous (NCHW)      rows: channels             columns: positions
    the same, flattened    one row                    columns: channels x positions

The flattened view is for frames such as 7x7, whose rows of 49 values start at odd addresses: as one
row of C * 49 values they can still be read 16 bytes at a time. It costs a division and a weight for
every value instead of one for every row, and its tiles cut channels in two, so that it is used for
the filter alone and not for the gradient of the weights.

A tile is some rows and columns of up to eight consecutive frames of one clip. Its borders ignore
those of the groups of channels, so that its addresses are aligned however the channels are split:
each tile has a list of the taps of all groups that it overlaps.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mixtconv.ops.taps import TapGroups

ChannelAxis = Literal["rows", "columns", "flat"]

FRAMES_PER_TILE = 8
_VECTOR_BYTES = 16  # the widest access of one thread
_WORD_BYTES = 4  # least that a thread reads of a frame, if necessary value by value
_CHANNEL_ROW_BYTES = 128  # of channels-last: a cache line, and few groups of channels a tile
_POSITION_ROW_BYTES = 512  # of NCHW: rows start anywhere, so longer ones share fewer cache lines
_LARGEST_INT32 = 2**31 - 1


@dataclass(frozen=True)
class Tiling:
    """Clips of `num_frames` x `num_rows` x `num_columns` cut into tiles, one a block of threads."""

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
    """Distances within one tile exceed a 32-bit integer."""

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
        """Number of tiles of a clip that share a channel, where no tile cuts one in two."""
        other_tiles = self.row_tiles if self.channel_axis == "columns" else self.column_tiles
        return other_tiles * self.time_tiles

    @property
    def channel_spans(self) -> tuple[tuple[int, int], ...]:
        """First and last channel (exclusive) of each tile along the axis that has the channels."""
        if self.channel_axis == "rows":
            size, length, values = self.tile_rows, self.num_rows, 1
        elif self.channel_axis == "columns":
            size, length, values = self.tile_columns, self.num_columns, 1
        else:
            size, length, values = self.tile_columns, self.num_columns, self.num_positions
        return tuple(
            (start // values, -(-min(start + size, length) // values))
            for start in range(0, length, size)
        )


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
    the gradient of the weights, of half a vector, since it holds two tensors; flattened, 2 frames),
    so that 16 warps or more, in 2 blocks or more, fit on a multiprocessor of 65,536 registers: some
    read while others wait.

    Args:
        num_frames, num_channels, num_positions: at least 1 each.
        itemsize: bytes of a value, 2, 4 or 8.
        channels_last: the memory format. H * W = 1 is the same in both, and treated as this one.
        taps_gradient: whether the gradient of the weights is computed.

    >>> options = {"itemsize": 2, "channels_last": True, "taps_gradient": False}
    >>> tiling = choose_tiling(8, 256, 56 * 56, **options)
    >>> tiling.channel_axis, tiling.tile_rows, tiling.tile_columns, tiling.vector
    ('columns', 16, 64, 8)
    """
    widest = _VECTOR_BYTES // itemsize
    # The view of a frame as a matrix. It is flattened where rows cannot be read in vectors of half
    # the full width but the whole frame can be read in full vectors.
    axis: ChannelAxis = "rows"
    rows, columns, longest = num_channels, num_positions, _POSITION_ROW_BYTES // itemsize
    if channels_last or num_positions == 1:
        axis = "columns"
        rows, columns, longest = num_positions, num_channels, _CHANNEL_ROW_BYTES // itemsize
    elif (
        not taps_gradient
        and _vector(columns, widest) < widest // 2
        and _vector(rows * columns, widest) == widest
        and rows * columns < _LARGEST_INT32 // 2
    ):
        axis, rows, columns = "flat", 1, rows * columns
    # Values per thread and warps per block, chosen so that the registers of all blocks fit.
    vector = _vector(columns, widest // 2 if taps_gradient else widest)
    bytes_per_thread = max(_WORD_BYTES, vector * itemsize)  # of a frame
    num_warps = 4 if bytes_per_thread == _VECTOR_BYTES else 8
    warps_resident = 24 if bytes_per_thread == 8 and not taps_gradient else 16
    if axis == "flat":
        bytes_per_thread, num_warps, warps_resident = 4, 8, 32
    # The shape of a tile: as many values of a frame as the block's threads hold.
    values = 32 * num_warps * bytes_per_thread // itemsize
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
        # Compiled for sm_90, the kernel then spills a handful of registers at most.
        max_registers=65536 // (32 * warps_resident) // 8 * 8,
        wide_offsets=tile_frames * rows * columns > _LARGEST_INT32,
    )


@dataclass(frozen=True)
class TapTables:
    """The taps of every tile, as int32 tensors on the device that runs the kernel."""

    first_step: Tensor
    """(tiles + 1,): the steps of tile i are first_step[i] up to first_step[i + 1]."""
    steps: Tensor
    """(steps, 2): the frame offset of a tap, and its row of `slots`."""
    slots: Tensor
    """(different taps, C): index of a channel's weight for this tap in the flat weights, or -1."""
    mixed: bool
    """Whether some tile has a channel that lacks one of the tile's taps."""


def tap_tables(
    groups: TapGroups,
    channel_spans: Sequence[tuple[int, int]],
    *,
    num_frames: int,
    device: torch.device,
) -> TapTables:
    """The tables for a filter's groups of channels.

    Args:
        groups: of the filter.
        channel_spans: of the tiles, see `Tiling`.
        num_frames: T.
        device: that runs the kernel.

    Example: 2 channels with offset 0 and 2 with offsets -1, 0, 1, in one tile or two. There are
    three different taps, and the weights are numbered as they are stored, group by group:

        tap -1   slots  -1 -1  2  5      one tile:   steps -1, 0, 1     mixed
        tap  0   slots   0  1  3  6      two tiles:  steps 0 | -1, 0, 1
        tap +1   slots  -1 -1  4  7
    """
    split = [(group, _numbered(group.offsets, num_frames)) for group in groups.split()]

    # One row of slots for each different tap: where each channel's weight for it is stored.
    different = sorted({tap for _, taps in split for tap in taps})
    slots = torch.full((len(different), sum(groups.channels)), -1, dtype=torch.int32)
    for group, taps in split:
        # A channel's weights follow each other; those of one tap are len(taps) apart.
        for first, tap in enumerate(taps, start=group.weights.start):
            row = slots[different.index(tap), group.channels]
            row.copy_(first + len(taps) * torch.arange(len(row)))

    # The steps of a tile: the taps of all groups that it overlaps.
    first_step, steps, mixed = [0], [], False
    for start, stop in channel_spans:
        present = [
            taps
            for group, taps in split
            if max(group.channels.start, start) < min(group.channels.stop, stop)
        ]
        tile_taps = sorted({tap for taps in present for tap in taps})
        mixed |= any(len(taps) < len(tile_taps) for taps in present)
        steps += [(tap[0], different.index(tap)) for tap in tile_taps]
        first_step.append(len(steps))
    return TapTables(
        first_step=torch.tensor(first_step, dtype=torch.int32, device=device),
        steps=torch.tensor(steps, dtype=torch.int32, device=device),
        slots=slots.to(device),
        mixed=mixed,
    )


def _numbered(offsets: Iterable[int], num_frames: int) -> list[tuple[int, int]]:
    """Each tap as its offset and the number of taps before it at the same offset.

    A group may have two taps at one offset; the pair makes them different taps. Offsets of T or
    more meet no frame and are all cut to T, so that they fit 32 bits.
    """
    counts: Counter[int] = Counter()
    taps = []
    for offset in offsets:
        clipped = max(-num_frames, min(offset, num_frames))
        taps.append((clipped, counts[clipped]))
        counts[clipped] += 1
    return taps


def _tile_columns(num_columns: int, longest: int) -> int:
    """The longest power of two whose padding of the columns is within a quarter of the least."""
    longest = min(longest, _power_of_two_above(num_columns))
    widths = [longest >> halvings for halvings in range(4) if longest >> halvings >= 32]
    padded = {width: -(-num_columns // width) * width for width in widths or [longest]}
    return max(width for width in padded if padded[width] <= 1.25 * min(padded.values()))


def _vector(num_values: int, widest: int) -> int:
    """The largest power of two, up to `widest`, that divides `num_values`."""
    return min(num_values & -num_values, widest)


def _power_of_two_above(number: int) -> int:
    return 1 << (number - 1).bit_length()
