"""Layouts of clips in which a temporal operation is one convolution that every engine has.

A 2D network works on frames, (B * T, C, H, W). A temporal operation needs the frames of a clip in
one map, and engines pay for every change between the two. A module that reads single pixels, or has
a form with one more axis, can work in the clip's layout instead:

    stacked  (B, C, T * H, W): the frames below each other. A temporal operation is an ordinary 2D
             convolution whose taps are H rows apart; 1x1 convolutions and sums stay as they are.
             ONNX Runtime has fast 2D convolutions only, and so has LiteRT.
    joined   the same map, made by cutting frames apart and joining them along their height, of a
             batch whose size is fixed. ExecuTorch reorders a map for every change of its shape;
             cut and joined it stays as it is.
    volume   (B, C, T, H, W): a k x k convolution is one of 1 x k x k. OpenVINO runs these as fast.

`TimeKernel` is a temporal operation as the kernel of a convolution, in either layout.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixtconv._types import Edges
from mixtconv.models.wrappers.temporal_wrapper import TemporalWrapper
from mixtconv.ops import TemporalConv, fold_time, unfold_time
from mixtconv.ops.filter import DepthwiseTaps
from mixtconv.ops.taps import TapGroups


@dataclass(frozen=True, eq=False)
class TimeKernel:
    """The kernel of a convolution over time."""

    weight: Tensor
    """(C_out, C / groups, K); tap 0 meets the earliest frame."""
    first: int
    """Offset of tap 0 in frames, at most 0."""
    step: int
    """Frames from one tap to the next."""
    groups: int
    """1, or C for a depthwise convolution."""
    edges: Edges = "zeros"
    """What frames outside of a clip count as."""

    @property
    def padding(self) -> tuple[int, int]:
        """Frames that the convolution needs before and after a clip."""
        return -self.first, self.first + self.step * (self.weight.shape[2] - 1)

    @classmethod
    def depthwise(cls, taps: DepthwiseTaps) -> "TimeKernel":
        """One kernel for all groups of channels, zeros where a group has no tap.

        >>> import torch
        >>> groups = TapGroups(channels=(1, 1), num_taps=(1, 3), offsets=(0, -1, 0, 1))
        >>> taps = DepthwiseTaps(torch.tensor([1.0, 2.0, 3.0, 4.0]), groups)
        >>> TimeKernel.depthwise(taps).weight.squeeze(1).tolist()
        [[0.0, 1.0, 0.0], [2.0, 3.0, 4.0]]
        """
        # The coarsest grid of frames that has the taps of all groups and the frame itself.
        offsets = [0, *taps.groups.offsets]
        first, step = min(offsets), math.gcd(*offsets) or 1
        num_taps = (max(offsets) - first) // step + 1
        weight = taps.weights.new_zeros(sum(taps.groups.channels), 1, num_taps)
        for group in taps.groups.split():
            matrix = group.matrix(taps.weights)  # (C_m, K_m)
            for tap, offset in enumerate(group.offsets):
                # A sum, since two taps of a group may have the same offset.
                weight[group.channels, 0, (offset - first) // step] += matrix[:, tap]
        return cls(weight, first, step, groups=len(weight), edges=taps.edges)

    @classmethod
    def by_group(cls, taps: DepthwiseTaps) -> list["TimeKernel"]:
        """One kernel for every group of channels."""
        kernels = []
        for group in taps.groups.split():
            num_channels, num_taps = group.matrix(taps.weights).shape
            groups = TapGroups((num_channels,), (num_taps,), group.offsets)
            own = DepthwiseTaps(taps.weights[group.weights], groups, taps.edges)
            kernels.append(cls.depthwise(own))
        return kernels

    @classmethod
    def ordinary(cls, layer: TemporalConv) -> "TimeKernel":
        """The kernel of an ordinary temporal convolution."""
        return cls(layer.weight.detach(), layer.offsets[0], layer.dilation, groups=1)

    def padded(self, x: Tensor, *, rows: int = 1) -> tuple[Tensor, int]:
        """Clips with the frames outside that the kernel meets, but for zeros a convolution adds.

        Args:
            x: clips (B, C, T * rows, ...).
            rows: of a frame, along that axis.

        Returns:
            The clips, and the rows of zeros that are left to the convolution's own padding.
        """
        before, after = self.padding
        if self.edges == "replicate":
            first, last = x[:, :, :rows], x[:, :, -rows:]
            return torch.cat([*before * [first], x, *after * [last]], dim=2), 0
        if before == after:  # a convolution's own padding is the same at both ends
            return x, before * rows
        others = (x.ndim - 3) * [0, 0]
        return F.pad(x, (*others, before * rows, after * rows)), 0

    @property
    def is_depthwise(self) -> bool:
        """Whether every channel is convolved alone."""
        return self.groups == len(self.weight) and self.weight.shape[1] == 1

    @property
    def is_identity(self) -> bool:
        """Whether the convolution leaves every frame unchanged."""
        is_one = self.is_depthwise and self.weight.shape[2] == 1
        return is_one and bool((self.weight == 1).all())


class FoldedTemporalConv(nn.Module):
    """An ordinary temporal convolution as a separate module: frames (B * T, C, H, W) -> same."""

    def __init__(self, layer: TemporalConv, num_frames: int) -> None:
        super().__init__()
        self.layer, self.num_frames = layer, num_frames

    def forward(self, x: Tensor) -> Tensor:
        return fold_time(self.layer(unfold_time(x, self.num_frames)))


def separate_ordinary_convolutions(network: nn.Module) -> None:
    """Make ordinary temporal convolutions separate modules before their modules, in place."""
    for name, site in list(network.named_modules()):
        if isinstance(site, TemporalWrapper) and isinstance(site.temporal, TemporalConv):
            frames = FoldedTemporalConv(site.temporal, site.num_frames)
            network.set_submodule(name, site.separated(frames))


LayoutName = Literal["stacked", "joined", "volume"]

POINTWISE = (nn.ReLU, nn.ReLU6, nn.SiLU, nn.GELU, nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid)
"""Modules that compute every value from the one at its place."""


@dataclass(frozen=True)
class ClipLayout:
    """One layout of clips: factories of the modules that work on it."""

    to_clip: Callable[[int], nn.Module]
    """T -> the module from frames (B * T, C, H, W) to the layout."""
    to_frames: Callable[[int], nn.Module]
    """T -> the inverse of that module."""
    filter: Callable[[TimeKernel, int], nn.Module]
    """Kernel, T -> the convolution over time of clips in the layout."""
    rewrite: Callable[[nn.Module, int], nn.Module | None]
    """Module of frames, their height H -> its form for clips in the layout, None without one."""


class Stack(nn.Module):
    """Frames (B * T, C, H, W) below each other: (B, C, T * H, W).

    Through channels-last, where the change is a reshape, so that engines need no copy.
    """

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        self.num_frames = num_frames

    def forward(self, x: Tensor) -> Tensor:
        _, C, H, W = x.shape
        x = x.permute(0, 2, 3, 1).reshape(-1, self.num_frames * H, W, C)
        return x.permute(0, 3, 1, 2)  # (B, C, T * H, W)


class Unstack(Stack):
    """The inverse of `Stack`."""

    def forward(self, x: Tensor) -> Tensor:
        _, C, rows, W = x.shape
        x = x.permute(0, 2, 3, 1).reshape(-1, rows // self.num_frames, W, C)
        return x.permute(0, 3, 1, 2)  # (B * T, C, H, W)


class Join(nn.Module):
    """Frames (B * T, C, H, W), cut apart and joined below each other: (B, C, T * H, W)."""

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        self.num_frames = num_frames

    def forward(self, x: Tensor) -> Tensor:
        clips = [torch.cat(_slices(clip, 1), dim=2) for clip in _slices(x, self.num_frames)]
        return _one_after_the_other(clips)


class Cut(Join):
    """The inverse of `Join`."""

    def forward(self, x: Tensor) -> Tensor:
        rows = x.shape[2] // self.num_frames
        clips = [torch.cat(_slices(clip, rows, axis=2), dim=0) for clip in _slices(x, 1)]
        return _one_after_the_other(clips)  # (B * T, C, H, W)


def _slices(x: Tensor, size: int, *, axis: int = 0) -> list[Tensor]:
    """Parts of one size, as slices: XNNPACK has no split. One that is all of it is not cut off."""
    if x.shape[axis] == size:
        return [x]
    return [x.narrow(axis, start, size) for start in range(0, x.shape[axis], size)]


def _one_after_the_other(clips: list[Tensor]) -> Tensor:
    """Clips in one batch; one alone is there already, and a copy of it would cost a pass."""
    return clips[0] if len(clips) == 1 else torch.cat(clips, dim=0)


class ToVolume(nn.Module):
    """Frames (B * T, C, H, W) along an axis of time: (B, C, T, H, W)."""

    def __init__(self, num_frames: int) -> None:
        super().__init__()
        self.num_frames = num_frames

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(-1, self.num_frames, *x.shape[1:]).transpose(1, 2)  # (B, C, T, H, W)


class FromVolume(ToVolume):
    """The inverse of `ToVolume`."""

    def forward(self, x: Tensor) -> Tensor:
        _, C, _, H, W = x.shape
        return x.transpose(1, 2).reshape(-1, C, H, W)  # (B * T, C, H, W)


class _ClipFilter(nn.Module):
    """A convolution over time of clips, in a layout whose first axis holds the frames in order."""

    convolve: Callable[..., Tensor]
    num_axes: int
    """Axes after the channels."""

    def __init__(self, kernel: TimeKernel, num_frames: int) -> None:
        super().__init__()
        self.kernel, self.num_frames = kernel, num_frames
        weight = kernel.weight.reshape(*kernel.weight.shape, *(self.num_axes - 1) * [1])
        self.weight = nn.Parameter(weight.clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        rows = x.shape[2] // self.num_frames  # of one frame
        others = self.num_axes - 1
        x, along_time = self.kernel.padded(x, rows=rows)
        padding = (along_time, *others * [0])
        dilation = (self.kernel.step * rows, *others * [1])
        return self.convolve(
            x, self.weight, padding=padding, dilation=dilation, groups=self.kernel.groups
        )


class StackedFilter(_ClipFilter):
    """A convolution over time of stacked frames: (B, C, T * H, W) -> same."""

    convolve, num_axes = staticmethod(F.conv2d), 2


class VolumeFilter(_ClipFilter):
    """A convolution over time of volumes: (B, C, T, H, W) -> same."""

    convolve, num_axes = staticmethod(F.conv3d), 3


def _stacked_module(module: nn.Module, height: int) -> nn.Module | None:
    """Modules that read single pixels work on stacked frames unchanged."""
    if type(module) is nn.Conv2d:
        is_pointwise = module.kernel_size == (1, 1) and module.padding in ((0, 0), "valid")
        # A stride has to start at the same row of every frame.
        return module if is_pointwise and height % module.stride[0] == 0 else None
    return module if isinstance(module, (*POINTWISE, nn.BatchNorm2d)) else None


def _volume_module(module: nn.Module, height: int) -> nn.Module | None:
    """2D convolutions and poolings get an axis of time of size 1."""
    if type(module) is nn.Conv2d:
        is_supported = module.padding_mode == "zeros" and not isinstance(module.padding, str)
        return _conv3d(module) if is_supported else None
    if type(module) is nn.MaxPool2d and not module.return_indices:
        return nn.MaxPool3d(**_with_time(module), ceil_mode=module.ceil_mode)
    return module if isinstance(module, POINTWISE) else None


def _conv3d(conv: nn.Conv2d) -> nn.Conv3d:
    channels, has_bias = (conv.in_channels, conv.out_channels), conv.bias is not None
    volume = nn.Conv3d(
        *channels, **_with_time(conv), groups=conv.groups, bias=has_bias, device="meta"
    )
    volume.weight = nn.Parameter(conv.weight.detach()[:, :, None], requires_grad=False)
    if conv.bias is not None:
        volume.bias = nn.Parameter(conv.bias.detach(), requires_grad=False)
    return volume


def _with_time(module: nn.Conv2d | nn.MaxPool2d) -> dict[str, Any]:
    """The geometry of a module with an axis of time, along which it does nothing."""
    along_time = {"kernel_size": 1, "stride": 1, "padding": 0, "dilation": 1}
    geometry = {name: getattr(module, name) for name in along_time}
    return {
        name: (along_time[name], *((value, value) if isinstance(value, int) else value))
        for name, value in geometry.items()
    }


LAYOUTS: dict[LayoutName, ClipLayout] = {
    "stacked": ClipLayout(Stack, Unstack, StackedFilter, _stacked_module),
    "joined": ClipLayout(Join, Cut, StackedFilter, _stacked_module),
    "volume": ClipLayout(ToVolume, FromVolume, VolumeFilter, _volume_module),
}
"""Layouts by name."""
