"""A filter frame by frame, compiled and plain, against loops written from its definition."""

import copy
import itertools
import multiprocessing
import os

import numpy as np
import pytest
import torch
from torch import Tensor

from mixtconv.ops import TemporalConv, cpu_stream_filter, native_library
from mixtconv.ops.filter import DepthwiseTaps
from mixtconv.ops.stream_filter import StreamConv, StreamFilter
from mixtconv.ops.stream_state import Streams
from mixtconv.ops.taps import TapGroups

SETS = list(native_library.instruction_sets()) if cpu_stream_filter.most_lags() else []
PLAIN = "plain"

# channels and lags (frames back) of every group
GROUPS = {
    "mixed": [(5, [0]), (4, [2, 1, 0]), (4, [4, 3, 2, 1, 0]), (6, [6, 5, 4, 3, 2, 1, 0])],
    "wide": [(40, [0]), (37, [2, 1, 0])],
    "whole vectors": [(16, [0]), (32, [2, 1, 0]), (16, [1])],
    "dilated": [(9, [4, 2, 0]), (8, [12, 9, 6, 3, 0])],
    "nine taps": [(17, list(range(8, -1, -1)))],
    "eleven taps": [(17, list(range(10, -1, -1)))],
    "shift": [(3, [1]), (14, [0])],
    "no rule": [(8, [5, 0, 1]), (9, [3])],
}


def _taps(groups: list, randn) -> DepthwiseTaps:
    numbers = sum(count * len(lags) for count, lags in groups)
    channels = tuple(count for count, _ in groups)
    num_taps = tuple(len(lags) for _, lags in groups)
    offsets = tuple(-lag for _, lags in groups for lag in lags)
    return DepthwiseTaps(randn(numbers), TapGroups(channels, num_taps, offsets))


def _reference(clip: Tensor, taps: Tensor, groups: list) -> np.ndarray:
    x, y = clip.double().numpy(), np.zeros(clip.shape)  # (B, T, C, H, W)
    weights, channel = iter(taps.double().tolist()), 0
    for count, lags in groups:
        for _ in range(count):
            for lag in lags:
                weight = next(weights)
                for t in range(lag, x.shape[1]):
                    y[:, t, channel] += weight * x[:, t - lag, channel]
            channel += 1
    return y


@pytest.fixture(params=[*SETS, PLAIN])
def kernel(request, monkeypatch):
    """Each instruction set in turn, and plain torch."""
    if request.param == PLAIN:
        monkeypatch.setenv("MIXTCONV_KERNEL", "plain")
    else:
        monkeypatch.setattr(native_library, "best", lambda: request.param)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("name", GROUPS)
def test_every_frame_is_that_of_a_filter_over_the_whole_clip(name, layout, kernel, randn):
    groups = GROUPS[name]
    stream_filter = StreamFilter(_taps(groups, randn))
    clip = randn(2, 30, sum(count for count, _ in groups), 5, 3)
    expected = _reference(clip, stream_filter.taps.weights, groups)
    past = stream_filter.no_past(clip[:, 0].contiguous(memory_format=layout), num_streams=4)
    for t in range(30):
        x = clip[:, t].contiguous(memory_format=layout)
        y = stream_filter(x, past, Streams((3, 1), (t, t)))
        np.testing.assert_allclose(y.numpy(), expected[:, t], atol=1e-5)


def test_streams_start_and_continue_independently(kernel, randn):
    groups = GROUPS["mixed"]
    stream_filter = StreamFilter(_taps(groups, randn))
    clip = randn(2, 12, 19, 4, 4)
    expected = _reference(clip, stream_filter.taps.weights, groups)
    past = stream_filter.no_past(clip[:, 0], num_streams=2)
    for t in range(12):  # the second stream has a frame every other time
        stream_filter(clip[:1, t], past, Streams((0,), (t,)))
        if t % 2:
            y = stream_filter(clip[1:, t // 2], past, Streams((1,), (t // 2,)))
            np.testing.assert_allclose(y[0].numpy(), expected[1, t // 2], atol=1e-5)
    past.forget(0)
    for t in range(12):
        y = stream_filter(clip[1:, t], past, Streams((0,), (t,)))
        np.testing.assert_allclose(y[0].numpy(), expected[1, t], atol=1e-5)


def test_double_precision_and_preallocated_memory(randn):
    taps = _taps(GROUPS["mixed"], randn)
    stream_filter = StreamFilter(DepthwiseTaps(taps.weights.double(), taps.groups))
    x = randn(1, 19, 4, 4, dtype=torch.float64)
    out = torch.empty_like(x)
    past = stream_filter.no_past(x, num_streams=1)
    assert stream_filter(x, past, Streams((0,), (0,)), out=out) is out
    expected = _reference(x[:, None], taps.weights, GROUPS["mixed"])[:, 0]
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-12)


def test_rings_hold_what_taps_reach_and_no_more(randn):
    past = StreamFilter(_taps(GROUPS["mixed"], randn)).no_past(torch.zeros(1, 19, 5, 3), 4)
    shapes = [None if ring is None else tuple(ring.shape) for ring in past.rings]
    assert shapes == [None, (4, 2, 4, 5, 3), (4, 4, 4, 5, 3), (4, 6, 6, 5, 3)]


@pytest.mark.parametrize("dilation", [1, 2])
def test_an_ordinary_convolution_frame_by_frame(dilation, randn, randomise):
    layer = randomise(TemporalConv(6, 3, dilation=dilation, causal=True))
    clip = randn(2, 9, 6, 4, 4)
    conv = StreamConv(layer)
    past = conv.no_past(clip[:, 0], num_streams=3)
    with torch.no_grad():
        expected = layer(clip)
        for t in range(9):
            y = conv(clip[:, t], past, Streams((2, 0), (t, t)))
            torch.testing.assert_close(y, expected[:, t])


@pytest.mark.parametrize(
    ("num_lags", "meets_new"), [(0, True), *itertools.product(range(1, 10), (True, False))]
)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_any_number_of_taps_on_large_frames(num_lags, meets_new, layout, kernel, randn):
    lags = [*range(num_lags, 0, -1), *([0] if meets_new else [])]
    groups = [(21, lags), (64, lags)]
    stream_filter = StreamFilter(_taps(groups, randn))
    clip = randn(1, 12, 85, 20, 21)  # more numbers than one thread takes
    expected = _reference(clip, stream_filter.taps.weights, groups)
    past = stream_filter.no_past(clip[:, 0].contiguous(memory_format=layout), num_streams=1)
    for t in range(12):
        x = clip[:, t].contiguous(memory_format=layout)
        y = stream_filter(x, past, Streams((0,), (t,)))
        np.testing.assert_allclose(y.numpy(), expected[:, t], atol=2e-5)


@pytest.mark.parametrize("lags", [[3, 1, 3], [2, 0, 0], [0, 0]])
def test_taps_that_meet_the_same_frame(lags, kernel, randn):
    groups = [(7, lags), (20, [1])]
    stream_filter = StreamFilter(_taps(groups, randn))
    clip = randn(1, 8, 27, 5, 3)
    expected = _reference(clip, stream_filter.taps.weights, groups)
    past = stream_filter.no_past(clip[:, 0], num_streams=1)
    for t in range(8):
        y = stream_filter(clip[:, t], past, Streams((0,), (t,)))
        np.testing.assert_allclose(y.numpy(), expected[:, t], atol=1e-5)


@pytest.mark.parametrize("form", ["transposed", "of every other", "double"])
def test_memory_for_the_result_may_be_any(form, kernel, randn):
    stream_filter = StreamFilter(_taps(GROUPS["mixed"], randn))
    x = randn(1, 19, 4, 6)
    out = {
        "transposed": torch.zeros(1, 19, 6, 4).transpose(2, 3),
        "of every other": torch.zeros(1, 38, 4, 6)[:, ::2],
        "double": torch.zeros(1, 19, 4, 6, dtype=torch.float64),
    }[form]
    past = stream_filter.no_past(x, num_streams=1)
    assert stream_filter(x, past, Streams((0,), (0,)), out=out) is out
    expected = _reference(x[:, None], stream_filter.taps.weights, GROUPS["mixed"])[:, 0]
    np.testing.assert_allclose(out.numpy(), expected, atol=1e-5)


@pytest.mark.skipif(not SETS, reason="the compiled loop is not there")
def test_a_call_is_repeated_for_frames_and_streams_that_are_alike_and_no_others(randn):
    stream_filter = StreamFilter(_taps(GROUPS["mixed"], randn))
    clip = randn(1, 4, 19, 5, 3)
    expected = _reference(clip, stream_filter.taps.weights, GROUPS["mixed"])
    past, frames = stream_filter.no_past(clip[:, 0], num_streams=2), clip[0].unsqueeze(1)
    first = stream_filter(frames[0], past, Streams((0,), (0,)))
    assert past.step.again(frames[1], Streams((0,), (1,))) is None  # it was not said where to
    past.step.repeat_into(first[:, :1], frames[0])
    assert past.step.again(frames[1], Streams((0,), (1,))) is None  # there is no room
    past.step.repeat_into(first, frames[0])
    for t in (1, 2, 3):
        streams = Streams((0,), (t,))
        for other in (
            frames[t].double(),
            frames[t].to(memory_format=torch.channels_last),
            frames[t][..., :2].contiguous(),
            frames[t].expand(2, -1, -1, -1),
        ):
            assert past.step.again(other, streams) is None
        for others in (Streams((2,), (t,)), Streams((0, 1), (t, 0))):
            assert past.step.again(frames[t], others) is None
        assert past.step.again(frames[t], streams) is first
        np.testing.assert_allclose(first.numpy(), expected[:, t], atol=1e-5)


def test_two_filters_may_take_turns_with_one_past(kernel, randn):
    one, other = (StreamFilter(_taps([(4, [1, 0])], randn)) for _ in range(2))
    clip = randn(1, 6, 4, 5, 3)
    past = one.no_past(clip[:, 0], num_streams=1)
    for t in range(6):
        chosen = (one, other)[t % 2]
        y = chosen(clip[:, t], past, Streams((0,), (t,)))
        expected = _reference(clip, chosen.taps.weights, [(4, [1, 0])])[:, t]
        np.testing.assert_allclose(y.numpy(), expected, atol=1e-5)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_continues_a_stream(randn):
    groups = [(64, [2, 1, 0])]
    stream_filter = StreamFilter(_taps(groups, randn))
    clip = randn(1, 3, 64, 40, 41)
    expected = _reference(clip, stream_filter.taps.weights, groups)
    past = stream_filter.no_past(clip[:, 0], num_streams=1)
    for t in range(2):
        stream_filter(clip[:, t], past, Streams((0,), (t,)))
    queue = (context := multiprocessing.get_context("fork")).Queue()
    child = context.Process(
        target=lambda: queue.put(stream_filter(clip[:, 2], past, Streams((0,), (2,))).numpy())
    )
    child.start()
    np.testing.assert_allclose(queue.get(timeout=60), expected[:, 2], atol=1e-5)
    child.join()


def test_a_copied_past_is_independent(kernel, randn):
    stream_filter = StreamFilter(_taps(GROUPS["mixed"], randn))
    clip = randn(1, 6, 19, 5, 3)
    expected = _reference(clip, stream_filter.taps.weights, GROUPS["mixed"])
    past = stream_filter.no_past(clip[:, 0], num_streams=1)
    for t in range(3):
        stream_filter(clip[:, t], past, Streams((0,), (t,)))
    copied = copy.deepcopy(past)
    stream_filter(randn(1, 19, 5, 3), past, Streams((0,), (3,)))
    for t in range(3, 6):
        y = stream_filter(clip[:, t], copied, Streams((0,), (t,)))
        np.testing.assert_allclose(y.numpy(), expected[:, t], atol=1e-5)


def test_what_does_not_fit_is_refused(randn):
    with pytest.raises(ValueError, match="1 frames ahead"):
        StreamFilter(DepthwiseTaps(torch.ones(6), TapGroups((2,), (3,), (-1, 0, 1))))
    with pytest.raises(ValueError, match="1 frames ahead"):
        StreamConv(TemporalConv(4))
    stream_filter = StreamFilter(_taps(GROUPS["shift"], randn))
    past = stream_filter.no_past(torch.zeros(1, 17, 4, 4), num_streams=2)
    for shape, places in (((1, 17, 5, 5), (0,)), ((1, 17, 4, 4), (2,)), ((2, 17, 4, 4), (1, 1))):
        with pytest.raises(ValueError, match="got frames of"):
            stream_filter(torch.zeros(shape), past, Streams(places, (0,) * len(places)))
    for places, counts in (
        ((), ()),
        ((-1,), (0,)),
        ((0,), (-1,)),
        ((0, 1), (0,)),
        ((0, 0), (1, 1)),
    ):
        with pytest.raises(ValueError, match="one frame of each stream at most"):
            Streams(places, counts)


@pytest.mark.parametrize("operation", ["filter", "convolution"])
def test_streams_in_step_are_read_without_their_places_on_a_device(operation, monkeypatch, randn):
    """As views of the rings; the same streams out of order, or out of step, give the same."""
    monkeypatch.setenv("MIXTCONV_KERNEL", "plain")
    if operation == "filter":
        stepwise = StreamFilter(_taps(GROUPS["dilated"], randn))
    else:
        stepwise = StreamConv(TemporalConv(17, causal=True))
    frames = randn(9, 3, 17, 4, 5)  # (T, N, C, H, W)
    in_step, apart = (stepwise.no_past(frames[0], num_streams=4) for _ in range(2))
    asked = []
    on = Streams.on
    monkeypatch.setattr(Streams, "on", lambda self, device: (asked.append(1), on(self, device))[1])
    for t, new in enumerate(frames):
        y = stepwise(new, in_step, Streams((0, 1, 2), (t, t, t)))
        assert not asked
        reverse = stepwise(new.flip(0), apart, Streams((2, 1, 0), (t, t, t)))
        assert asked
        assert torch.equal(reverse.flip(0), y)
        asked.clear()


def test_places_are_copied_to_a_device_once_for_all_operations_of_a_frame() -> None:
    """Each copy would wait until a GPU has done all work before it."""
    streams = Streams((3, 1), (7, 0))
    first, again = streams.on(torch.device("cpu")), streams.on(torch.device("cpu"))
    assert [each.tolist() for each in first] == [[3, 1], [7, 0]]
    assert [each.data_ptr() for each in first] == [each.data_ptr() for each in again]
