"""Clips less their mean over time: what stands still is gone, as a depthwise temporal filter.

Centred, every frame is less the mean of its clip of T frames. Causal, it is less that of the last T
frames, of which those before the clip, or before a stream, count as zeros, as for every operation
here. Either is a filter whose taps are the same for all channels:

    centred   y[t] = x[t] - (x[0] + ... + x[T - 1]) / T          2 T - 1 taps, most beyond the clip
    causal    y[t] = x[t] - (x[t - T + 1] + ... + x[t]) / T      T taps
"""

import torch
from torch import Tensor, nn

from mixtconv.ops.filter import DepthwiseTaps
from mixtconv.ops.folding import check_clip
from mixtconv.ops.taps import TapGroups


def mean_removal_taps(num_channels: int, num_frames: int, *, causal: bool = False) -> DepthwiseTaps:
    """The removal of the mean as a filter of `num_channels` channels over clips of T frames.

    >>> mean_removal_taps(1, 2).weights.tolist(), mean_removal_taps(1, 2).groups.offsets
    ([-0.5, 0.5, -0.5], (-1, 0, 1))
    """
    offsets = range(1 - num_frames, 1 if causal else num_frames)
    weights = torch.full((num_channels, len(offsets)), -1 / num_frames)
    weights[:, num_frames - 1] += 1
    groups = TapGroups((num_channels,), (len(offsets),), tuple(offsets))
    return DepthwiseTaps(weights.flatten(), groups)


class MeanRemoval(nn.Module):
    """Clips less their mean over time, as a layer without parameters: (B, T, C, H, W) -> same.

    Args:
        num_frames: T.
        causal: less the mean of the last T frames.

    >>> MeanRemoval(2)(torch.tensor([1.0, 3.0]).view(1, 2, 1, 1, 1)).flatten().tolist()
    [-1.0, 1.0]
    """

    def __init__(self, num_frames: int, *, causal: bool = False) -> None:
        super().__init__()
        self.num_frames = num_frames
        self.causal = causal

    def forward(self, x: Tensor) -> Tensor:
        check_clip(x)
        if not self.causal and x.shape[1] == self.num_frames:  # the same in one pass
            return x - x.mean(dim=1, keepdim=True)
        taps = self.depthwise_taps(x.shape[2])
        return DepthwiseTaps(taps.weights.to(x.device), taps.groups).apply(x)

    def depthwise_taps(self, num_channels: int) -> DepthwiseTaps:
        """The layer as a depthwise filter of `num_channels` channels."""
        return mean_removal_taps(num_channels, self.num_frames, causal=self.causal)

    def extra_repr(self) -> str:
        return f"num_frames={self.num_frames}, causal={self.causal}"
