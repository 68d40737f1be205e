"""Two ways in which the feature maps of a clip lie, and the modules that work on each.

A 2D network works on frames, (B * T, C, H, W). A temporal operation there needs time next to the
pixels, and engines pay for every change between the two. What sees single pixels, or may be written
with another axis, can stay in the clip's layout instead:

    stacked  (B, C, T * H, W): the frames below each other. A temporal operation is an ordinary 2D
             convolution whose taps lie H rows apart; 1x1 convolutions and sums do not notice.
             ONNX Runtime has fast 2D convolutions only.
    volume   (B, C, T, H, W): a k x k convolution is one of 1 x k x k. OpenVINO runs these as fast.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from mixtconv.exporting.time_kernel import TimeKernel

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
