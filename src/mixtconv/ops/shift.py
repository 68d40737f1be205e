"""Temporal shift: some channels take the next frame, as many the previous, the rest stay.

From "TSM: Temporal Shift Module for Efficient Video Understanding" (arXiv 1811.08383). Here it is a
function of a clip that keeps the memory format and has its own gradient (the shift the other way),
instead of a zero-filled copy that tracing can fold into a constant.
"""

from typing import Any

import torch
from torch import Tensor, nn

from mixtconv.ops.folding import check_clip
from mixtconv.ops.taps import check_shift_fraction, shifted_channels


def temporal_shift(x: Tensor, *, shift_fraction: float = 0.125, causal: bool = False) -> Tensor:
    """Shift channels in time; frames outside the clip count as zeros.

    Args:
        x: clips (B, T, C, H, W), in any memory format.
        shift_fraction: the first `shift_fraction` of the channels takes the next frame, the second
            the previous one (an eighth each is published).
        causal: only the first part moves, and takes the previous frame, as in TSM's online model.

    Returns:
        (B, T, C, H, W) in the memory format of `x`.

    Raises:
        ValueError: `x` is not 5D, or the fraction is outside 0 to 0.5.

    >>> x = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1, 1).expand(1, 3, 4, 1, 1)
    >>> temporal_shift(x, shift_fraction=0.25)[0, :, :, 0, 0].tolist()
    [[2.0, 0.0, 1.0, 1.0], [3.0, 1.0, 2.0, 2.0], [0.0, 2.0, 3.0, 3.0]]
    """
    check_shift_fraction(shift_fraction)
    check_clip(x)
    count = shifted_channels(x.shape[2], shift_fraction)
    next_frame, previous_frame = slice(0, count), slice(count, 2 * count)
    if causal:
        next_frame, previous_frame = slice(0, 0), slice(0, count)
    return _TemporalShift.apply(x, next_frame, previous_frame)


class TemporalShift(nn.Module):
    """Temporal shift as a layer without parameters: (B, T, C, H, W) -> (B, T, C, H, W).

    >>> TemporalShift()(torch.zeros(2, 8, 64, 7, 7)).shape
    torch.Size([2, 8, 64, 7, 7])
    """

    def __init__(self, *, shift_fraction: float = 0.125, causal: bool = False) -> None:
        super().__init__()
        check_shift_fraction(shift_fraction)
        self.shift_fraction = shift_fraction
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        return temporal_shift(x, shift_fraction=self.shift_fraction, causal=self.causal)

    def extra_repr(self) -> str:
        return f"shift_fraction={self.shift_fraction}, causal={self.causal}"


class _TemporalShift(torch.autograd.Function):
    """The gradient of a shift is the shift in the other direction, so nothing is saved."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, next_frame: slice, previous_frame: slice) -> Tensor:
        ctx.slices = (next_frame, previous_frame)
        return _move(x, next_frame, previous_frame)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        next_frame, previous_frame = ctx.slices
        return _move(grads[0], previous_frame, next_frame), None, None


def _move(x: Tensor, next_frame: slice, previous_frame: slice) -> Tensor:
    y = x.clone()
    y[:, :-1, next_frame] = x[:, 1:, next_frame]
    y[:, -1, next_frame] = 0
    y[:, 1:, previous_frame] = x[:, :-1, previous_frame]
    y[:, 0, previous_frame] = 0
    return y
