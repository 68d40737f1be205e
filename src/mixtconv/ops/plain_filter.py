"""The temporal filter in plain torch: the reference implementation, and the fallback.

Frames at the same offset are multiplied and added as one shifted slice of all channels that have a
tap there, straight into the result: no permuted copy of the clips, and their memory format is kept.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mixtconv.ops.taps import TapGroups, overlap

NAME = "plain torch"


def takes(x: Tensor) -> bool:
    """Every clip is supported."""
    return True


def temporal_filter_into(out: Tensor, x: Tensor, weights: Tensor, groups: TapGroups) -> Tensor:
    """Filter into existing clips shaped like `x`, with weights of its precision; returns them."""
    num_frames = x.shape[1]
    terms = _terms(weights.to(x.dtype), groups)
    # A term that covers every output value initialises the result; otherwise zeros do.
    everywhere = next((w for w in terms.get(0, []) if w.channels == slice(0, x.shape[2])), None)
    if everywhere is None:
        out.zero_()
    else:
        torch.mul(x, everywhere.weights, out=out)
    # The other terms are added where the frame they meet is inside the clip.
    for offset, weighted in terms.items():
        here, there = overlap(num_frames, offset)
        for term in weighted:
            if term is not everywhere and abs(offset) < num_frames:
                source = x[:, there, term.channels]
                out[:, here, term.channels].addcmul_(source, term.weights)
    return out


def taps_gradient(
    x: Tensor,
    grad: Tensor,
    groups: TapGroups,
    *,
    weights: Tensor | None = None,
    grad_x: Tensor | None = None,
) -> Tensor:
    """Gradient of the weights, flattened like them, in float32 at least: half would underflow.

    With `weights` and `grad_x`, clips like `x`, the gradient of `x` is written to these as well.
    """
    if weights is not None and grad_x is not None:
        temporal_filter_into(grad_x, grad, weights, groups.negated())
    num_frames, wide = x.shape[1], torch.promote_types(x.dtype, torch.float32)
    gradients = []
    for group in groups.split():
        of_taps = []
        for offset in group.offsets:
            here, there = overlap(num_frames, offset)
            product = grad[:, here, group.channels].to(wide) * x[:, there, group.channels].to(wide)
            of_taps.append(product.sum((0, 1, 3, 4)))  # (C_m,), zeros where no frame is met
        gradients.append(torch.stack(of_taps, dim=1).flatten())  # (C_m * K_m,)
    return torch.cat(gradients)


class _Term(NamedTuple):
    """Neighbouring channels that all have a tap at one offset."""

    channels: slice
    weights: Tensor  # (C_m, 1, 1)


def _terms(weights: Tensor, groups: TapGroups) -> dict[int, list[_Term]]:
    """The products by offset, those of neighbouring groups joined into one."""
    terms: dict[int, list[_Term]] = {}
    for group in groups.split():
        matrix = group.matrix(weights)[..., None, None]  # (C_m, K_m, 1, 1)
        for tap, offset in enumerate(group.offsets):
            term, same_offset = _Term(group.channels, matrix[:, tap]), terms.setdefault(offset, [])
            if same_offset and same_offset[-1].channels.stop == term.channels.start:
                before = same_offset.pop()
                channels = slice(before.channels.start, term.channels.stop)
                term = _Term(channels, torch.cat([before.weights, term.weights]))
            same_offset.append(term)
    return terms
