"""The GPU kernel of the temporal filter, in Triton: one kernel for the filter and its gradients.

It reads shifted tiles of a source, multiplies them by weights and adds them up, or multiplies them
by a resident tile of a partner and sums, or both. It is bound by memory bandwidth:

- One launch for all groups of channels. A program owns a tile of one clip (see `triton_tiling`) and
  loops over the taps of this tile, so that a group with one tap costs the work of one. Offsets,
  weights, T and all sizes are run-time values: no kernel size is compiled separately.
- Every frame is read from device memory once and every result is written once. The tile of the next
  tap is the last one moved by a few frames, at most 16 KiB that the same program has just read and
  that are in the L1 cache. Clips of more than 8 frames are cut in time; the frames that
  neighbouring tiles share are read by neighbouring programs, which run together, and come from the
  L2 cache. A window of frames in registers would save the reads from L1 but no traffic of device
  memory, and in Triton it needs a variable for every frame and twice the registers.
- Accesses are as wide as the alignment of the rows permits, 16 bytes in the common shapes of both
  memory formats, and several are in flight at once: a thread requests all 8 frames of its values
  before it needs the first.
- Each tile writes one partial sum per tap, and these are added up afterwards: no atomics, and the
  same bits for the same inputs.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from mixtconv.ops.triton_tiling import TapTables, Tiling


def launch(
    tiling: Tiling,
    tables: TapTables,
    sign: int,
    source: Tensor,
    *,
    taps: Tensor | None = None,
    filtered: Tensor | None = None,
    partner: Tensor | None = None,
    partial: Tensor | None = None,
) -> None:
    """Run the kernel on clips that are dense and all of one memory format, the tiling's.

    Args:
        tiling: for the shape and memory format of the clips.
        tables: the taps of every tile.
        sign: of the offsets, 1 or -1.
        source: clips (B, T, C, H, W) that are shifted.
        taps, filtered: the flat weights, and the clips to which the sum of weights times shifted
            frames is written; both or neither.
        partner, partial: clips, and the tensor (B * tiles that share a channel, weights) to which
            the sums of `partner` times shifted frames are written; both or neither.
    """
    num_clips, num_frames, num_channels = source.shape[:3]
    programs = num_clips * tiling.row_tiles * tiling.column_tiles * tiling.time_tiles
    with torch.cuda.device_of(source):
        filter_tile[(programs,)](
            source,
            # An unused pointer needs some tensor all the same.
            source if taps is None else taps,
            source if filtered is None else filtered,
            source if partner is None else partner,
            source if partial is None else partial,
            tables.first_step,
            tables.steps,
            tables.slots,
            num_frames,
            num_channels,
            tiling.num_rows,
            tiling.num_columns // tiling.vector,
            tiling.num_positions,
            tiling.row_tiles,
            tiling.column_tiles,
            0 if partial is None else partial.shape[1],
            SIGN=sign,
            FILTER=filtered is not None,
            GRADIENT=partial is not None,
            MIXED=tables.mixed,
            CHANNEL_AXIS=tiling.channel_axis,
            VECTOR=tiling.vector,
            TILE_FRAMES=tiling.tile_frames,
            TILE_ROWS=tiling.tile_rows,
            TILE_COLUMNS=tiling.tile_columns,
            WIDE=tl.float64 if source.dtype == torch.float64 else tl.float32,
            LOCAL=tl.int64 if tiling.wide_offsets else tl.int32,
            num_warps=tiling.num_warps,
            num_stages=1,
            maxnreg=tiling.max_registers,
        )


@triton.jit(
    do_not_specialize=[
        "num_frames",
        "num_channels",
        "num_rows",
        "column_vectors",
        "num_positions",
        "row_tiles",
        "column_tiles",
        "num_slots",
    ]
)
def filter_tile(  # type: ignore[no-untyped-def]  # noqa: PLR0915
    source_ptr,
    taps_ptr,
    filtered_ptr,
    partner_ptr,
    partial_ptr,
    first_step_ptr,
    steps_ptr,
    slots_ptr,
    num_frames,
    num_channels,
    num_rows,
    column_vectors,
    num_positions,
    row_tiles,
    column_tiles,
    num_slots,
    SIGN: tl.constexpr,
    FILTER: tl.constexpr,
    GRADIENT: tl.constexpr,
    MIXED: tl.constexpr,
    CHANNEL_AXIS: tl.constexpr,
    VECTOR: tl.constexpr,
    TILE_FRAMES: tl.constexpr,
    TILE_ROWS: tl.constexpr,
    TILE_COLUMNS: tl.constexpr,
    WIDE: tl.constexpr,
    LOCAL: tl.constexpr,
):
    """One tile of TILE_FRAMES, TILE_ROWS and TILE_COLUMNS: see the top of this file."""
    program = tl.program_id(0)
    time_tiles = (num_frames + TILE_FRAMES - 1) // TILE_FRAMES
    time_tile = program % time_tiles
    column_tile = program // time_tiles % column_tiles
    row_tile = program // time_tiles // column_tiles % row_tiles
    clip = program // time_tiles // column_tiles // row_tiles

    # The tile's corner: one 64-bit address per program and 32-bit distances from it take half the
    # registers. Written as a product, the length of a row shows the compiler how rows are aligned.
    num_columns = column_vectors * VECTOR
    frame_size = num_rows.to(tl.int64) * num_columns
    first_frame = time_tile * TILE_FRAMES
    first_row = row_tile * TILE_ROWS
    first_column = column_tile * TILE_COLUMNS
    corner = (clip.to(tl.int64) * num_frames + first_frame) * frame_size
    corner += first_row.to(tl.int64) * num_columns + first_column

    # Distances and masks. Loads and stores have frames and rows as one axis: with three axes, the
    # releases of Triton differ in the one that threads are laid along after the columns. With two
    # it is the rows, so that a thread has all frames of its values, and sums over them by itself.
    line = tl.arange(0, TILE_FRAMES * TILE_ROWS)[:, None]
    column = tl.arange(0, TILE_COLUMNS)[None, :]
    local = (line // TILE_ROWS).to(LOCAL) * frame_size.to(LOCAL)
    local += (line % TILE_ROWS).to(LOCAL) * num_columns + column
    frame = first_frame + line // TILE_ROWS
    inside = (first_row + line % TILE_ROWS < num_rows) & (first_column + column < num_columns)
    here = inside & (frame < num_frames)
    lines: tl.constexpr = [TILE_FRAMES * TILE_ROWS, TILE_COLUMNS]
    tile: tl.constexpr = [TILE_FRAMES, TILE_ROWS, TILE_COLUMNS]

    # The channel of every value, and which tables and partial sums are this tile's.
    if CHANNEL_AXIS == "rows":
        channel = first_row + tl.arange(0, TILE_ROWS)[None, :, None]
        channel_tile = row_tile
        part = clip * column_tiles + column_tile
    else:
        channel = first_column + tl.arange(0, TILE_COLUMNS)[None, None, :]
        channel_tile = column_tile
        part = clip * row_tiles + row_tile
    if CHANNEL_AXIS == "columns":
        num_channels = num_columns  # the same number, of known alignment
    if CHANNEL_AXIS == "flat":
        channel = channel // num_positions
    position_axis: tl.constexpr = 2 if CHANNEL_AXIS == "rows" else 1
    is_channel = channel < num_channels

    # What stays in registers over all taps: the result, and the tile of the partner.
    if FILTER:
        total = tl.zeros(tile, WIDE)
    if GRADIENT:
        partner = tl.load(partner_ptr + corner + local, mask=here, other=0.0)
        partner = tl.reshape(partner, tile).to(WIDE)
        partial_ptr += (part.to(tl.int64) * time_tiles + time_tile) * num_slots

    # One step per tap of the tile: load the shifted tile, then use it for one result or both.
    first_step = tl.load(first_step_ptr + channel_tile)
    last_step = tl.load(first_step_ptr + channel_tile + 1)
    for step in range(first_step, last_step):
        offset = tl.load(steps_ptr + 2 * step) * SIGN
        slots_row = tl.load(steps_ptr + 2 * step + 1) * num_channels
        slot = tl.load(slots_ptr + slots_row + channel, mask=is_channel, other=-1)
        has_tap = slot >= 0 if MIXED else is_channel
        # As unsigned numbers, frames before the clip are beyond its end.
        met = (frame + offset).to(tl.uint32) < num_frames.to(tl.uint32)
        shifted = source_ptr + (corner + offset * frame_size) + local
        value = tl.load(shifted, mask=inside & met, other=0.0)
        value = tl.reshape(value, tile).to(WIDE)
        if FILTER:
            tap = tl.load(taps_ptr + slot, mask=has_tap, other=0.0).to(WIDE)
            if MIXED:
                total += tap * tl.where(has_tap, value, 0.0)
            else:
                total += tap * value
        if GRADIENT:
            product = tl.sum(partner * value, axis=0, keep_dims=True)
            product = tl.sum(product, axis=position_axis, keep_dims=True)
            tl.store(partial_ptr + slot, product, mask=has_tap)
    if FILTER:
        result = tl.reshape(total.to(filtered_ptr.dtype.element_ty), lines)
        tl.store(filtered_ptr + corner + local, result, mask=here)
