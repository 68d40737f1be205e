"""Mixed temporal convolution against loops written from DESIGN.md's text.

Tolerances are bounds, not guesses: a sum of n products, each step rounded to relative precision
eps, is off by at most about n * eps * sum |w| |x|, which the same loops give on absolute values.
"""

import numpy as np
import pytest
import torch

from mixtconv.ops import MixTConv, depthwise_temporal_conv, mixed_temporal_conv
from mixtconv.ops.taps import group_channels


def meetings(weights, num_frames, dilations, causal):
    """(group, first channel, tap, output frame t, input frame s) wherever a tap meets a frame."""
    first_channel = 0
    for group, (weight, dilation) in enumerate(zip(weights, dilations, strict=True)):
        channels, kernel_size = weight.shape
        padding = (kernel_size - 1) * dilation
        if not causal:
            padding //= 2
        for t in range(num_frames):
            for tap in range(kernel_size):
                s = t - padding + tap * dilation
                if 0 <= s < num_frames:
                    yield group, slice(first_channel, first_channel + channels), tap, t, s
        first_channel += channels


def reference(x, weights, dilations, causal):
    y = np.zeros_like(x)
    for group, channels, tap, t, s in meetings(weights, x.shape[1], dilations, causal):
        for batch in range(x.shape[0]):
            for w, channel in zip(weights[group], range(x.shape[2])[channels], strict=True):
                y[batch, t, channel] += w[tap] * x[batch, s, channel]
    return y


def reference_gradients(x, weights, grad, dilations, causal):
    """Gradients of sum(y * grad)."""
    grad_x, grad_weights = np.zeros_like(x), [np.zeros_like(weight) for weight in weights]
    for group, channels, tap, t, s in meetings(weights, x.shape[1], dilations, causal):
        for index, channel in enumerate(range(x.shape[2])[channels]):
            for batch in range(x.shape[0]):
                g = grad[batch, t, channel]
                grad_x[batch, s, channel] += weights[group][index, tap] * g
                grad_weights[group][index, tap] += (g * x[batch, s, channel]).sum()
    return grad_x, grad_weights


def numbers(*tensors):
    return [tensor.detach().double().numpy() for tensor in tensors]


def absolute(*arrays):
    return [np.abs(array) for array in arrays]


def assert_within(got, expected, bound):
    error = np.abs(got.detach().double().numpy() - expected)
    assert got.shape == expected.shape
    assert (error <= bound).all(), f"off by {error.max()}, {(error - bound).max()} too much"


SPLITS = [  # channels, kernel sizes, dilations
    (3, (1,), 1),
    (3, (3,), 1),
    (2, (9,), 1),
    (8, (1, 3, 5, 7), 1),
    (11, (1, 3, 5, 7), 1),  # remainder 3
    (7, (7, 5, 3, 1, 9), 1),  # remainder 2, in no order
    (4, (3, 3, 3), (1, 2, 3)),
    (5, (5, 1, 3), (2, 7, 4)),
    (3, (9, 7), 2),
]


def make(randn, channels, kernel_sizes, num_frames, *, dtype=torch.float64, weight_dtype=None):
    x = randn(2, num_frames, channels, 2, 3, dtype=dtype).requires_grad_()
    weights = [
        randn(c, k, dtype=weight_dtype or dtype).requires_grad_()
        for c, k in zip(group_channels(channels, len(kernel_sizes)), kernel_sizes, strict=True)
    ]
    return x, weights


def every(dilations, kernel_sizes):
    return (dilations,) * len(kernel_sizes) if isinstance(dilations, int) else dilations


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("num_frames", [1, 2, 3, 8])
@pytest.mark.parametrize("split", SPLITS)
def test_equals_the_loops(randn, split, num_frames, causal):
    channels, kernel_sizes, dilations = split
    x, weights = make(randn, channels, kernel_sizes, num_frames)
    y = mixed_temporal_conv(x, weights, dilations=dilations, causal=causal)
    grad = randn(*y.shape, dtype=torch.float64)
    y.backward(grad)

    each = every(dilations, kernel_sizes)
    expected = reference(*numbers(x), numbers(*weights), each, causal)
    grad_x, grad_weights = reference_gradients(
        *numbers(x), numbers(*weights), *numbers(grad), each, causal
    )
    assert_within(y, expected, 1e-12)
    assert_within(x.grad, grad_x, 1e-12)
    for weight, grad_weight in zip(weights, grad_weights, strict=True):
        assert_within(weight.grad, grad_weight, 1e-12)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize(
    ("dtype", "weight_dtype"),
    [
        (torch.float32, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.bfloat16, torch.bfloat16),
        (torch.float16, torch.float32),
        (torch.float16, torch.float16),
    ],
)
def test_every_precision_is_off_by_its_rounding_only(randn, dtype, weight_dtype, causal):
    kernel_sizes, dilations = (1, 3, 5, 7), (1, 2, 1, 1)
    x, weights = make(randn, 9, kernel_sizes, 8, dtype=dtype, weight_dtype=weight_dtype)
    y = mixed_temporal_conv(x, weights, dilations=dilations, causal=causal)
    grad = randn(*y.shape, dtype=dtype)
    y.backward(grad)
    assert (y.dtype, x.grad.dtype) == (dtype, dtype)
    assert {weight.grad.dtype for weight in weights} == {weight_dtype}

    x64, w64, g64 = *numbers(x), numbers(*weights), *numbers(grad)
    eps = torch.finfo(dtype).eps
    one_sum = 8 * eps  # seven taps, and the weight's own rounding to the precision of x
    sizes = reference(*absolute(x64), absolute(*w64), dilations, causal)
    assert_within(y, reference(x64, w64, dilations, causal), one_sum * sizes)

    grad_x, grad_weights = reference_gradients(x64, w64, g64, dilations, causal)
    size_x, size_weights = reference_gradients(
        *absolute(x64), absolute(*w64), *absolute(g64), dilations, causal
    )
    assert_within(x.grad, grad_x, one_sum * size_x)
    for weight, expected, size in zip(weights, grad_weights, size_weights, strict=True):
        # products in the precision of x, summed in float32 (96 terms), then the weight's precision;
        # 1e-5 is for products below float16's smallest number
        bound = (eps + torch.finfo(weight_dtype).eps + 96 * 2.0**-23) * size + 1e-5
        assert_within(weight.grad, expected, bound)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast_gives_the_loops_numbers_and_float32_gradients(randn, dtype):
    layer = MixTConv(9, kernel_sizes=(3, 1, 5))
    before = torch.nn.Conv2d(9, 9, 1)
    frames = randn(8, 9, 2, 3)
    with torch.autocast("cpu", dtype=dtype):
        x = before(frames).unflatten(0, (2, 4))  # autocast makes this low precision
        y = layer(x)
    y.float().square().sum().backward()

    assert x.dtype == dtype
    x64, w64 = *numbers(x), numbers(*layer.weights)
    size = reference(*absolute(x64), absolute(*w64), (1, 1, 1), False)
    bound = 8 * torch.finfo(dtype).eps * size
    assert_within(y, reference(x64, w64, (1, 1, 1), False), bound)
    _, expected = reference_gradients(x64, w64, *numbers(2 * y.detach().to(dtype)), (1, 1, 1), 0)
    for weight, gradient in zip(layer.weights, expected, strict=True):
        assert weight.grad.dtype == torch.float32
        rounding = 4 * torch.finfo(dtype).eps * np.abs(gradient).max()
        assert_within(weight.grad, gradient, rounding)
    assert before.weight.grad.abs().max() > 0


def test_float16_gradients_of_float32_weights_are_summed_beyond_float16():
    x = torch.full((1, 8, 1, 8, 8), 200.0, dtype=torch.float16)
    weight = torch.ones(1, 3, requires_grad=True)
    depthwise_temporal_conv(x, weight).sum().backward()
    sums = [200.0 * 64 * frames for frames in (7, 8, 7)]  # float16 ends at 65504
    assert weight.grad[0].tolist() == sums


@pytest.mark.parametrize("causal", [False, True])
def test_gradcheck(randn, causal):
    x, weights = make(randn, 5, (1, 5, 3), 4)
    assert torch.autograd.gradcheck(
        lambda x, *w: mixed_temporal_conv(x, w, dilations=(1, 1, 2), causal=causal), (x, *weights)
    )


def test_gradients_are_made_only_where_they_are_asked_for(randn):
    x, weights = make(randn, 6, (1, 3, 5), 4)
    mixed_temporal_conv(x, weights).square().sum().backward()
    both = [x.grad.clone(), *(weight.grad.clone() for weight in weights)]
    for wanted in [(0,), (1, 2, 3), (2,)]:
        tensors = [
            tensor.detach().clone().requires_grad_(index in wanted)
            for index, tensor in enumerate([x, *weights])
        ]
        mixed_temporal_conv(tensors[0], tensors[1:]).square().sum().backward()
        for index, tensor in enumerate(tensors):
            assert (tensor.grad is not None) == (index in wanted)
            if index in wanted:
                torch.testing.assert_close(tensor.grad, both[index])


def test_tap_0_meets_the_earliest_frame(randn):
    x = randn(1, 6, 1, 1, 1)
    y = depthwise_temporal_conv(x, torch.tensor([[1.0, 0.0, 0.0, 0.0, 0.0]]))
    assert torch.equal(y[:, 2:], x[:, :-2])
    assert torch.equal(y[:, :2], torch.zeros(1, 2, 1, 1, 1))


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7, 9])
def test_depthwise_is_the_mixed_operation_with_one_group(randn, kernel_size, causal):
    x, (weight,) = make(randn, 3, (kernel_size,), 5)
    y = depthwise_temporal_conv(x, weight, dilation=2, causal=causal)
    expected = reference(*numbers(x), numbers(weight), (2,), causal)
    assert_within(y, expected, 1e-12)


def test_the_input_is_not_written_to(randn):
    x, weights = make(randn, 4, (3, 5), 4)
    copy = x.detach().clone()
    mixed_temporal_conv(x, weights).sum().backward()
    assert torch.equal(x, copy)


def test_a_clip_that_does_not_fill_memory_gives_the_same(randn):
    whole = randn(2, 8, 6, 4, 6)
    layer = MixTConv(6, kernel_sizes=(3, 5))
    for x in (whole[:, ::2, :, 1:3, ::2], whole.transpose(3, 4), whole[:1].expand(3, -1, -1, 4, 6)):
        torch.testing.assert_close(layer(x), layer(x.clone(memory_format=torch.contiguous_format)))


def test_the_layer_splits_its_channels_as_the_design_says(randn, randomise):
    layer = randomise(MixTConv(11, kernel_sizes=(1, 3, 5, 7), dilations=(1, 1, 2, 1)))
    assert [tuple(weight.shape) for weight in layer.weights] == [(3, 1), (3, 3), (3, 5), (2, 7)]
    x = randn(1, 6, 11, 1, 2)
    expected = reference(*numbers(x), numbers(*layer.weights), (1, 1, 2, 1), False)
    assert_within(layer(x), expected, 1e-5)


def test_shift_start_of_k3_moves_frames_as_tsm_does(randn):
    x = randn(2, 5, 16, 2, 2)
    y = MixTConv(16, kernel_sizes=(3,))(x)
    assert torch.equal(y[:, 1:, :2], x[:, :-1, :2])  # the frame before
    assert torch.equal(y[:, :-1, 2:4], x[:, 1:, 2:4])  # the frame after
    assert not y[:, 0, :2].any() and not y[:, -1, 2:4].any()
    assert torch.equal(y[:, :, 4:], x[:, :, 4:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_sizes": (1, 4)}, r"\(1, 4\).*odd"),
        ({"kernel_sizes": (0,)}, r"\(0,\).*odd"),
        ({"kernel_sizes": ()}, r"\(\).*odd"),
        ({"kernel_sizes": (1,) * 9}, "8 channels into 9 groups.*at least one channel"),
        ({"dilations": (1, 2)}, r"dilations are \(1, 2\).*one for each, all at least 1"),
        ({"dilations": 0}, r"dilations are \(0, 0, 0, 0\).*at least 1"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        MixTConv(8, **options)


@pytest.mark.parametrize(
    ("shape", "kernel_size", "dilation", "message"),
    [
        ((2, 4, 3, 3), 3, 1, r"shape \(2, 4, 3, 3\); clips are \(B, T, C, H, W\)"),
        ((1, 2, 5, 3, 3), 3, 1, "for 4 channels, the clips have 5"),
        ((1, 2, 4, 3, 3), 2, 1, r"\(2,\).*odd"),
        ((1, 2, 4, 3, 3), 3, -1, r"\(-1,\).*at least 1"),
    ],
)
def test_clips_and_weights_that_do_not_fit_are_refused(shape, kernel_size, dilation, message):
    with pytest.raises(ValueError, match=message):
        depthwise_temporal_conv(torch.zeros(shape), torch.ones(4, kernel_size), dilation=dilation)


def test_the_filter_of_a_layer_is_for_its_channels_and_no_others():
    layer = MixTConv(8)
    assert layer.depthwise_taps(8).groups.channels == tuple(layer.group_channels)
    with pytest.raises(ValueError, match="for 8 channels, got 16; make it with MixTConv"):
        layer.depthwise_taps(16)
