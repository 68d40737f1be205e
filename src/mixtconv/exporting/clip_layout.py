"""A temporal operation as one convolution over time, which every engine has.

Two ways in which the feature maps of a clip lie, and the modules that work on each.

A 2D network works on frames, (B * T, C, H, W). A temporal operation there needs time next to the
pixels, and engines pay for every change between the two. What sees single pixels, or may be written
with another axis, can stay in the clip's layout instead:

    stacked  (B, C, T * H, W): the frames below each other. A temporal operation is an ordinary 2D
             convolution whose taps lie H rows apart; 1x1 convolutions and sums do not notice.
             ONNX Runtime has fast 2D convolutions only.
    volume   (B, C, T, H, W): a k x k convolution is one of 1 x k x k. OpenVINO runs these as fast.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from mixtconv.models.insertion import TemporalWrapper
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


class FoldedTemporalConv(nn.Module):
    """An ordinary temporal convolution as a step of its own: frames (B * T, C, H, W) -> same."""

    def __init__(self, layer: TemporalConv, num_frames: int) -> None:
        super().__init__()
        self.layer, self.num_frames = layer, num_frames

    def forward(self, x: Tensor) -> Tensor:
        return fold_time(self.layer(unfold_time(x, self.num_frames)))


def separate_ordinary_convolutions(network: nn.Module) -> None:
    """Let ordinary temporal convolutions stand as steps of their own before their modules."""
    for name, site in list(network.named_modules()):
        if isinstance(site, TemporalWrapper) and isinstance(site.temporal, TemporalConv):
            frames = FoldedTemporalConv(site.temporal, site.num_frames)
            network.set_submodule(name, nn.Sequential(frames, site.module))


LayoutName = Literal["stacked", "volume"]

POINTWISE = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid)
"""Modules that treat every value alike."""


@dataclass(frozen=True)
class ClipLayout:
    """How a clip lies where its frames see each other."""

    to_clip: Callable[[int], nn.Module]
    """For T frames, makes what turns frames (B * T, C, H, W) into it."""
    to_frames: Callable[[int], nn.Module]
    """Makes what undoes that."""
    filter: Callable[[TimeKernel, int], nn.Module]
    """Makes the convolution over time of clips of T frames."""
    rewrite: Callable[[nn.Module, int], nn.Module | None]
    """A module that takes frames of height H as one that takes clips of them; None if there is
    none."""


class Stack(nn.Module):
    """Frames (B * T, C, H, W) below each other: (B, C, T * H, W).

    By way of channels-last, where the change is one of names and engines save themselves a copy.
    """

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        self.num_frames = num_frames

    def forward(self, x: Tensor) -> Tensor:
        _, C, H, W = x.shape
        x = x.permute(0, 2, 3, 1).reshape(-1, self.num_frames * H, W, C)
        return x.permute(0, 3, 1, 2)  # (B, C, T * H, W)


class Unstack(Stack):
    """Undoes `Stack`."""

    def forward(self, x: Tensor) -> Tensor:
        _, C, rows, W = x.shape
        x = x.permute(0, 2, 3, 1).reshape(-1, rows // self.num_frames, W, C)
        return x.permute(0, 3, 1, 2)  # (B * T, C, H, W)


class StackedFilter(nn.Module):
    """A convolution over time of stacked frames: (B, C, T * H, W) -> same."""

    def __init__(self, kernel: TimeKernel, num_frames: int) -> None:
        super().__init__()
        self.kernel, self.num_frames = kernel, num_frames
        self.weight = nn.Parameter(kernel.weight[..., None].clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        height = x.shape[2] // self.num_frames
        before, behind = (frames * height for frames in self.kernel.padding)
        padding = (before, 0)
        if before != behind:
            x, padding = F.pad(x, (0, 0, before, behind)), (0, 0)
        dilation = (self.kernel.step * height, 1)
        return F.conv2d(
            x, self.weight, padding=padding, dilation=dilation, groups=self.kernel.groups
        )


class ToVolume(nn.Module):
    """Frames (B * T, C, H, W) behind each other: (B, C, T, H, W)."""

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        self.num_frames = num_frames

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, self.num_frames, *x.shape[1:]).transpose(1, 2)  # (B, C, T, H, W)


class FromVolume(ToVolume):
    """Undoes `ToVolume`."""

    def forward(self, x: Tensor) -> Tensor:
        _, C, _, H, W = x.shape
        return x.transpose(1, 2).reshape(-1, C, H, W)  # (B * T, C, H, W)


class VolumeFilter(nn.Module):
    """A convolution over time of volumes: (B, C, T, H, W) -> same."""

    def __init__(self, kernel: TimeKernel, num_frames: int) -> None:
        super().__init__()
        self.kernel = kernel
        self.weight = nn.Parameter(kernel.weight[..., None, None].clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        before, behind = self.kernel.padding
        padding = (before, 0, 0)
        if before != behind:
            x, padding = F.pad(x, (0, 0, 0, 0, before, behind)), (0, 0, 0)
        dilation = (self.kernel.step, 1, 1)
        return F.conv3d(
            x, self.weight, padding=padding, dilation=dilation, groups=self.kernel.groups
        )


def _stacked_module(module: nn.Module, height: int) -> nn.Module | None:
    """What sees single pixels works on stacked frames as it is, if it takes the same of each."""
    if type(module) is nn.Conv2d:
        sees_pixels = module.kernel_size == (1, 1) and module.padding in ((0, 0), "valid")
        return module if sees_pixels and height % module.stride[0] == 0 else None
    return module if isinstance(module, (*POINTWISE, nn.BatchNorm2d)) else None


def _volume_module(module: nn.Module, height: int) -> nn.Module | None:
    if type(module) is nn.Conv2d:
        can = module.padding_mode == "zeros" and not isinstance(module.padding, str)
        return _conv3d(module) if can else None
    if type(module) is nn.MaxPool2d and not module.return_indices:
        kernel, stride, padding, dilation = (
            _pair(value)
            for value in (module.kernel_size, module.stride, module.padding, module.dilation)
        )
        geometry = ((1, *kernel), (1, *stride), (0, *padding), (1, *dilation))
        return nn.MaxPool3d(*geometry, ceil_mode=module.ceil_mode)
    return module if isinstance(module, POINTWISE) else None


def _conv3d(conv: nn.Conv2d) -> nn.Conv3d:
    assert not isinstance(conv.padding, str)
    kernel, stride, padding, dilation = (
        conv.kernel_size,
        conv.stride,
        conv.padding,
        conv.dilation,
    )
    volume = nn.Conv3d(
        conv.in_channels,
        conv.out_channels,
        (1, kernel[0], kernel[1]),
        (1, stride[0], stride[1]),
        (0, padding[0], padding[1]),
        (1, dilation[0], dilation[1]),
        conv.groups,
        bias=conv.bias is not None,
        device="meta",
    )
    volume.weight = nn.Parameter(conv.weight.detach()[:, :, None], requires_grad=False)
    if conv.bias is not None:
        volume.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)
    return volume


def _pair(value: int | tuple[int, ...]) -> tuple[int, ...]:
    return (value, value) if isinstance(value, int) else value


LAYOUTS: dict[LayoutName, ClipLayout] = {
    "stacked": ClipLayout(Stack, Unstack, StackedFilter, _stacked_module),
    "volume": ClipLayout(ToVolume, FromVolume, VolumeFilter, _volume_module),
}
"""Layouts by name."""
