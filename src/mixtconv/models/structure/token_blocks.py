"""The blocks of a transformer, and its residual stream: where adapters are put.

A block is the module that holds an attention and sums, each of the stream x of tokens and of what a
branch makes of it:

    x ----+----------------- sum ----+------------- sum ---- x
           \\- norm - attention -/     \\- norm - MLP -/
     ^ before the attention    ^ before the MLP

Blocks are found by what they hold (`attention_sites.py`) and called on. An adapter on the stream
changes what the branch takes and what is added to it, so no module of the block could be wrapped to
hold it: `adapt_stream` traces the block with `torch.fx`, its modules whole, and puts the adapter
between. A block that cannot be traced takes none.
"""

import operator
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from mixtconv._names import first_line
from mixtconv.models.structure.attention_sites import AttentionSite, find_attention_sites
from mixtconv.models.structure.network_trace import clip_length, run_once
from mixtconv.models.structure.token_layout import TokenLayout

Branch = Literal["attention", "mlp"]

_SUMS = (operator.add, operator.iadd, torch.add)


@dataclass(frozen=True)
class TokenBlock:
    """A block of a transformer over tokens, as it is called."""

    name: str
    """Dotted name of the block inside the network."""
    stage: str
    """Dotted name of the container that holds it."""
    attention: str
    """Name of the attention inside the block."""
    mlp: str | None
    """Name of the block's child that holds the linear layers of the MLP, if there is one."""
    channels: int
    """D of the tokens that it takes, (N * P, ..., D)."""
    layout: TokenLayout
    """Their form."""
    attention_layout: TokenLayout
    """Their form where the attention takes them."""
    attention_shape: tuple[int, ...]
    """Sizes there between the batch and D: tokens of a picture, or of a window."""
    num_prefix: int
    """Class and register tokens, which come before those of the places."""


def find_token_blocks(
    network: nn.Module, *, image_size: int | None = None, in_channels: int | None = None
) -> list[TokenBlock]:
    """The blocks over tokens of a transformer, in the order in which they run.

    The network runs on an image of zeros, in evaluation mode.

    Args:
        network: takes images (N, C, H, W).
        image_size, in_channels: as in `insert_temporal`.

    >>> import timm
    >>> block, *others = find_token_blocks(timm.create_model("test_vit"))
    >>> block.name, block.attention, block.mlp, block.channels, block.num_prefix
    ('blocks.0', 'attn', 'mlp', 64, 1)
    """
    sites = find_attention_sites(network, image_size=image_size, in_channels=in_channels)
    by_block: dict[str, AttentionSite] = {}
    for site in sites:
        by_block.setdefault(site.block, site)
    attentions = [site.attention for site in by_block.values()]
    modules = dict(network.named_modules())
    names = [name for name in (*by_block, *attentions, "patch_embed") if name in modules]
    calls = _calls(network, [name for name in names if name], image_size, in_channels)
    patches = calls.pop("patch_embed", None)
    num_values = None if patches is None else patches.num_values
    num_images = clip_length(network)
    blocks, num_prefix = [], 0
    for name, call in calls.items():
        if name not in by_block or by_block[name].attention not in calls:
            continue
        site = by_block[name]
        layer = network.get_submodule(site.projections[0].module)
        channels = getattr(layer, "in_features", None)
        # Tokens with their channels last, as many in the result as in the stream.
        if call.shape[-1] != channels or call.result != call.shape:
            continue
        parts = call.shape[0] // num_images
        num_prefix = _num_prefix(network, call.shape, num_values, before=num_prefix)
        attention = site.attention.removeprefix(f"{name}.")
        blocks.append(
            TokenBlock(
                name,
                site.stage,
                attention,
                _mlp(network.get_submodule(name), attention),
                channels,
                TokenLayout(parts),
                site.projections[0].layout,
                calls[site.attention].shape[1:-1],
                num_prefix,
            )
        )
    return blocks


@dataclass(frozen=True)
class _Call:
    """What a module was called with, for one image."""

    shape: tuple[int, ...]
    result: tuple[int, ...]
    num_values: int
    """Values of the result, of one image."""


def _calls(
    network: nn.Module, names: list[str], image_size: int | None, in_channels: int | None
) -> dict[str, _Call]:
    """The first calls of modules, in order, those whose first argument is tokens or an image."""
    calls: dict[str, _Call] = {}
    num_images = clip_length(network)

    def keep(name: str, module: nn.Module, args: tuple[Any, ...], result: Any) -> None:
        if name in calls or not args or not isinstance(args[0], Tensor):
            return
        first = result[0] if isinstance(result, tuple) else result  # MViT adds the map's size
        given = first if isinstance(first, Tensor) else torch.empty(0)
        num_values = given.numel() // num_images
        calls[name] = _Call(tuple(args[0].shape), tuple(given.shape), num_values)

    def begin(images: Tensor) -> None:
        calls.clear()

    handles = [
        network.get_submodule(name).register_forward_hook(partial(keep, name)) for name in names
    ]
    try:
        run_once(network, image_size, in_channels, start=begin, on_shapes=True)
    finally:
        for handle in handles:
            handle.remove()
    return calls


def _mlp(block: nn.Module, attention: str) -> str | None:
    """The last child with two linear layers or more that is not the attention."""
    found = None
    for name, child in block.named_children():
        linear = [module for module in child.modules() if isinstance(module, nn.Linear)]
        if name != attention.partition(".")[0] and len(linear) >= 2:
            found = name
    return found


def _num_prefix(
    network: nn.Module, shape: tuple[int, ...], num_values: int | None, *, before: int
) -> int:
    """Class and register tokens in a stream, by its length against that of the patches.

    What a network declares is not taken on trust: some add their class token behind the blocks.

    Args:
        network: the transformer.
        shape: of the tokens that a block takes.
        num_values: of the patches of an image; None if they are not known.
        before: class and register tokens in the block before.
    """
    owner = getattr(network, "embeds", network)  # NaFlexVit counts registers there alone
    declared = getattr(owner, "num_prefix_tokens", None)
    if declared is None:  # PiT
        declared = 1 if hasattr(network, "cls_token") else 0
    if len(shape) != 3 or shape[1] <= declared:
        return 0
    if num_values is None:
        return declared
    by_length = {num_values: 0, num_values + declared * shape[2]: declared}
    return by_length.get(shape[1] * shape[2], before)  # later stages have fewer places


class _Children(fx.Tracer):
    """Traces a block with all of its modules whole."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return True


def adapt_stream(
    block: nn.Module, about: TokenBlock, adapters: Mapping[Branch, nn.Module]
) -> nn.Module:
    """The block with adapters on its residual stream, each before a branch.

    Args:
        block: its modules are part of the result.
        about: facts about it.
        adapters: tokens to tokens, by the branch that they come before.

    Raises:
        ValueError: the block cannot be traced, or has no sum of its stream and such a branch.
    """
    try:
        graph = _Children().trace(block)
    except (fx.proxy.TraceError, TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise ValueError(first_line(error)) from error
    streams = _streams(graph, about)
    missing = [branch for branch in adapters if branch not in streams]
    if missing:
        raise ValueError(f"it has no sum of its tokens and of a branch with its {missing[0]}")
    adapted = fx.GraphModule(block, graph, class_name=type(block).__name__)
    for branch, adapter in adapters.items():
        stream, name = streams[branch], f"adapter_{branch}"
        adapted.add_submodule(name, adapter)
        with graph.inserting_after(stream):
            node = graph.call_module(name, (stream,))
        for user in list(stream.users):
            if user is not node:
                user.replace_input_with(stream, node)
    graph.lint()
    adapted.recompile()
    adapted.training = block.training
    return adapted


def _streams(graph: fx.Graph, about: TokenBlock) -> dict[Branch, fx.Node]:
    """By branch the node of the residual stream that it takes and is added to."""
    streams: dict[Branch, fx.Node] = {}
    for node in graph.nodes:
        if node.op != "call_function" or node.target not in _SUMS or len(node.args) != 2:
            continue
        pair = [arg for arg in node.args if isinstance(arg, fx.Node)]
        for stream, branch in (pair, pair[::-1]) if len(pair) == 2 else ():
            modules = _modules_between(stream, branch)
            if about.attention in modules:
                streams["attention"] = stream
            elif about.mlp in modules:
                streams["mlp"] = stream
    return streams


def _modules_between(start: fx.Node, end: fx.Node) -> set[str]:
    """Names of the modules on the ways from a node to another; empty if there is none."""
    nodes = list(start.graph.nodes)  # in the order of execution
    after, before = {start}, {end}
    for node in nodes:
        if after.intersection(node.all_input_nodes):
            after.add(node)
    for node in reversed(nodes):
        if before.intersection(node.users):
            before.add(node)
    between = after & before - {start}
    return {str(node.target) for node in between if node.op == "call_module"}
