"""A temporal operation on the keys and values of the attentions of a transformer.

Each query of a frame then attends to keys and values that hold something of the neighbouring
frames, per channel, at the same place. From "ZeroI2V" (arXiv 2310.01324), which shifts the channels
of a head each way. Different here: any depthwise operation, such as kernels that are learned and of
several sizes side by side (`MixTConv`); one pass over the result of the attention's layer, in which
queries are copied. Nothing else is new at inference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mixtconv.models.structure.attention_sites import AttentionSite, ProjectedChannels, Projection
from mixtconv.models.structure.token_layout import TokenLayout, TokenOperation
from mixtconv.models.wrappers.temporal_wrapper import TemporalWrapper
from mixtconv.models.wrappers.wrapping import replace_module
from mixtconv.ops.filter import DepthwiseTaps
from mixtconv.ops.registry import OperationFactory
from mixtconv.ops.taps import TapGroups


class KeyValueOperation(nn.Module):
    """Depthwise operations on keys and values among channels: (B, T, C, H, W) -> same.

    Args:
        channels: how C is divided.
        make: the operation for a number of channels.

    Raises:
        ValueError: an operation that is not depthwise.
    """

    def __init__(self, channels: ProjectedChannels, make: OperationFactory) -> None:
        super().__init__()
        self.channels = channels
        self.key = self._made(make, channels.keys * channels.heads)
        self.value = self._made(make, channels.values * channels.heads)

    @staticmethod
    def _made(make: OperationFactory, width: int) -> nn.Module | None:
        operation = make(width) if width else None
        if operation is not None and not hasattr(operation, "taps"):
            raise ValueError(
                f"{type(operation).__name__} mixes channels, and keys and values are filtered each "
                "by itself: give a depthwise operation, such as mixtconv, ks3 or shift"
            )
        return operation

    def forward(self, x: Tensor) -> Tensor:
        taps = self.taps(x.shape[2])
        return replace(taps, weights=taps.weights.to(x.device)).apply(x)

    def depthwise_taps(self, num_channels: int) -> DepthwiseTaps:
        """`taps` for inference: the weights are detached."""
        taps = self.taps(num_channels)
        return replace(taps, weights=taps.weights.detach())

    def taps(self, num_channels: int) -> DepthwiseTaps:
        """The operation on all C channels as a depthwise filter; the taps of queries are one."""
        heads, widths = self.channels.heads, self.channels
        keys = self._taps(self.key, widths.keys * heads)
        values = self._taps(self.value, widths.values * heads)
        filtered = keys if widths.keys else values
        ones = torch.ones(widths.queries * heads, device=filtered.weights.device)
        parts = [
            (widths.queries, DepthwiseTaps(ones, _unit(len(ones)))),
            (widths.keys, keys),
            (widths.values, values),
        ]
        # Of each head in turn its queries, keys and values.
        pieces = [
            piece
            for head in range(heads)
            for width, taps in parts
            if width
            for piece in _sliced(taps, head * width, (head + 1) * width)
        ]
        groups = TapGroups(
            tuple(len(matrix) for matrix, _ in pieces),
            tuple(len(offsets) for _, offsets in pieces),
            tuple(offset for _, offsets in pieces for offset in offsets),
        )
        weights = torch.cat([matrix.flatten() for matrix, _ in pieces])
        return DepthwiseTaps(weights, groups, filtered.edges)

    @staticmethod
    def _taps(operation: nn.Module | None, width: int) -> DepthwiseTaps:
        if operation is None:
            return DepthwiseTaps(torch.empty(0), TapGroups((), (), ()))
        return operation.taps(width)  # type: ignore[operator]


def _unit(width: int) -> TapGroups:
    """Channels that pass unchanged."""
    return TapGroups((width,), (1,), (0,))


def _sliced(taps: DepthwiseTaps, start: int, stop: int) -> Iterator[tuple[Tensor, tuple[int, ...]]]:
    """The weights (C_m, K_m) and offsets of the groups within a range of channels."""
    for group in taps.groups.split():
        first, last = max(start, group.channels.start), min(stop, group.channels.stop)
        if first < last:
            rows = slice(first - group.channels.start, last - group.channels.start)
            yield group.matrix(taps.weights)[rows], group.offsets


class KeyValueWrapper(TemporalWrapper):
    """A layer of keys and values with a temporal operation after it, of tokens in their form.

    In state dictionaries the operations are beside the layer's weights, as
    `attn.qkv.temporal.key.weights.0`.

    Args:
        temporal: the operation.
        layer: gives tokens of B * T pictures.
        num_frames: T.
        projection: their channels and form.
    """

    def __init__(
        self, temporal: KeyValueOperation, layer: nn.Module, num_frames: int, projection: Projection
    ) -> None:
        channels = projection.channels
        width = (channels.queries + channels.keys + channels.values) * channels.heads
        super().__init__(temporal, layer, num_frames, width)
        self.layout: TokenLayout = projection.layout

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        tokens, layout = self.module(*args, **kwargs), self.layout
        return layout.from_maps(self._mix(layout.as_maps(tokens)), tokens)

    def separated(self, operation: nn.Module) -> nn.Module:
        """The layer and another form of the operation, feature maps (B * T, C, H, W) to same."""
        on_maps = not self.layout.channels_last and self.layout.parts == 1
        form = operation if on_maps else TokenOperation(operation, self.layout)
        return nn.Sequential(self.module, form)


def filter_keys_and_values(
    network: nn.Module, sites: Sequence[AttentionSite], make: OperationFactory, *, num_frames: int
) -> list[str]:
    """Put operations on the keys and values of attentions, in place.

    Args:
        network: takes frames (B * T, C, H, W).
        sites: the attentions.
        make: the operation for a number of channels.
        num_frames: T.

    Returns:
        The names of the layers that are filtered.

    Raises:
        ValueError: an operation that mixes channels.
    """
    projections = [each for site in sites for each in site.projections]
    operations = [KeyValueOperation(each.channels, make) for each in projections]
    for each, temporal in zip(projections, operations, strict=True):
        layer = network.get_submodule(each.module)
        wrapped = KeyValueWrapper(temporal, layer, num_frames, each)
        replace_module(network, each.module, wrapped)
    return [each.module for each in projections]
