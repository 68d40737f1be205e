"""Ordinary temporal convolution against loops written from DESIGN.md's text."""

import numpy as np
import pytest
import torch

from mixtconv.ops import TemporalConv, temporal_conv


def meetings(kernel_size, num_frames, dilation, causal):
    """(tap, output frame t, input frame s) wherever a tap meets a frame."""
    padding = (kernel_size - 1) * dilation
    if not causal:
        padding //= 2
    for t in range(num_frames):
        for tap in range(kernel_size):
            s = t - padding + tap * dilation
            if 0 <= s < num_frames:
                yield tap, t, s


def reference(x, weight, dilation, causal):
    batch, num_frames, _, height, width = x.shape
    y = np.zeros((batch, num_frames, len(weight), height, width))
    for tap, t, s in meetings(weight.shape[2], num_frames, dilation, causal):
        for out in range(weight.shape[0]):
            for channel in range(weight.shape[1]):
                y[:, t, out] += weight[out, channel, tap] * x[:, s, channel]
    return y


def reference_gradients(x, weight, grad, dilation, causal):
    """Gradients of sum(y * grad)."""
    grad_x, grad_weight = np.zeros_like(x), np.zeros_like(weight)
    for tap, t, s in meetings(weight.shape[2], x.shape[1], dilation, causal):
        for out in range(weight.shape[0]):
            for channel in range(weight.shape[1]):
                grad_x[:, s, channel] += weight[out, channel, tap] * grad[:, t, out]
                grad_weight[out, channel, tap] += (grad[:, t, out] * x[:, s, channel]).sum()
    return grad_x, grad_weight


def numbers(*tensors):
    return [tensor.detach().double().numpy() for tensor in tensors]


def assert_within(got, expected, bound):
    error = np.abs(got.detach().double().numpy() - expected)
    assert got.shape == expected.shape
    assert (error <= bound).all(), f"off by {error.max()}"


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("num_frames", [1, 2, 8])
@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (3, 1), (5, 1), (3, 3), (9, 1)])
def test_equals_the_loops(randn, kernel_size, dilation, num_frames, causal):
    x = randn(2, num_frames, 3, 2, 3, dtype=torch.float64).requires_grad_()
    weight = randn(4, 3, kernel_size, dtype=torch.float64).requires_grad_()
    y = temporal_conv(x, weight, dilation=dilation, causal=causal)
    grad = randn(*y.shape, dtype=torch.float64)
    y.backward(grad)

    grad_x, grad_weight = reference_gradients(*numbers(x, weight, grad), dilation, causal)
    assert_within(y, reference(*numbers(x, weight), dilation, causal), 1e-12)
    assert_within(x.grad, grad_x, 1e-12)
    assert_within(weight.grad, grad_weight, 1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_every_precision_is_off_by_its_rounding_only(randn, dtype, autocast):
    x = randn(2, 5, 6, 2, 3, dtype=dtype)
    layer = TemporalConv(6, kernel_size=5)
    layer.weight.data = randn(6, 6, 5)
    low = dtype if autocast and dtype != torch.float32 else torch.bfloat16
    with torch.autocast("cpu", dtype=low, enabled=autocast):
        y = layer(x)
    y.float().sum().backward()
    x64, w64 = numbers(x, layer.weight)
    # 30 products; the library may round each partial sum, and rounds weight, x and result
    eps = torch.finfo(y.dtype).eps
    assert_within(y, reference(x64, w64, 1, False), 34 * eps * reference(abs(x64), abs(w64), 1, 0))
    assert layer.weight.grad.dtype == torch.float32
    _, expected = reference_gradients(x64, w64, np.ones(x.shape), 1, False)
    _, size = reference_gradients(abs(x64), abs(w64), np.ones(x.shape), 1, False)
    assert_within(layer.weight.grad, expected, 64 * eps * size)


def test_gradcheck(randn):
    x = randn(1, 4, 2, 2, 1, dtype=torch.float64).requires_grad_()
    weight = randn(3, 2, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, w: temporal_conv(x, w, dilation=2), (x, weight))


def test_tap_0_meets_the_earliest_frame(randn):
    x = randn(1, 5, 1, 1, 1)
    y = temporal_conv(x, torch.tensor([[[1.0, 0.0, 0.0]]]))
    assert torch.equal(y[:, 1:], x[:, :-1])
    assert not y[:, 0].any()


def test_row_out_of_the_weight_reads_column_channel(randn):
    x = randn(1, 3, 2, 1, 1)
    weight = torch.zeros(2, 2, 1)
    weight[0, 1] = 1.0  # output channel 0 takes input channel 1
    y = temporal_conv(x, weight)
    assert torch.equal(y[:, :, 0], x[:, :, 1])
    assert not y[:, :, 1].any()


@pytest.mark.parametrize(
    ("shape", "weight", "dilation", "message"),
    [
        ((2, 4, 3, 3), (4, 4, 3), 1, r"shape \(2, 4, 3, 3\); clips are \(B, T, C, H, W\)"),
        ((1, 2, 5, 3, 3), (4, 4, 3), 1, "for 4 channels, the clips have 5"),
        ((1, 2, 4, 3, 3), (4, 4, 2), 1, r"\(2,\).*odd"),
        ((1, 2, 4, 3, 3), (4, 4, 3), 0, r"\(0,\).*at least 1"),
    ],
)
def test_clips_and_weights_that_do_not_fit_are_refused(shape, weight, dilation, message):
    with pytest.raises(ValueError, match=message):
        temporal_conv(torch.zeros(shape), torch.ones(weight), dilation=dilation)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"kernel_size": 4}, r"\(4,\).*odd"), ({"dilation": 0}, r"\(0,\).*at least 1")],
)
def test_a_layer_that_cannot_be_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TemporalConv(8, **options)
