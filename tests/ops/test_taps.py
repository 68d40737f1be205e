"""Offsets of taps, their groups and initial values, against the values of DESIGN.md written out."""

import pytest
import torch

from mixtconv.ops import MixTConv, TemporalConv
from mixtconv.ops.taps import TapGroups, group_channels, initial_taps, tap_offsets

# (frames before, frames after, the frame itself), tap 0 first
CENTRED = {
    1: ([1], [1], [1]),
    3: ([1, 0, 0], [0, 0, 1], [0, 1, 0]),
    5: ([1, 1, 0, 0, 0], [0, 0, 0, 1, 1], [0, 0, 1, 0, 0]),
    7: ([1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1], [0, 0, 0, 1, 0, 0, 0]),
    9: ([1] * 4 + [0] * 5, [0] * 5 + [1] * 4, [0] * 4 + [1] + [0] * 4),
}
# causal: there are no frames after, so the second part passes the frame itself
CAUSAL = {
    1: ([1], [1], [1]),
    3: ([0, 1, 0], [0, 0, 1], [0, 0, 1]),
    5: ([0, 0, 1, 1, 0], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1]),
    7: ([0, 0, 0, 1, 1, 1, 0], [0] * 6 + [1], [0] * 6 + [1]),
}
CASES = [(k, False, taps) for k, taps in CENTRED.items()]
CASES += [(k, True, taps) for k, taps in CAUSAL.items()]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    ("channels", "options", "count"),
    [(16, {}, 2), (23, {}, 2), (7, {}, 0), (16, {"shift_fraction": 0.25}, 4)],
)
def test_shift_starts_from_these_values(case, channels, options, count):
    kernel_size, causal, (before, after, own) = case
    expected = [before] * count + [after] * count + [own] * (channels - 2 * count)
    got = initial_taps(channels, kernel_size, causal=causal, **options)
    assert got.tolist() == expected


@pytest.mark.parametrize(("kernel_size", "causal", "taps"), CASES)
def test_identity_starts_from_the_frame_itself(kernel_size, causal, taps):
    got = initial_taps(16, kernel_size, init="identity", causal=causal)
    assert got.tolist() == [taps[2]] * 16


def test_every_group_shifts_the_first_eighths_of_its_own_channels():
    layer = MixTConv(64, kernel_sizes=(1, 3, 5, 7))
    for size, weight in zip((1, 3, 5, 7), layer.weights, strict=True):
        before, after, own = CENTRED[size]
        assert weight.tolist() == [before] * 2 + [after] * 2 + [own] * 12


@pytest.mark.parametrize(("kernel_size", "causal", "taps"), CASES)
def test_ordinary_convolution_starts_unmixed(kernel_size, causal, taps):
    weight = TemporalConv(16, kernel_size, causal=causal).weight
    expected = [taps[0]] * 2 + [taps[1]] * 2 + [taps[2]] * 12
    for out in range(16):
        for channel in range(16):
            wanted = expected[out] if out == channel else [0] * kernel_size
            assert weight[out, channel].tolist() == wanted


@pytest.mark.parametrize(
    ("kernel_size", "dilation", "causal", "offsets"),
    [
        (1, 3, False, [0]),
        (3, 1, False, [-1, 0, 1]),
        (3, 1, True, [-2, -1, 0]),
        (5, 2, False, [-4, -2, 0, 2, 4]),
        (5, 3, True, [-12, -9, -6, -3, 0]),
    ],
)
def test_offsets(kernel_size, dilation, causal, offsets):
    assert tap_offsets(kernel_size, dilation=dilation, causal=causal) == offsets


@pytest.mark.parametrize(
    ("channels", "num_groups", "sizes"),
    [(8, 1, [8]), (8, 4, [2] * 4), (9, 4, [3, 2, 2, 2]), (11, 4, [3, 3, 3, 2]), (3, 3, [1] * 3)],
)
def test_the_remainder_goes_to_the_first_groups(channels, num_groups, sizes):
    assert group_channels(channels, num_groups) == sizes


@pytest.mark.parametrize("make", [MixTConv, TemporalConv])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"init": "zeros"}, r"'zeros'.*'shift' and 'identity'"),
        ({"shift_fraction": 0.6}, r"0\.6.*0 to 0\.5"),
        ({"shift_fraction": -0.1}, r"-0\.1.*0 to 0\.5"),
    ],
)
def test_a_start_that_does_not_exist_is_refused(make, options, message):
    with pytest.raises(ValueError, match=message):
        make(8, **options)


def test_starting_values_do_not_touch_the_random_state():
    state = torch.random.get_rng_state()
    MixTConv(16)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_groups_cut_channels_weights_and_offsets_where_each_group_ends() -> None:
    groups = TapGroups(channels=(2, 1, 3), num_taps=(1, 3, 2), offsets=(0, -1, 0, 1, -4, 4))
    weights = torch.arange(groups.num_weights)
    matrices = [(group.channels, group.matrix(weights).tolist()) for group in groups.split()]
    assert matrices == [
        (slice(0, 2), [[0], [1]]),
        (slice(2, 3), [[2, 3, 4]]),
        (slice(3, 6), [[5, 6], [7, 8], [9, 10]]),
    ]
    assert [group.offsets for group in groups.split()] == [(0,), (-1, 0, 1), (-4, 4)]
    assert groups.negated().offsets == (0, 1, 0, -1, 4, -4)
    assert groups.negated().negated() == groups


def test_a_groups_matrix_shows_the_weights_that_it_is_cut_from() -> None:
    weights = torch.ones(5)
    [_, group] = TapGroups((2, 1), (1, 3), (0, -1, 0, 1)).split()
    group.matrix(weights).fill_(7)
    assert weights.tolist() == [1, 1, 7, 7, 7]
