"""The families in transformers: what each puts into a network of tokens.

    adapter, stadapter   adapters with a temporal operation on the residual stream (`adapters.py`)
    zeroi2v              an operation on keys and values, and linear adapters (`linear_adapters.py`)
    aim                  the attentions over time as well, with adapters (`time_attention.py`)

`mstvit`, an operation on keys and values alone, is a position of `insert_temporal`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from mixtconv.models.insertion import bypass_error, choose_sites, insert_temporal, uncalled
from mixtconv.models.spec import ModelSpec, Placement
from mixtconv.models.structure.attention_sites import give_own_bias
from mixtconv.models.structure.token_blocks import TokenBlock, find_token_blocks
from mixtconv.models.wrappers.adapters import Start, insert_adapters
from mixtconv.models.wrappers.frame_average import insert_frame_average
from mixtconv.models.wrappers.linear_adapters import insert_linear_adapters
from mixtconv.models.wrappers.temporal_position import insert_temporal_position
from mixtconv.models.wrappers.time_attention import insert_time_attention
from mixtconv.ops import create_operation


def insert_operation(network: nn.Module, operation: str, spec: ModelSpec) -> None:
    """Put a temporal operation into a 2D network as a spec says, in place."""
    insert_temporal(
        network,
        operation,
        num_frames=spec.num_frames,
        image_size=spec.image_size,
        in_channels=spec.snippet.in_channels,
        **spec.fields_of(Placement),
        **_options(spec),
    )


def _options(spec: ModelSpec) -> dict[str, Any]:
    """The options of an operation; those of users need not know `edges`, whose default is zeros."""
    options = {name: getattr(spec, name) for name in ("causal", "shift_fraction", "edges")}
    return {name: value for name, value in options.items() if (name, value) != ("edges", "zeros")}


def insert_in_tokens(
    network: nn.Module, family: str, operation: str | None, spec: ModelSpec
) -> None:
    """Put what a family consists of into a transformer, in place.

    Args:
        network: takes frames (B * T, C, H, W).
        family: one of `ADAPTERS`, or another one with vectors of frames (`temporal_position`) or
            their average (`average_before_norm`).
        operation: its temporal operation.
        spec: the recognizer.

    Raises:
        ValueError: a network without blocks that can take it, or a causal recognizer that averages
            frames inside the network.
    """
    if spec.causal and spec.average_before_norm:
        raise ValueError(
            "causal looks back only, and average_before_norm takes all frames of a clip: leave out "
            "one of them"
        )
    size, channels = spec.image_size, spec.snippet.in_channels
    give_own_bias(network)
    every = find_token_blocks(network, image_size=size, in_channels=channels)
    if not every:
        raise ValueError(
            f"found no block of tokens with attention in {type(network).__name__}, which "
            f"{spec.name} needs: use a family for any 2D network, such as mstnet"
        )
    blocks = choose_sites(every, spec)
    if family == "zeroi2v" or (family not in ADAPTERS and operation is not None):
        insert_operation(network, str(operation), spec)
    adapt = ADAPTERS.get(family)
    names = adapt(network, blocks, operation, spec) if adapt is not None else []
    if spec.temporal_position:
        first = every[0]
        names.append(
            insert_temporal_position(
                network, first.name, num_frames=spec.num_frames, channels=first.channels
            )
        )
    if spec.average_before_norm:
        names.append(insert_frame_average(network, num_frames=spec.num_frames))
    if bypassed := uncalled(network, names, size, channels):
        raise bypass_error(network, bypassed)


def _stream_adapters(
    network: nn.Module,
    blocks: list[TokenBlock],
    operation: str | None,
    spec: ModelSpec,
    *,
    start: Start = "up",
) -> list[str]:
    return insert_adapters(
        network,
        blocks,
        partial(create_operation, str(operation), **_options(spec)),
        num_frames=spec.num_frames,
        width=spec.adapter_width,
        places=spec.adapter_places,
        start=start,
    )


def _linear_adapters(
    network: nn.Module, blocks: list[TokenBlock], operation: str | None, spec: ModelSpec
) -> list[str]:
    return insert_linear_adapters(network, blocks, width=spec.adapter_width)


def _time_attention(
    network: nn.Module, blocks: list[TokenBlock], operation: str | None, spec: ModelSpec
) -> list[str]:
    return insert_time_attention(
        network,
        blocks,
        num_frames=spec.num_frames,
        width=spec.adapter_width,
        time_adapters=spec.time_adapters,
        causal=spec.causal,
    )


ADAPTERS: dict[str, Callable[..., list[str]]] = {
    "adapter": _stream_adapters,
    "stadapter": partial(_stream_adapters, start="operation"),
    "zeroi2v": _linear_adapters,
    "aim": _time_attention,
}
"""Families with adapters -> what puts them into blocks and names them."""
