"""One step of a stream in every layout of its past, against sums over its frames."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from mixtconv.exporting.clip_layout import TimeKernel
from mixtconv.exporting.stream_layout import (
    RINGS,
    WINDOWS,
    FrameStep,
    Past,
    StreamLayoutName,
    frame_step,
)
from mixtconv.exporting.token_filter import TokenRingStep, TokenStep, num_before_turns
from mixtconv.inference.engines.past import NUMBER, PastOfStreams
from mixtconv.models.structure.token_layout import TokenLayout

C, H, W = 4, 3, 5
KERNELS = {
    "depthwise": TimeKernel(torch.randn(C, 1, 3), first=-2, step=1, groups=C),
    "dilated": TimeKernel(torch.randn(C, 1, 3), first=-6, step=3, groups=C),
    "ordinary": TimeKernel(torch.randn(C, C, 2), first=-2, step=2, groups=1),
}
PAST = {  # (B, D, C, H, W) -> the layout's
    "volume": lambda frames: frames.transpose(0, 2, 1, 3, 4),
    "rows": lambda frames: np.concatenate([*frames.swapaxes(0, 1)], axis=2),
    "rows_last": lambda frames: np.concatenate([*frames.transpose(1, 0, 3, 4, 2)], axis=1),
}


@pytest.mark.parametrize("layout", WINDOWS)
@pytest.mark.parametrize("name", KERNELS)
def test_a_step_mixes_the_frames_that_its_taps_meet(name: str, layout: StreamLayoutName) -> None:
    kernel = KERNELS[name]
    depth = -kernel.first
    frames = np.random.default_rng(0).normal(size=(2, depth + 1, C, H, W)).astype(np.float32)
    seen: list[np.ndarray] = []

    def remember(new: Tensor, length: int, *, axis: int) -> Tensor:
        past = torch.from_numpy(np.ascontiguousarray(PAST[layout](frames[:, :-1])))
        assert past.shape[axis] == length
        window = torch.cat([past, new], dim=axis)
        seen.append(window.numpy())
        return window

    got = WINDOWS[layout](kernel)(torch.from_numpy(frames[:, -1]), remember)
    np.testing.assert_array_equal(seen[0], PAST[layout](frames))
    expected = np.zeros((2, C, H, W), np.float32)
    for tap in range(kernel.weight.shape[2]):
        weight, frame = kernel.weight[:, :, tap].numpy(), frames[:, tap * kernel.step]
        if kernel.groups == 1:
            expected += np.einsum("oc,bchw->bohw", weight, frame)
        else:
            expected += weight.reshape(C, 1, 1) * frame
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("layout", WINDOWS)
def test_groups_of_channels_are_cut_off_in_order(layout: StreamLayoutName) -> None:
    x = torch.randn(2, 6, H, W)
    first, second, third = WINDOWS[layout].split(x, [1, 3, 2])
    assert torch.equal(first, x[:, :1])
    assert torch.equal(second, x[:, 1:4])
    assert torch.equal(third, x[:, 4:])


GROUPS = [
    TimeKernel(torch.ones(1, 1, 1), first=0, step=1, groups=1),
    TimeKernel(torch.randn(2, 1, 4), first=-3, step=1, groups=2),
    TimeKernel(torch.randn(1, 1, 1), first=0, step=1, groups=1),
    TimeKernel(torch.randn(2, 1, 3), first=-4, step=2, groups=2),
]
NUM_CHANNELS = 6


def _mixed(frames: np.ndarray, axis: int, groups: list[TimeKernel] = GROUPS) -> np.ndarray:
    """Sums over the frames that the taps of groups meet: (T, ...), channels along an axis."""
    before = np.concatenate([np.zeros((4, *frames.shape[1:]), np.float32), frames])
    mixed, channel = np.zeros_like(frames), 0
    for kernel in groups:
        for weight in kernel.weight[:, 0].numpy():
            of_channel = (slice(None),) * axis + (channel,)
            for tap, value in enumerate(weight):
                start = 4 + kernel.first + tap * kernel.step
                mixed[of_channel] += value * before[start : start + len(frames)][of_channel]
            channel += 1
    return mixed


def _kept(step: FrameStep, past: Past, frames: Tensor, begins: list[int]) -> np.ndarray:
    """Run streams that begin at different times, their states kept by the words of docs/export.md.

    Args:
        step: a temporal operation.
        past: its past.
        frames: (T, B, ...).
        begins: of each stream the first frame.
    """
    step(frames[0])
    states, results = past.states.values(), []
    kept = {state.name: np.zeros((frames.shape[1], *state.shape), np.float32) for state in states}
    for time, frame in enumerate(frames):
        numbers = np.array([max(0, time - begin) for begin in begins])
        for row, number in enumerate(numbers):
            for array in kept.values():
                array[row] *= number > 0  # zeros at the start of a stream
        past.begin({name: torch.from_numpy(array.copy()) for name, array in kept.items()})
        past.before[NUMBER] = torch.from_numpy(numbers)
        results.append(step(frame).numpy())
        for state in states:
            output, shape = state.output
            given = past.after[output].numpy()
            assert given.shape[1:] == shape
            if state.ring is None:
                kept[state.name] = given
                continue
            channels, rows = state.shape[0], shape[1]
            for row, number in enumerate(numbers):
                slot = number % state.ring.slots
                new = given[row, state.ring.start : state.ring.start + channels]
                kept[state.name][row, :, slot * rows : (slot + 1) * rows] = new
    return np.stack(results)


@pytest.mark.parametrize("layout", [*WINDOWS, *RINGS])
def test_streams_are_mixed_over_time_whenever_they_began(layout: StreamLayoutName) -> None:
    frames = torch.randn(11, 2, NUM_CHANNELS, H, W)
    past = Past()
    got = _kept(frame_step(layout, "past", GROUPS, past), past, frames, begins=[0, 3])
    for row, begin in enumerate([0, 3]):
        expected = _mixed(frames[begin:, row].numpy(), axis=1)
        np.testing.assert_allclose(got[begin:, row], expected, rtol=1e-5, atol=1e-5)


KEYS_AND_VALUES = [
    *GROUPS,
    *(replace(kernel, weight=torch.randn_like(kernel.weight)) for kernel in GROUPS),
]


@pytest.mark.parametrize("kind", [TokenStep, TokenRingStep])
@pytest.mark.parametrize("groups", [GROUPS, KEYS_AND_VALUES])
@pytest.mark.parametrize("parts", [1, 3])
def test_tokens_are_mixed_over_time_whenever_they_began(
    kind: type[TokenStep], groups: list[TimeKernel], parts: int
) -> None:
    tokens = torch.randn(11, 2, parts * 5, sum(len(kernel.weight) for kernel in groups))
    past = Past()
    step = kind("past", groups, past, TokenLayout(parts=parts))
    windows = torch.nn.Sequential(torch.nn.Unflatten(1, (parts, 5)), torch.nn.Flatten(0, 1))
    whole = torch.nn.Sequential(torch.nn.Unflatten(0, (2, parts)), torch.nn.Flatten(1, 2))
    got = _kept(torch.nn.Sequential(windows, step, whole), past, tokens, begins=[0, 3])
    for row, begin in enumerate([0, 3]):
        expected = _mixed(tokens[begin:, row].numpy(), 2, groups)
        np.testing.assert_allclose(got[begin:, row], expected, rtol=1e-5, atol=1e-5)
    assert len(past.states) == 2  # the same kernels of both have one


def test_queries_are_told_from_the_kernels_of_keys_and_values() -> None:
    passed = TimeKernel(torch.ones(4, 1, 1), first=0, step=1, groups=4)
    assert num_before_turns([passed, *KEYS_AND_VALUES]) == 1
    assert num_before_turns([passed, *GROUPS, *GROUPS]) == 1  # keys begin with such a kernel, too
    assert num_before_turns([passed, *GROUPS]) == 0  # without turns nothing is gained
    assert num_before_turns([passed, *GROUPS, *GROUPS] * 3) == 0  # those of other heads stay
    assert num_before_turns(GROUPS[1:]) == 0
    assert num_before_turns([passed, passed]) == 0


@pytest.mark.parametrize("layout", RINGS)
def test_an_ordinary_convolution_keeps_a_window(layout: StreamLayoutName) -> None:
    past = Past()
    step = frame_step(layout, "past", [KERNELS["ordinary"]], past)
    frames = torch.randn(5, 2, C, H, W)
    got = _kept(step, past, frames, begins=[0, 0])
    before = torch.cat([torch.zeros(2, *frames.shape[1:]), frames])
    weight = KERNELS["ordinary"].weight
    expected = sum(
        torch.einsum("oc,tbchw->tbohw", weight[:, :, tap], before[2 * tap : 2 * tap + 5])
        for tap in range(2)
    )
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_the_user_of_a_network_keeps_the_streams_that_had_a_frame() -> None:
    """Rows of rings and windows are those of their own streams, in whatever order they come."""
    past = Past()
    step = frame_step("ring", "past", GROUPS, past)
    window = torch.randn(7, 3, 1, H, W)
    frames = torch.randn(7, 3, NUM_CHANNELS, H, W)

    def run(x: Tensor, extra: Tensor) -> Tensor:
        return step(x) + past.window("extra", extra, depth=2).sum(dim=(1, 2))[:, None]

    run(frames[0], window[0])
    kept = PastOfStreams([*past.states.values()], num_streams=3)
    seen: list[list[int]] = [[], [], []]
    for time, rows in enumerate([[0, 1, 2], [2, 0], [1], [0, 1, 2], [2], [2, 1, 0], [0]]):
        if time == 3:
            kept.forget(1)
            seen[1] = []
        past.begin({name: torch.from_numpy(array) for name, array in kept.before(rows).items()})
        got = run(frames[time, rows], window[time, rows]).numpy()
        kept.after({name: output.numpy() for name, output in past.after.items()}, rows)
        for place, row in enumerate(rows):
            seen[row].append(time)
            own, others = frames[seen[row], row].numpy(), window[seen[row][-3:], row, 0].numpy()
            expected = _mixed(own, axis=1)[-1] + others.sum(axis=0)
            np.testing.assert_allclose(got[place], expected, rtol=1e-5, atol=1e-5)
