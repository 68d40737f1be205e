"""Mixed temporal convolution: depthwise 1D filters over time, several kernel sizes side by side.

From "MixTConv: Mixed Temporal Convolutional Kernels for Efficient Action Recognition"
(arXiv 2001.06769). Input channels are split into groups in order; group m is convolved over time
with its own kernel size:

    channels   | group 0 | group 1 | group 2   | group 3       |
    kernel     |    1    |    3    |     5     |       7       |
    frames seen|    t    | t-1..t+1| t-2 .. t+2|  t-3 .. t+3   |

Different here: the published code permutes the tensor, runs one depthwise 3D convolution a group,
permutes back and concatenates. Here every tap is one multiply-add of a shifted slice, written
straight into the output, with the gradients written the same way: no permuted copy, nothing saved
for the backward pass but the input, and the memory format of the input is kept. Sizes, dilations
and causality are free per group.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from mixtconv.ops.folding import check_clip
from mixtconv.ops.taps import (
    TapInit,
    check_kernel_sizes,
    check_shift_fraction,
    group_channels,
    initial_taps,
    overlap,
    tap_offsets,
)


def mixed_temporal_conv(
    x: Tensor,
    weights: Sequence[Tensor],
    *,
    dilations: int | Sequence[int] = 1,
    causal: bool = False,
) -> Tensor:
    """Convolve groups of channels over time, each with its own kernel size.

    Args:
        x: clips (B, T, C, H, W), in any memory format.
        weights: one (C_m, K_m) tensor a group, in channel order, K_m odd; tap 0 meets the earliest
            frame. Applied in the precision of `x`; their gradients keep their own.
        dilations: frames between neighbouring taps, one for all groups or one a group.
        causal: look back only, (K_m - 1) * dilation frames; else half of them lie ahead.

    Returns:
        (B, T, C, H, W) in the memory format of `x`. Frames outside the clip count as zeros.

    Raises:
        ValueError: `x` is not 5D, or the groups do not add up to its channels, or a kernel size is
            even, or the dilations do not fit the groups.

    >>> x = torch.ones(1, 4, 2, 1, 1)
    >>> both = mixed_temporal_conv(x, [torch.ones(1, 1), torch.ones(1, 3)])
    >>> both.shape
    torch.Size([1, 4, 2, 1, 1])
    >>> both[0, :, :, 0, 0].tolist()
    [[1.0, 2.0], [1.0, 3.0], [1.0, 3.0], [1.0, 2.0]]
    """
    kernel_sizes = [weight.shape[-1] for weight in weights]
    dilations = per_group(dilations, len(weights))
    check_kernel_sizes(kernel_sizes, dilations)
    check_clip(x)
    channels = sum(weight.shape[0] for weight in weights)
    if channels != x.shape[2]:
        raise ValueError(f"the weights are for {channels} channels, the clips have {x.shape[2]}")
    offsets = [
        tap_offsets(size, dilation=dilation, causal=causal)
        for size, dilation in zip(kernel_sizes, dilations, strict=True)
    ]
    return _MixedTemporalConv.apply(x, offsets, *weights)


def depthwise_temporal_conv(
    x: Tensor, weight: Tensor, *, dilation: int = 1, causal: bool = False
) -> Tensor:
    """Convolve every channel over time with one kernel size: the mixed operation with one group.

    Args:
        x: clips (B, T, C, H, W).
        weight: (C, K), K odd.
        dilation: frames between neighbouring taps.
        causal: look back only.

    Returns:
        (B, T, C, H, W).

    >>> x = torch.arange(4.0).reshape(1, 4, 1, 1, 1)
    >>> depthwise_temporal_conv(x, torch.tensor([[1.0, 0.0, 0.0]])).flatten().tolist()
    [0.0, 0.0, 1.0, 2.0]
    """
    return mixed_temporal_conv(x, [weight], dilations=dilation, causal=causal)


class MixTConv(nn.Module):
    """Mixed temporal convolution with learned kernels: (B, T, C, H, W) -> (B, T, C, H, W).

    Args:
        channels: C.
        kernel_sizes: one odd size a group of channels; the channels are split evenly, the
            remainder goes to the first groups.
        dilations: one for all groups or one a group.
        causal: look back only, as streams need.
        init: `shift` starts as TSM does, `identity` as the 2D network.
        shift_fraction: the part of a group's channels that `shift` moves in each direction.

    Raises:
        ValueError: an even kernel size, more groups than channels, or dilations that do not fit.

    >>> layer = MixTConv(256, kernel_sizes=(1, 3, 5, 7))
    >>> layer(torch.zeros(2, 8, 256, 7, 7)).shape
    torch.Size([2, 8, 256, 7, 7])
    >>> sum(weight.numel() for weight in layer.parameters())
    1024
    """

    def __init__(
        self,
        channels: int,
        kernel_sizes: Sequence[int] = (1, 3, 5, 7),
        *,
        dilations: int | Sequence[int] = 1,
        causal: bool = False,
        init: TapInit = "shift",
        shift_fraction: float = 0.125,
    ) -> None:
        super().__init__()
        self.channels = channels
        self.kernel_sizes = tuple(kernel_sizes)
        self.dilations = per_group(dilations, len(self.kernel_sizes))
        self.causal = causal
        self.init: TapInit = init
        self.shift_fraction = shift_fraction
        check_kernel_sizes(self.kernel_sizes, self.dilations)
        check_shift_fraction(shift_fraction)
        self.group_channels = group_channels(channels, len(self.kernel_sizes))
        self.weights = nn.ParameterList(self.initial_weights())

    def initial_weights(self) -> list[Tensor]:
        """The weights that training starts from, one (C_m, K_m) tensor a group."""
        return [
            initial_taps(
                channels,
                size,
                init=self.init,
                shift_fraction=self.shift_fraction,
                causal=self.causal,
            )
            for channels, size in zip(self.group_channels, self.kernel_sizes, strict=True)
        ]

    def forward(self, x: Tensor) -> Tensor:
        return mixed_temporal_conv(
            x, list(self.weights), dilations=self.dilations, causal=self.causal
        )

    def extra_repr(self) -> str:
        return (
            f"{self.channels}, kernel_sizes={self.kernel_sizes}, dilations={self.dilations}, "
            f"causal={self.causal}"
        )


def per_group(value: int | Sequence[int], num_groups: int) -> tuple[int, ...]:
    """One number for every group: a single number is repeated, a sequence is taken as it is."""
    return (value,) * num_groups if isinstance(value, int) else tuple(value)


class _MixedTemporalConv(torch.autograd.Function):
    """Forward and both gradients as multiply-adds of shifted slices.

    With y[t] = sum_j w[j] x[t + o_j], the gradient of x is the same operation with the offsets
    negated, and that of w[j] is the sum over b, t, h, w of g[t] x[t + o_j].
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, offsets: list[list[int]], *weights: Tensor) -> Tensor:
        ctx.save_for_backward(x, *weights)
        ctx.offsets = offsets
        return _correlate(x, weights, offsets)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        (grad,) = grads
        x, *weights = ctx.saved_tensors
        grad_x = None
        if ctx.needs_input_grad[0]:
            negated = [[-offset for offset in group] for group in ctx.offsets]
            grad_x = _correlate(grad, weights, negated)
        grad_weights = [
            _tap_gradients(x[:, :, channels], grad[:, :, channels], group).to(weight.dtype)
            if needed
            else None
            for channels, weight, group, needed in zip(
                _channel_slices(weights),
                weights,
                ctx.offsets,
                ctx.needs_input_grad[2:],
                strict=True,
            )
        ]
        return grad_x, None, *grad_weights


def _correlate(x: Tensor, weights: Sequence[Tensor], offsets: list[list[int]]) -> Tensor:
    """y[:, t] = sum over taps of w[tap] * x[:, t + offset[tap]], zeros outside the clip."""
    num_frames = x.shape[1]
    own_frame = [weight[:, group.index(0)] for weight, group in zip(weights, offsets, strict=True)]
    y = x * torch.cat(own_frame).to(x.dtype)[:, None, None]  # (B, T, C, H, W), in x's layout
    for channels, weight, group in zip(_channel_slices(weights), weights, offsets, strict=True):
        taps = weight.to(x.dtype)[:, :, None, None]  # (C_m, K, 1, 1)
        for tap, offset in enumerate(group):
            if offset and abs(offset) < num_frames:
                here, there = overlap(num_frames, offset)
                y[:, here, channels].addcmul_(x[:, there, channels], taps[:, tap])
    return y


def _tap_gradients(x: Tensor, grad: Tensor, offsets: list[int]) -> Tensor:
    """Gradient (C_m, K) of the taps of one group, in float32 at least: half would underflow."""
    num_frames, wide = x.shape[1], torch.promote_types(x.dtype, torch.float32)
    gradients = []
    for offset in offsets:
        here, there = overlap(num_frames, offset)
        product = grad[:, here].to(wide) * x[:, there].to(wide)  # empty where no frame is met
        gradients.append(product.sum((0, 1, 3, 4)))  # (C_m,)
    return torch.stack(gradients, dim=1)  # (C_m, K)


def _channel_slices(weights: Sequence[Tensor]) -> Iterator[slice]:
    start = 0
    for weight in weights:
        yield slice(start, start + weight.shape[0])
        start += weight.shape[0]
