"""Clips less their mean, against plain loops, and as a filter."""

import numpy as np
import pytest
import torch

from mixtconv.ops.mean_removal import MeanRemoval

T = 5


def _expected(x: np.ndarray, causal: bool) -> np.ndarray:
    """By the definition: frames before the clip count as zeros."""
    y = np.zeros_like(x)
    for b in range(len(x)):
        for t in range(x.shape[1]):
            chosen = x[b, max(0, t - T + 1) : t + 1] if causal else x[b]
            y[b, t] = x[b, t] - chosen.sum(axis=0) / T
    return y


@pytest.mark.parametrize("causal", [False, True])
def test_a_clip_is_less_its_mean(causal: bool) -> None:
    x = torch.randn(2, T, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    layer = MeanRemoval(T, causal=causal)
    expected = torch.from_numpy(_expected(x.numpy(), causal))
    torch.testing.assert_close(layer(x), expected)
    torch.testing.assert_close(layer.depthwise_taps(3).apply(x), expected)


def test_what_stands_still_is_gone() -> None:
    still = torch.rand(1, 1, 2, 3, 3).expand(1, T, 2, 3, 3)
    assert MeanRemoval(T)(still).abs().max() < 1e-6


def test_a_longer_stream_sees_the_last_frames_only() -> None:
    x = torch.zeros(1, 3 * T, 1, 1, 1)
    x[0, T:] = 1.0
    y = MeanRemoval(T, causal=True)(x).flatten()
    assert y[T] == pytest.approx(1 - 1 / T) and y[2 * T :].abs().max() < 1e-6
