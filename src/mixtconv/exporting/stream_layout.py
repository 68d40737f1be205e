"""Layouts of a stream's past in which a temporal step is one convolution that an engine runs fast.

A temporal operation of a stream sees the new frame (B, C, H, W) and the last D frames of its past,
together D + 1 frames with taps that are some frames apart:

    volume    (B, C, D, H, W): a depthwise 3D convolution of K x 1 x 1, which ONNX Runtime and
              OpenVINO run fast.
    rows      (B, C, D * H, W): frames below each other, a depthwise 2D convolution of K x 1 whose
              taps are H rows apart. XNNPACK, the kernels of ExecuTorch, has 2D convolutions alone.
    rows_last (B, D * H, W, C): the same with the channels last, as LiteRT keeps every feature map.
"""

from collections.abc import Sequence
from typing import Literal, Protocol

import torch.nn.functional as F
from torch import Tensor, nn

from mixtconv.exporting.clip_layout import TimeKernel

StreamLayoutName = Literal["volume", "rows", "rows_last"]


class Remember(Protocol):
    """Appends a new frame to the past of an operation, and keeps the past of the next frame."""

    def __call__(self, new: Tensor, length: int, *, axis: int) -> Tensor:
        """The past and the new frame, one after the other along an axis.

        Args:
            new: the frame, in the layout of the past.
            length: size of the past along that axis.
            axis: that of time.
        """
        ...


class VolumeStep(nn.Module):
    """A kernel that looks back, on the new frame and its past: (B, C, H, W) -> same."""

    num_axes = 3
    """Axes of the past after the channels."""

    def __init__(self, kernel: TimeKernel) -> None:
        super().__init__()
        self.depth, self.stride, self.groups = -kernel.first, kernel.step, kernel.groups
        # A parameter of its final shape: ExecuTorch takes no weight that is computed.
        weight = kernel.weight.reshape(*kernel.weight.shape, *(self.num_axes - 1) * [1])
        self.weight = nn.Parameter(weight.clone(), requires_grad=False)

    def forward(self, x: Tensor, remember: Remember) -> Tensor:
        window = remember(x.unsqueeze(2), self.depth, axis=2)  # (B, C, D + 1, H, W)
        dilation = (self.stride, 1, 1)
        stepped = F.conv3d(window, self.weight, dilation=dilation, groups=self.groups)
        return stepped.squeeze(2)  # (B, C, 1, H, W) -> (B, C, H, W)

    @staticmethod
    def split(x: Tensor, sizes: Sequence[int]) -> Sequence[Tensor]:
        """The groups of channels of a frame."""
        return x.split(list(sizes), dim=1)


class RowsStep(VolumeStep):
    """The same on frames below each other."""

    num_axes = 2

    def forward(self, x: Tensor, remember: Remember) -> Tensor:
        rows = x.shape[2]
        return self._along_rows(remember(x, self.depth * rows, axis=2), rows)

    def _along_rows(self, window: Tensor, rows: int) -> Tensor:
        """The convolution over D + 1 frames of some rows: (B, C, (D + 1) * H, W) -> one frame."""
        return F.conv2d(window, self.weight, dilation=(self.stride * rows, 1), groups=self.groups)

    @staticmethod
    def split(x: Tensor, sizes: Sequence[int]) -> Sequence[Tensor]:
        """The groups of channels of a frame, as slices: XNNPACK has no split of unequal sizes."""
        ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
        return [x[:, end - size : end] for end, size in zip(ends, sizes, strict=True)]


class LastChannelsStep(RowsStep):
    """The same with the channels of the past last."""

    def forward(self, x: Tensor, remember: Remember) -> Tensor:
        rows, frame = x.shape[2], x.permute(0, 2, 3, 1)  # (B, H, W, C)
        window = remember(frame, self.depth * rows, axis=1)  # (B, (D + 1) * H, W, C)
        return self._along_rows(window.permute(0, 3, 1, 2), rows)


STREAM_LAYOUTS: dict[StreamLayoutName, type[VolumeStep]] = {
    "volume": VolumeStep,
    "rows": RowsStep,
    "rows_last": LastChannelsStep,
}
"""The step of a temporal operation by the layout of its past."""
