"""Temporal shift: some channels take the next frame, as many the previous, the rest stay.

From "TSM: Temporal Shift Module for Efficient Video Understanding" (arXiv 1811.08383). Here it is a
temporal filter of three groups with one tap each (see `filter.py`): one pass, in any memory format,
instead of a copy into zeros that tracing can fold into a constant.
"""

import torch
from torch import Tensor, nn

from mixtconv._types import Edges
from mixtconv.ops.filter import DepthwiseTaps
from mixtconv.ops.folding import check_clip
from mixtconv.ops.taps import (
    TapGroups,
    check_edges,
    check_shift_fraction,
    shifted_channels,
)


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
    check_clip(x)
    return shift_taps(x.shape[2], like=x, shift_fraction=shift_fraction, causal=causal).apply(x)


def shift_taps(
    num_channels: int,
    *,
    like: Tensor,
    shift_fraction: float = 0.125,
    causal: bool = False,
    edges: Edges = "zeros",
) -> DepthwiseTaps:
    """The shift of that many channels as a filter of ones, with the precision and device of `like`.

    >>> shift_taps(16, like=torch.zeros(1)).groups.channels
    (2, 2, 12)
    """
    count = shifted_channels(num_channels, shift_fraction)
    parts = [(count, -1)] if causal else [(count, 1), (count, -1)]
    parts.append((num_channels - count * len(parts), 0))
    channels, offsets = zip(*[part for part in parts if part[0]], strict=True)
    groups = TapGroups(channels, num_taps=(1,) * len(channels), offsets=offsets)
    return DepthwiseTaps(like.new_ones(num_channels), groups, edges)


class TemporalShift(nn.Module):
    """Temporal shift as a layer without parameters: (B, T, C, H, W) -> (B, T, C, H, W).

    >>> TemporalShift()(torch.zeros(2, 8, 64, 7, 7)).shape
    torch.Size([2, 8, 64, 7, 7])
    """

    def __init__(
        self, *, shift_fraction: float = 0.125, causal: bool = False, edges: Edges = "zeros"
    ) -> None:
        super().__init__()
        check_shift_fraction(shift_fraction)
        check_edges(edges)
        self.edges: Edges = edges
        self.shift_fraction = shift_fraction
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        check_clip(x)
        return self._taps(x.shape[2], like=x).apply(x)

    def taps(self, num_channels: int) -> DepthwiseTaps:
        """The layer as a depthwise filter of `num_channels` channels."""
        return self._taps(num_channels, like=torch.empty(0))

    depthwise_taps = taps

    def _taps(self, num_channels: int, *, like: Tensor) -> DepthwiseTaps:
        return shift_taps(
            num_channels,
            like=like,
            shift_fraction=self.shift_fraction,
            causal=self.causal,
            edges=self.edges,
        )

    def extra_repr(self) -> str:
        return f"shift_fraction={self.shift_fraction}, causal={self.causal}, edges={self.edges}"
