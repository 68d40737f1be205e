"""Temporal shift against loops written from DESIGN.md's text."""

import pytest
import torch

from mixtconv.ops import TemporalShift, temporal_shift


def reference(x, count, causal):
    """The first `count` channels take the next frame, the second the previous, zeros at the ends.

    Causal, as in TSM's online model: the first take the previous frame, the others stay.
    """
    num_frames = x.shape[1]
    y = torch.zeros_like(x)
    for t in range(num_frames):
        for channel in range(x.shape[2]):
            if channel < count:
                source = t - 1 if causal else t + 1
            elif channel < 2 * count and not causal:
                source = t - 1
            else:
                source = t
            if 0 <= source < num_frames:
                y[:, t, channel] = x[:, source, channel]
    return y


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("num_frames", [1, 2, 3, 8])
@pytest.mark.parametrize(
    "case",  # channels, fraction, channels that move each way
    [(16, 0.125, 2), (17, 0.125, 2), (7, 0.125, 0), (8, 0.25, 2), (6, 0.5, 3), (5, 0.0, 0)],
)
def test_equals_the_loops(randn, case, num_frames, causal):
    channels, fraction, count = case
    x = randn(2, num_frames, channels, 2, 3).requires_grad_()
    y = temporal_shift(x, shift_fraction=fraction, causal=causal)
    assert torch.equal(y, reference(x, count, causal))

    grad = randn(*y.shape)
    y.backward(grad)
    x_again = x.detach().clone().requires_grad_()
    y_again = reference(x_again, count, causal) + 0 * x_again  # depends on x even if all is zeros
    y_again.backward(grad)
    assert torch.equal(x.grad, x_again.grad)


def test_directions_written_out():
    x = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1, 1).expand(1, 3, 8, 1, 1)
    y = TemporalShift()(x)[0, :, :, 0, 0]
    assert y[:, 0].tolist() == [2.0, 3.0, 0.0]  # the next frame
    assert y[:, 1].tolist() == [0.0, 1.0, 2.0]  # the previous
    assert (y[:, 2:] == x[0, :, 2:, 0, 0]).all()


def test_gradcheck(randn):
    x = randn(1, 3, 4, 1, 2, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: temporal_shift(x, shift_fraction=0.25), x)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("autocast", [False, True])
def test_low_precision_moves_the_same_numbers(randn, dtype, autocast):
    x = randn(2, 4, 8, 2, 2, dtype=dtype)
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        y = TemporalShift()(x)
    assert y.dtype == dtype
    assert torch.equal(y, reference(x, 1, False))


def test_the_input_is_not_written_to(randn):
    x = randn(1, 3, 8, 1, 1)
    copy = x.clone()
    temporal_shift(x)
    assert torch.equal(x, copy)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"shape \(3, 8, 2, 2\); clips are \(B, T, C, H, W\)"):
        temporal_shift(torch.zeros(3, 8, 2, 2))
    for make in (
        TemporalShift,
        lambda **options: temporal_shift(torch.zeros(1, 1, 8, 1, 1), **options),
    ):
        with pytest.raises(ValueError, match=r"shift_fraction is 0\.7.*0 to 0\.5"):
            make(shift_fraction=0.7)
