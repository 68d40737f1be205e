"""Mixed temporal convolution: depthwise 1D filters over time, several kernel sizes side by side.

From "MixTConv: Mixed Temporal Convolutional Kernels for Efficient Action Recognition"
(arXiv 2001.06769). Input channels are split into groups in order; group m is convolved over time
with its own kernel size:

    channels   | group 0 | group 1 | group 2   | group 3       |
    kernel     |    1    |    3    |     5     |       7       |
    frames met |    t    | t-1..t+1| t-2 .. t+2|  t-3 .. t+3   |

Different here: the published code permutes the tensor, runs one depthwise 3D convolution a group,
permutes back and concatenates. Here all groups are one pass over the tensor (see `filter.py`),
nothing is saved for the backward pass but the input, and its memory format is kept. Sizes,
dilations and causality are free per group.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from mixtconv._types import Edges
from mixtconv.ops.filter import DepthwiseTaps
from mixtconv.ops.folding import check_clip
from mixtconv.ops.taps import (
    TapGroups,
    TapInit,
    check_edges,
    check_kernel_sizes,
    group_channels,
    initial_taps,
    tap_offsets,
)


def mixed_temporal_conv(
    x: Tensor,
    weights: Sequence[Tensor],
    *,
    dilations: int | Sequence[int] = 1,
    causal: bool = False,
    edges: Edges = "zeros",
) -> Tensor:
    """Convolve groups of channels over time, each with its own kernel size.

    Args:
        x: clips (B, T, C, H, W), in any memory format.
        weights: one (C_m, K_m) tensor a group, in channel order, K_m odd; tap 0 meets the earliest
            frame. Multiplied and added in float32 at least; gradients keep the weights' precision.
        dilations: frames between neighbouring taps, one for all groups or one a group.
        causal: look back only, (K_m - 1) * dilation frames; else half of them are ahead.
        edges: what frames outside the clip count as: zeros, or its first and last frame.

    Returns:
        (B, T, C, H, W) in the memory format of `x`.

    Raises:
        ValueError: `x` is not 5D, or the groups do not add up to its channels, or a kernel size is
            even, or the dilations do not fit the groups, or other edges.

    >>> x = torch.ones(1, 4, 2, 1, 1)
    >>> both = mixed_temporal_conv(x, [torch.ones(1, 1), torch.ones(1, 3)])
    >>> both.shape
    torch.Size([1, 4, 2, 1, 1])
    >>> both[0, :, :, 0, 0].tolist()
    [[1.0, 2.0], [1.0, 3.0], [1.0, 3.0], [1.0, 2.0]]
    """
    check_kernel_sizes([weight.shape[-1] for weight in weights], per_group(dilations, len(weights)))
    check_clip(x)
    channels = sum(weight.shape[0] for weight in weights)
    if channels != x.shape[2]:
        raise ValueError(f"the weights are for {channels} channels, the clips have {x.shape[2]}")
    return mixed_taps(weights, dilations=dilations, causal=causal, edges=edges).apply(x)


def mixed_taps(
    weights: Sequence[Tensor],
    *,
    dilations: int | Sequence[int] = 1,
    causal: bool = False,
    edges: Edges = "zeros",
) -> DepthwiseTaps:
    """The taps of `mixed_temporal_conv`, from its arguments.

    >>> mixed_taps([torch.ones(2, 1), torch.ones(2, 3)]).groups
    TapGroups(channels=(2, 2), num_taps=(1, 3), offsets=(0, -1, 0, 1))
    """
    check_edges(edges)
    sizes = [weight.shape[-1] for weight in weights]
    offsets = [
        offset
        for size, dilation in zip(sizes, per_group(dilations, len(weights)), strict=True)
        for offset in tap_offsets(size, dilation=dilation, causal=causal)
    ]
    groups = TapGroups(tuple(len(weight) for weight in weights), tuple(sizes), tuple(offsets))
    return DepthwiseTaps(torch.cat([weight.flatten() for weight in weights]), groups, edges)


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
        edges: what frames outside the clip count as: zeros, or its first and last frame.

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
        edges: Edges = "zeros",
    ) -> None:
        super().__init__()
        check_edges(edges)
        self.edges: Edges = edges
        self.channels = channels
        self.kernel_sizes = tuple(kernel_sizes)
        self.dilations = per_group(dilations, len(self.kernel_sizes))
        self.causal = causal
        self.init: TapInit = init
        self.shift_fraction = shift_fraction
        check_kernel_sizes(self.kernel_sizes, self.dilations)
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
        check_clip(x)
        return self.taps(x.shape[2]).apply(x)

    def taps(self, num_channels: int) -> DepthwiseTaps:
        """The layer as a depthwise filter of `num_channels` channels.

        Raises:
            ValueError: the layer has another number of channels.
        """
        if num_channels != self.channels:
            raise ValueError(
                f"the layer is for {self.channels} channels, got {num_channels}; make it with "
                f"MixTConv({num_channels})"
            )
        return mixed_taps(
            list(self.weights.parameters()),
            dilations=self.dilations,
            causal=self.causal,
            edges=self.edges,
        )

    def depthwise_taps(self, num_channels: int) -> DepthwiseTaps:
        """`taps` for inference: the weights are detached."""
        taps = self.taps(num_channels)
        return replace(taps, weights=taps.weights.detach())

    def extra_repr(self) -> str:
        return (
            f"{self.channels}, kernel_sizes={self.kernel_sizes}, dilations={self.dilations}, "
            f"causal={self.causal}, edges={self.edges}"
        )


def per_group(value: int | Sequence[int], num_groups: int) -> tuple[int, ...]:
    """One number for every group: a single number is repeated, a sequence is used as given."""
    return (value,) * num_groups if isinstance(value, int) else tuple(value)
