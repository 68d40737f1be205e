"""A temporal operation as one convolution over time, which every engine has."""

import math
from dataclasses import dataclass

from torch import Tensor, nn

from mixtconv.models.insertion import TemporalInput
from mixtconv.ops import TemporalConv, fold_time, unfold_time
from mixtconv.ops.filter import DepthwiseTaps


@dataclass(frozen=True, eq=False)
class TimeKernel:
    """The kernel of a convolution over time."""

    weight: Tensor
    """(C_out, C / groups, K); tap 0 meets the earliest frame."""
    first: int
    """Offset in frames of tap 0, at most 0."""
    step: int
    """Frames from one tap to the next."""
    groups: int
    """1, or C where every channel is by itself."""

    @property
    def padding(self) -> tuple[int, int]:
        """Frames of zeros that the convolution needs before a clip, and behind it."""
        return -self.first, self.first + self.step * (self.weight.shape[2] - 1)

    @classmethod
    def depthwise(cls, taps: DepthwiseTaps) -> "TimeKernel":
        """One kernel for all groups of channels, zeros where a group has no tap.

        >>> import torch
        >>> taps = DepthwiseTaps(torch.tensor([1.0, 2.0, 3.0, 4.0]), [1, 1], [1, 3], [0, -1, 0, 1])
        >>> TimeKernel.depthwise(taps).weight.squeeze(1).tolist()
        [[0.0, 1.0, 0.0], [2.0, 3.0, 4.0]]
        """
        offsets = [0, *taps.offsets]
        step = math.gcd(*offsets) or 1
        first = min(offsets)
        num_taps = (max(offsets) - first) // step + 1
        weight = taps.taps.new_zeros(sum(taps.channels), 1, num_taps)
        channel = tap = offset = 0
        for channels, count in zip(taps.channels, taps.num_taps, strict=True):
            own = taps.taps[tap : tap + channels * count].view(channels, count)
            for index, place in enumerate(taps.offsets[offset : offset + count]):
                weight[channel : channel + channels, 0, (place - first) // step] += own[:, index]
            channel, tap, offset = channel + channels, tap + channels * count, offset + count
        return cls(weight, first, step, groups=len(weight))

    @classmethod
    def by_group(cls, taps: DepthwiseTaps) -> list["TimeKernel"]:
        """One kernel for every group of channels."""
        kernels = []
        tap = offset = 0
        for channels, count in zip(taps.channels, taps.num_taps, strict=True):
            own = taps.taps[tap : tap + channels * count]
            group = DepthwiseTaps(own, [channels], [count], taps.offsets[offset : offset + count])
            kernels.append(cls.depthwise(group))
            tap, offset = tap + channels * count, offset + count
        return kernels

    @property
    def is_identity(self) -> bool:
        """Whether every frame stays as it is."""
        is_one = self.groups == len(self.weight) and self.weight.shape[2] == 1
        return is_one and bool((self.weight == 1).all())

    @classmethod
    def ordinary(cls, layer: TemporalConv) -> "TimeKernel":
        """That of an ordinary temporal convolution."""
        return cls(layer.weight.detach(), layer.offsets[0], layer.dilation, groups=1)


class OrdinaryFrames(nn.Module):
    """An ordinary temporal convolution as a step of its own: frames (B * T, C, H, W) -> same."""

    def __init__(self, layer: TemporalConv, num_frames: int) -> None:
        super().__init__()
        self.layer, self.num_frames = layer, num_frames

    def forward(self, x: Tensor) -> Tensor:
        return fold_time(self.layer(unfold_time(x, self.num_frames)))


def separate_ordinary_convolutions(network: nn.Module) -> None:
    """Let ordinary temporal convolutions stand as steps of their own before their modules."""
    for name, site in list(network.named_modules()):
        if isinstance(site, TemporalInput) and isinstance(site.temporal, TemporalConv):
            frames = OrdinaryFrames(site.temporal, site.num_frames)
            network.set_submodule(name, nn.Sequential(frames, site.module))
