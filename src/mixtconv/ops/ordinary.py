"""Ordinary temporal convolution: every output channel reads every input channel over time.

The full-channel "Ordinary 1D" row of the ablation in "MixTConv" (arXiv 2001.06769): C * C * K
weights where a depthwise kernel has C * K. The paper does not say how its weights start; here
they start as the depthwise kernels do (channels unmixed), so that pretrained 2D weights keep their
meaning.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixtconv._types import Edges
from mixtconv.ops.folding import check_clip, fold_time, unfold_time
from mixtconv.ops.taps import (
    TapInit,
    check_kernel_sizes,
    initial_taps,
    overlap,
    tap_offsets,
)


def temporal_conv(x: Tensor, weight: Tensor, *, dilation: int = 1, causal: bool = False) -> Tensor:
    """Convolve over time with full mixing of channels.

    Args:
        x: clips (B, T, C, H, W).
        weight: (C_out, C, K), K odd; tap 0 meets the earliest frame.
        dilation: frames between neighbouring taps.
        causal: look back only, (K - 1) * dilation frames; else half of them are ahead.

    Returns:
        (B, T, C_out, H, W) in the memory format of `x`. Frames outside the clip count as zeros.

    Raises:
        ValueError: `x` is not 5D, an even kernel size, a dilation below 1, or other channels.

    >>> temporal_conv(torch.zeros(2, 8, 16, 7, 7), torch.zeros(32, 16, 3)).shape
    torch.Size([2, 8, 32, 7, 7])
    """
    kernel_size = weight.shape[2]
    check_kernel_sizes([kernel_size], [dilation])
    check_clip(x)
    if x.shape[2] != weight.shape[1]:
        raise ValueError(
            f"the weights are for {weight.shape[1]} channels, the clips have {x.shape[2]}"
        )
    frames, num_frames = fold_time(x), x.shape[1]
    offsets = tap_offsets(kernel_size, dilation=dilation, causal=causal)

    # One 1x1 convolution of all frames per tap, added where the frame that it meets is in the clip.
    def one_tap(tap: int) -> Tensor:
        kernel = weight[:, :, tap, None, None].to(x.dtype)  # (C_out, C, 1, 1)
        return unfold_time(F.conv2d(frames, kernel), num_frames)  # (B, T, C_out, H, W)

    y = one_tap(offsets.index(0))
    for tap, offset in enumerate(offsets):
        if offset and abs(offset) < num_frames:
            here, there = overlap(num_frames, offset)
            y[:, here] += one_tap(tap)[:, there]
    return y


class TemporalConv(nn.Module):
    """Ordinary temporal convolution with learned weights: (B, T, C, H, W) -> (B, T, C, H, W).

    Args:
        channels: C.
        kernel_size: odd.
        dilation, causal: as in `temporal_conv`.
        init, shift_fraction: as in `MixTConv`, on the diagonal of the channel matrix.
        edges: frames outside the clip count as zeros.

    Raises:
        ValueError: other edges.

    >>> TemporalConv(16)(torch.zeros(2, 8, 16, 7, 7)).shape
    torch.Size([2, 8, 16, 7, 7])
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int = 3,
        *,
        dilation: int = 1,
        causal: bool = False,
        init: TapInit = "shift",
        shift_fraction: float = 0.125,
        edges: Edges = "zeros",
    ) -> None:
        super().__init__()
        check_kernel_sizes([kernel_size], [dilation])
        if edges != "zeros":
            raise ValueError(
                f"edges is {edges!r}, which depthwise operations take; an ordinary convolution "
                "counts frames outside the clip as zeros"
            )
        self.dilation = dilation
        self.causal = causal
        taps = initial_taps(
            channels, kernel_size, init=init, shift_fraction=shift_fraction, causal=causal
        )
        self.weight = nn.Parameter(torch.eye(channels)[..., None] * taps[:, None])  # (C, C, K)

    @property
    def offsets(self) -> list[int]:
        """Frames from the output frame to the one that each tap meets."""
        return tap_offsets(self.weight.shape[2], dilation=self.dilation, causal=self.causal)

    def forward(self, x: Tensor) -> Tensor:
        return temporal_conv(x, self.weight, dilation=self.dilation, causal=self.causal)

    def extra_repr(self) -> str:
        channels, _, kernel_size = self.weight.shape
        return (
            f"{channels}, kernel_size={kernel_size}, dilation={self.dilation}, causal={self.causal}"
        )
