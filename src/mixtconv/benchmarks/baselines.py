"""Other formulations of the operations to compare with, written from the papers.

Each is straightforward PyTorch and gives the same results as mixtconv's operation.

- `PublishedMixTConv`: the formulation of the published code of "MixTConv" (arXiv 2001.06769), a
  depthwise 3D convolution (K, 1, 1) a group over a permuted clip.
- `Conv1dMixTConv`: a depthwise 1D convolution a group, pixels folded into the batch.
- `CopyingShift`: the shift of "TSM" (arXiv 1811.08383), written into a zero-filled copy.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from mixtconv.ops import MixTConv
from mixtconv.ops.taps import shifted_channels


class PublishedMixTConv(nn.Module):
    """Mixed temporal convolution as a 3D convolution a group: (B, T, C, H, W) -> same.

    Args:
        channels: C.
        kernel_sizes: one for each group of channels; initialized as `MixTConv` is.
        copies: whether permuted clips are made contiguous before and after the convolutions, as
            published; without, they are faster.

    >>> PublishedMixTConv(64)(torch.zeros(2, 8, 64, 7, 7)).shape
    torch.Size([2, 8, 64, 7, 7])
    """

    def __init__(
        self, channels: int, kernel_sizes: Sequence[int] = (1, 3, 5, 7), *, copies: bool = True
    ) -> None:
        super().__init__()
        start = MixTConv(channels, kernel_sizes)
        self.group_channels = start.group_channels
        self.convs = nn.ModuleList(_depthwise(nn.Conv3d, w, (1, 1)) for w in start.weights)
        self.copies = copies

    def forward(self, x: Tensor) -> Tensor:
        groups = self._permute(x).split(self.group_channels, dim=1)  # each (B, C_m, T, H, W)
        mixed = [conv(group) for conv, group in zip(self.convs, groups, strict=True)]
        return torch.cat([self._permute(group) for group in mixed], dim=2)  # (B, T, C, H, W)

    def _permute(self, x: Tensor) -> Tensor:
        """Exchange the axes of frames and channels."""
        permuted = x.transpose(1, 2)
        return permuted.contiguous() if self.copies else permuted


class Conv1dMixTConv(nn.Module):
    """Mixed temporal convolution as a 1D convolution a group: (B, T, C, H, W) -> same.

    >>> Conv1dMixTConv(64)(torch.zeros(2, 8, 64, 7, 7)).shape
    torch.Size([2, 8, 64, 7, 7])
    """

    def __init__(self, channels: int, kernel_sizes: Sequence[int] = (1, 3, 5, 7)) -> None:
        super().__init__()
        start = MixTConv(channels, kernel_sizes)
        self.group_channels = start.group_channels
        self.convs = nn.ModuleList(_depthwise(nn.Conv1d, weight) for weight in start.weights)

    def forward(self, x: Tensor) -> Tensor:
        B, T, C, H, W = x.shape
        pixels = x.permute(0, 3, 4, 2, 1).reshape(B * H * W, C, T)
        groups = pixels.split(self.group_channels, dim=1)  # each (B * H * W, C_m, T)
        mixed = torch.cat([c(group) for c, group in zip(self.convs, groups, strict=True)], dim=1)
        return mixed.reshape(B, H, W, C, T).permute(0, 4, 3, 1, 2).contiguous()  # (B, T, C, H, W)


class CopyingShift(nn.Module):
    """Temporal shift into a zero-filled copy: (B, T, C, H, W) -> same.

    >>> CopyingShift()(torch.zeros(2, 8, 64, 7, 7)).shape
    torch.Size([2, 8, 64, 7, 7])
    """

    def forward(self, x: Tensor) -> Tensor:
        fold = shifted_channels(x.shape[2], 0.125)
        y = torch.zeros_like(x)
        y[:, :-1, :fold] = x[:, 1:, :fold]
        y[:, 1:, fold : 2 * fold] = x[:, :-1, fold : 2 * fold]
        y[:, :, 2 * fold :] = x[:, :, 2 * fold :]
        return y


def _depthwise(
    layer: Callable[..., nn.Conv1d | nn.Conv3d], weight: Tensor, pixels: tuple[int, ...] = ()
) -> nn.Module:
    """A depthwise convolution with the taps (C, K) over time and a kernel of so many pixels."""
    channels, size = weight.shape
    padding = (size // 2, *(side // 2 for side in pixels))
    conv = layer(channels, channels, (size, *pixels), padding=padding, groups=channels, bias=False)
    conv.weight = nn.Parameter(weight.detach().reshape(conv.weight.shape).clone())
    return conv
