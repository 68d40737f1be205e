"""How clips are cut for the GPU's kernel: nothing here needs a GPU."""

import itertools

import pytest
import torch

from mixtconv.ops.taps import TapGroups
from mixtconv.ops.triton_tiling import choose_tiling, tap_tables

SHAPES = [  # frames, channels, positions
    (8, 256, 56 * 56),
    (8, 1024, 14 * 14),
    (8, 2048, 7 * 7),
    (1, 24, 28 * 28),
    (3, 13, 35),
    (128, 1, 9),
    (17, 86, 1),
]
OPTIONS = list(itertools.product([2, 4, 8], [False, True], [False, True]))


def tilings():
    for (frames, channels, positions), (itemsize, channels_last, gradient) in itertools.product(
        SHAPES, OPTIONS
    ):
        yield (
            channels,
            itemsize,
            choose_tiling(
                frames,
                channels,
                positions,
                itemsize=itemsize,
                channels_last=channels_last,
                taps_gradient=gradient,
            ),
        )


def power_of_two(number):
    return number > 0 and number & (number - 1) == 0


def test_tiles_have_sizes_that_a_kernel_can_have_and_cover_the_clip():
    for channels, itemsize, tiling in tilings():
        assert tiling.num_rows * tiling.num_columns == channels * tiling.num_positions
        assert all(
            map(
                power_of_two,
                (tiling.tile_frames, tiling.tile_rows, tiling.tile_columns, tiling.vector),
            )
        )
        assert tiling.tile_rows * tiling.tile_columns * itemsize in (1024, 2048)
        assert tiling.row_tiles * tiling.tile_rows >= tiling.num_rows
        assert tiling.column_tiles * tiling.tile_columns >= tiling.num_columns
        assert tiling.time_tiles * tiling.tile_frames >= tiling.num_frames
        assert tiling.num_columns % tiling.vector == 0
        assert tiling.vector * itemsize <= 16


def test_each_channel_is_in_a_tile_and_only_flattened_frames_cut_one():
    for channels, _, tiling in tilings():
        spans = tiling.channel_spans
        along_rows = tiling.channel_axis == "rows"
        assert len(spans) == (tiling.row_tiles if along_rows else tiling.column_tiles)
        assert spans[0][0] == 0
        assert spans[-1][1] == channels
        for (_, end), (start, _) in itertools.pairwise(spans):
            assert start in ((end - 1, end) if tiling.channel_axis == "flat" else (end,))


@pytest.mark.parametrize("itemsize", [2, 4])
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("shape", [s for s in SHAPES if s[1] >= 256])
def test_a_resnet_is_filtered_by_accesses_of_8_bytes_or_more(shape, itemsize, channels_last):
    tiling = choose_tiling(
        *shape, itemsize=itemsize, channels_last=channels_last, taps_gradient=False
    )
    assert tiling.vector * itemsize >= (8 if shape[2] == 14 * 14 else 16)
    assert (tiling.channel_axis == "flat") == (shape[2] == 7 * 7 and not channels_last)


@pytest.mark.parametrize("channels", [24, 64, 72, 160, 2048])
def test_few_threads_are_idle(channels):
    tiling = choose_tiling(8, channels, 64, itemsize=2, channels_last=True, taps_gradient=False)
    assert tiling.column_tiles * tiling.tile_columns <= 4 * channels / 3


def test_maps_of_one_position_are_read_along_the_channels():
    tiling = choose_tiling(8, 2048, 1, itemsize=2, channels_last=False, taps_gradient=True)
    assert tiling.channel_axis == "columns"
    assert tiling.vector > 1


@pytest.mark.parametrize(("frame_size", "wide"), [(2**28 - 64, False), (2**28, True)])
def test_offsets_within_a_tile_are_64_bits_where_32_do_not_do(frame_size, wide):
    tiling = choose_tiling(
        8, 64, frame_size // 64, itemsize=2, channels_last=True, taps_gradient=False
    )
    assert tiling.wide_offsets == wide


GROUPS = [  # channels, taps and offsets of the groups
    ([4, 3, 3, 3], [1, 3, 1, 2], [0, -1, 0, 1, 2, 0, 1]),
    ([13], [3], [5, 5, -99]),
    ([1, 0, 12], [0, 3, 2], [0, 1, 2, 1, 0]),
]


def taps_of_channels(channels, num_taps, offsets, num_frames):
    """For each channel the sorted (offset, index of the tap), offsets beyond the clip cut off."""
    first = slot = 0
    for count, taps in zip(channels, num_taps, strict=True):
        for _ in range(count):
            reach = [max(-num_frames, min(o, num_frames)) for o in offsets[first : first + taps]]
            yield sorted((offset, slot + tap) for tap, offset in enumerate(reach))
            slot += taps
        first += taps


@pytest.mark.parametrize("groups", GROUPS)
def test_each_tile_has_the_taps_of_its_channels(groups):
    for channels, _, tiling in tilings():
        if channels != sum(groups[0]):
            continue
        tables = tap_tables(
            TapGroups(*map(tuple, groups)),
            tiling.channel_spans,
            num_frames=tiling.num_frames,
            device=torch.device("cpu"),
        )
        wanted = list(taps_of_channels(*groups, tiling.num_frames))
        lacking = False
        for tile, (start, stop) in enumerate(tiling.channel_spans):
            steps = tables.steps[tables.first_step[tile] : tables.first_step[tile + 1]].tolist()
            for channel in range(start, stop):
                slots = [(offset, int(tables.slots[row, channel])) for offset, row in steps]
                assert sorted(pair for pair in slots if pair[1] >= 0) == wanted[channel]
                lacking |= any(slot < 0 for _, slot in slots)
        assert tables.mixed == lacking
