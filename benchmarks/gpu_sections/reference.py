"""The temporal filter and its gradients in double precision, as loops written from the definition.

    y[b, t, c] = sum over the taps j of c of  weights[c, j] * x[b, t + offset[c, j], c]

Frames outside of the clip count as zeros, or as the first and the last one. Nothing of mixtconv
computes here; the sizes of what is added up bound how far another precision may be off.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Filter:
    """The taps of groups of channels: each group's (C_m, K_m) weights and K_m offsets."""

    weights: Sequence[Tensor]
    offsets: Sequence[Sequence[int]]
    edges: str = "zeros"

    @property
    def most_taps(self) -> int:
        """Taps of a channel, at most."""
        return max(map(len, self.offsets))


@dataclass(frozen=True)
class Results:
    """The filtered clips and the gradients of clips and flat weights."""

    y: Tensor
    grad_x: Tensor
    grad_weights: Tensor


def filtered(taps: Filter, x: Tensor, grad: Tensor) -> Results:
    """Filter clips x and the gradient of the result (B, T, C, H, W), in double precision."""
    x, grad = x.double(), grad.double()
    y, grad_x = torch.zeros_like(x), torch.zeros_like(x)
    grad_weights = []
    first_channel, num_frames = 0, x.shape[1]
    for weights, offsets in zip(taps.weights, taps.offsets, strict=True):
        group = slice(first_channel, first_channel + len(weights))
        first_channel += len(weights)
        of_group = torch.zeros_like(weights, dtype=torch.float64)
        for tap, offset in enumerate(offsets):
            weight = weights[:, tap].double()[:, None, None]  # (C_m, 1, 1)
            for t in range(num_frames):
                met = t + offset
                if taps.edges == "replicate":
                    met = min(max(met, 0), num_frames - 1)
                if not 0 <= met < num_frames:
                    continue
                y[:, t, group] += weight * x[:, met, group]
                grad_x[:, met, group] += weight * grad[:, t, group]
                of_group[:, tap] += (grad[:, t, group] * x[:, met, group]).sum((0, 2, 3))
        grad_weights.append(of_group.flatten())
    return Results(y, grad_x, torch.cat(grad_weights))


def sizes(taps: Filter, x: Tensor, grad: Tensor) -> Results:
    """The sums of the sizes of the terms, where `filtered` has those of the terms."""
    positive = Filter([each.abs() for each in taps.weights], taps.offsets, taps.edges)
    return filtered(positive, x.abs(), grad.abs())


def part_of_bound(got: Tensor, expected: Tensor, size: Tensor, *, terms: int) -> float:
    """The largest error as a part of what rounding may do; 1 is the bound, NaN infinite.

    Args:
        got: in its precision.
        expected, size: of `filtered` and `sizes`.
        terms: how many are added up, in float32 at least, before the sum is rounded.
    """
    wide = torch.promote_types(got.dtype, torch.float32)
    rounding = torch.finfo(got.dtype)
    bound = (terms + 1) * torch.finfo(wide).eps * size
    bound += rounding.eps * expected.abs().clamp(min=rounding.smallest_normal)
    error = (got.double() - expected).abs()
    worst = (error / bound).max().item() if got.numel() else 0.0
    return float("inf") if math.isnan(worst) else worst
