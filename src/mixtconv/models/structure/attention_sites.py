"""Where a transformer projects its tokens to the keys and values of an attention.

Any module with one of the following layers is an attention, whoever wrote it; the network runs once
to see that the layers are called as modules, and what they give:

    one layer       qkv         channels of queries, keys and values
    one layer       kv          channels of keys and values
    two layers      k_proj, v_proj (or k, v; wk, wv; key, value; qk, v)

Channels of one layer are those of all queries, then of all keys, then of all values; or, in some
attentions, those of one head after the other. What an attention says of itself tells which
(`DIVISIONS`). Tests derive the same from gradients: the attention's result at one place does not
depend on the queries of another, nor on any key where all values are zero.

Some of timm's attentions do not call `qkv` but multiply with its weight themselves, to add biases
of queries and values that are parameters of their own: `give_own_bias` makes them the layer's bias.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mixtconv.models.structure.network_trace import clip_length, find_outputs
from mixtconv.models.structure.token_layout import TokenLayout

TOGETHER = {"qkv": "qkv", "qkvs": "qkv", "qkv_proj": "qkv", "pwise": "qkv", "kv": "kv"}
"""Names of a layer, or a list of layers, of keys and values together, with what it gives."""

PAIRS = (("k_proj", "v_proj"), ("k", "v"), ("wk", "wv"), ("key", "value"), ("qk", "v"))
"""Names of separate layers of keys and of values."""

DIVISIONS: dict[str, Callable[[Any, int], tuple[int, int, int]]] = {
    # ViT-22B: the channels of the MLP come first, and pass as those of queries do
    "in_split": lambda each, width: (sum(each.in_split[:-2]), each.in_split[-2], 1),
    # EfficientViT (MSRA): a layer for each head
    "qkvs": lambda each, width: (each.key_dim, each.key_dim, 1),
    # LeViT and its kin, where values may be wider than keys
    "key_dim": lambda each, width: (each.key_dim, each.key_dim, each.num_heads),
    # HaloNet
    "halo_size": lambda each, width: (0, each.dim_head_qk, each.num_heads),
    # BoTNet
    "dim_out_qk": lambda each, width: (each.dim_out_qk, each.dim_out_qk, 1),
    # LambdaNetworks: all heads of queries have the same keys
    "dim_qk": lambda each, width: (each.num_heads * each.dim_qk, each.dim_qk, 1),
    # SHViT
    "qk_dim": lambda each, width: (each.qk_dim, each.qk_dim, 1),
    # MobileViT v2: a query is one number
    "qkv_proj": lambda each, width: (1, each.embed_dim, 1),
    # LowFormer
    "pwise": lambda each, width: (each.head_dim, each.head_dim, each.num_heads),
    # EfficientViT (MIT)
    "aggreg": lambda each, width: (each.dim, each.dim, width // (3 * each.dim)),
}
"""What only attentions of one kind have -> the channels of queries and of keys of a head, and the
number of heads whose channels follow each other, for a layer of a width; the rest are values."""

LEAST_WIDTH = 8
"""Channels of keys or values below which a layer is left alone: it weighs places, not features."""


@dataclass(frozen=True)
class ProjectedChannels:
    """The channels of a layer: those of a head are queries, keys and values in this order."""

    queries: int
    """Of a head, as the others; 0 if the layer gives none."""
    keys: int
    values: int
    heads: int = 1
    """Heads whose channels follow each other; 1 where those of all heads are together."""


@dataclass(frozen=True)
class Projection:
    """A layer that makes keys, values or both of the tokens of a picture."""

    module: str
    """Dotted name of the layer inside the network."""
    channels: ProjectedChannels
    layout: TokenLayout
    """The form of its result."""


@dataclass(frozen=True)
class AttentionSite:
    """An attention whose keys and values can be filtered over time."""

    attention: str
    """Dotted name of the attention."""
    projections: tuple[Projection, ...]
    block: str
    """Dotted name of the module that holds the attention."""
    stage: str
    """Dotted name of the container that holds the block."""


def find_attention_sites(
    network: nn.Module, *, image_size: int | None = None, in_channels: int | None = None
) -> list[AttentionSite]:
    """The attentions of a network with layers of keys and values, in the order of its modules.

    The network runs on an image of zeros, in evaluation mode.

    Args:
        network: takes images (N, C, H, W).
        image_size, in_channels: as in `insert_temporal`.

    >>> import timm
    >>> site, *others = find_attention_sites(timm.create_model("test_vit"))
    >>> site.projections[0].module, site.projections[0].channels
    ('blocks.0.attn.qkv', ProjectedChannels(queries=64, keys=64, values=64, heads=1))
    >>> len(others), site.block, site.stage
    (5, 'blocks.0', 'blocks')
    """
    num_images = clip_length(network)
    shapes = find_outputs(network, image_size=image_size, in_channels=in_channels, on_shapes=True)
    sites = []
    for name, attention in network.named_modules():
        projections = []
        for layer, given in find_layers(attention):
            shape = shapes.get(f"{name}.{layer}")
            if shape is None or len(shape) < 3:
                continue
            last = not _is_convolution(attention.get_submodule(layer))
            channels = _channels(attention, given, shape[-1] if last else shape[1])
            if channels is not None:
                layout = TokenLayout(shape[0] // num_images, channels_last=last)
                projections.append(Projection(f"{name}.{layer}", channels, layout))
        if projections:
            block = name.rpartition(".")[0]
            stage = block.rpartition(".")[0]
            sites.append(AttentionSite(name, tuple(projections), block, stage))
    return sites


def has_attention(network: nn.Module) -> bool:
    """Whether a network has a module with layers of keys and values, which it may or may not call.

    >>> has_attention(nn.TransformerEncoderLayer(8, 1)), has_attention(nn.Conv2d(3, 8, 3))
    (False, False)
    """
    return any(any(find_layers(module)) for module in network.modules())


def find_layers(attention: nn.Module) -> Iterator[tuple[str, str]]:
    """The layers of keys and values by name, each with what it gives: of q, k and v."""
    children = dict(attention.named_children())
    together = next((name for name in TOGETHER if name in children), None)
    if hasattr(attention, "in_split"):
        yield "in_proj", "qkv"
    elif together is not None:
        layer = children[together]
        inside = [f"{together}.{name}" for name in dict(layer.named_children())]
        for name in inside if isinstance(layer, nn.ModuleList) else [together]:
            yield name, TOGETHER[together]
    else:
        for key, value in PAIRS:
            if key in children and value in children:
                yield key, "qk" if key == "qk" else "k"
                yield value, "v"


def _channels(attention: nn.Module, given: str, width: int) -> ProjectedChannels | None:
    """How the channels of a layer are divided; None if they cannot be."""
    kind = next((fact for fact in DIVISIONS if hasattr(attention, fact)), None)
    if kind is not None and "kv" in given:
        queries, keys, heads = DIVISIONS[kind](attention, width)
        queries = queries if "q" in given else 0
        values, rest = divmod(width - (queries + keys) * heads, heads)
    else:
        if given == "qkv" and width == 2 * getattr(
            attention.get_submodule("qkv"), "in_features", 0
        ):
            given = "kv"  # GCViT, whose queries are those of the whole picture
        head_first = getattr(attention, "head_first", False)
        heads = int(attention.num_heads) if head_first else 1  # type: ignore[arg-type]
        each, rest = divmod(width, len(given) * heads)
        queries, keys, values = (each if part in given else 0 for part in "qkv")
    filtered = [part * heads for part in (keys, values) if part]
    if rest or values < 0 or not filtered or min(filtered) < LEAST_WIDTH:
        return None
    return ProjectedChannels(queries, keys, values, heads)


def _is_convolution(layer: nn.Module) -> bool:
    """Whether a layer gives feature maps: the first that multiplies in it is a convolution."""
    kinds = (nn.Linear, nn.Conv2d)
    first = next((module for module in layer.modules() if isinstance(module, kinds)), None)
    return isinstance(first, nn.Conv2d)


@torch.no_grad()
def give_own_bias(network: nn.Module) -> None:
    """Make biases of queries, keys and values that are parameters of an attention one of its layer.

    The attention then calls the layer; the result is the same. The keys' bias, which is zero, can
    be learned then, but adds the same to all products with a query, which has no effect.
    """
    for attention in network.modules():
        biases = [getattr(attention, f"{part}_bias", None) for part in "qkv"]
        layer = getattr(attention, "qkv", None)
        if isinstance(layer, nn.Linear) and layer.bias is None and None not in biases:
            layer.bias = nn.Parameter(torch.cat(biases))
            for part in "qkv":
                setattr(attention, f"{part}_bias", None)
