"""Inserting a temporal operation into a 2D network.

The network still takes frames (B * T, 3, H, W); at every chosen place the operation relates the
frames of a clip. Residual placement after "TSM" (arXiv 1811.08383) and "MixTConv" (arXiv
2001.06769). Different here: the places are found in any network (see `residual_branches.py`), and
the 2D network's weights keep their names, so that pretrained ones load unchanged.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any, TypeVar

from torch import nn

from mixtconv._names import count_of, first_few
from mixtconv._types import Position
from mixtconv.models.folded_filter import FoldedTemporalFilter
from mixtconv.models.spec import Placement
from mixtconv.models.structure.attention_sites import (
    AttentionSite,
    find_attention_sites,
    give_own_bias,
    has_attention,
)
from mixtconv.models.structure.network_trace import NetworkTrace, run_once, trace_network
from mixtconv.models.structure.residual_branches import (
    TemporalSite,
    find_named_sites,
    reached_share,
    residual_sites,
)
from mixtconv.models.structure.spatial_blocks import spatial_sites
from mixtconv.models.structure.token_blocks import TokenBlock, find_token_blocks
from mixtconv.models.wrappers.frame_average import FrameAverage
from mixtconv.models.wrappers.key_value import KeyValueWrapper, filter_keys_and_values
from mixtconv.models.wrappers.non_local import NonLocalFrames
from mixtconv.models.wrappers.temporal_wrapper import TemporalWrapper, TokenWrapper
from mixtconv.models.wrappers.time_attention import TimeAttention
from mixtconv.models.wrappers.wrapping import replace_module
from mixtconv.ops import create_operation

logger = logging.getLogger(__name__)

Operation = str | Callable[..., nn.Module]

_OF_CLIPS = (
    TemporalWrapper,
    FoldedTemporalFilter,
    FrameAverage,
    NonLocalFrames,
    TimeAttention,
)
"""Modules that know the number of frames of a clip."""

Site = TypeVar("Site", TemporalSite, AttentionSite, TokenBlock)

LEAST_SHARE = 0.25
"""Share of a network's layers (convolutions and linear layers) below which most of it is untouched:
those in the residual branches or blocks that have the temporal operation."""


def insert_temporal(
    network: nn.Module,
    operation: Operation = "mixtconv",
    *,
    num_frames: int,
    position: Position = "head",
    stages: Sequence[int] | None = None,
    block_step: int = 1,
    at: Sequence[str] | None = None,
    image_size: int | None = None,
    in_channels: int | None = None,
    **options: Any,
) -> nn.Module:
    """Make a 2D network temporal: put an operation into its residual branches, in place.

    Args:
        network: any network of convolutions that takes images (N, 3, H, W), such as timm's and
            torchvision's; or any other network together with `at`.
        operation: a name (see `mixtconv.ops.OPERATIONS`), or a function that makes the operation,
            (B, T, C, H, W) -> same, for a number of channels.
        num_frames: T, the frames of a clip.
        position: `head`, the start of each residual branch, before its first convolution; `inner`,
            before its first spatial convolution that follows another one (in a bottleneck: after
            the first 1x1). Branches without the place stay 2D, and are logged (level INFO). In a
            transformer the branches begin with the attention and the MLP of each block. Or
            `spatial`, before the depthwise or spatial convolutions of each block (see
            `spatial_blocks.py`), which is also what `head` means in a network where no residual
            branch has a place; or `kv`, the keys and values of every attention (see
            `attention_sites.py`). A warning is logged if most of the network stays untouched.
        stages: which stages get the operation, counted from 0 over the network's containers of
            residual blocks; all by default.
        block_step: blocks of a stage from one with the operation to the next, from the first: 2
            leaves out every second, as the published TSM does in ResNet-101.
        at: dotted names of modules to put the operation before, instead of residual branches;
            `position` then has no effect, and `stages` and `block_step` are refused.
        image_size: height and width of the image that the network is run on to find its residual
            branches; by default what the network declares (timm's `default_cfg`), else 224.
        in_channels: channels of that image; by default what the network declares, else 3.
        options: passed to the named operation, such as `causal=True` or `init="identity"`.

    Returns:
        The same network; it now takes (B * num_frames, 3, H, W).

    Raises:
        ValueError: no residual branch, block or attention with the position, a stage or module
            that does not exist, a network that has temporal operations already, or one that does
            not call a layer of its attentions any more once the operation is there.

    >>> import timm, torch
    >>> network = insert_temporal(timm.create_model("resnet18", num_classes=0), num_frames=8)
    >>> network(torch.zeros(16, 3, 64, 64)).shape
    torch.Size([16, 512])
    """
    _check_num_frames(num_frames)
    chosen = tuple(stages) if stages is not None else None
    placement = Placement(position=position, stages=chosen, block_step=block_step)
    if any(isinstance(module, TemporalWrapper) for module in network.modules()):
        raise ValueError("the network has temporal operations already; start from the 2D network")
    create = partial(create_operation, operation) if isinstance(operation, str) else operation
    make = partial(create, **options)
    if position == "kv" and at is None:
        attentions = choose_sites(_attention_sites(network, image_size, in_channels), placement)
        names = filter_keys_and_values(network, attentions, make, num_frames=num_frames)
        if bypassed := uncalled(network, names, image_size, in_channels):
            for name in names:
                wrapper = network.get_submodule(name)
                assert isinstance(wrapper, KeyValueWrapper)
                network.set_submodule(name, wrapper.module)
            raise bypass_error(network, bypassed)
        logger.info("%s filters keys and values of %s", operation, ", ".join(names))
        return network
    if at is not None:
        if stages is not None or block_step != 1:
            raise ValueError(
                "stages and block_step choose among residual branches, at names modules; give one"
            )
        sites = find_named_sites(network, at, image_size=image_size, in_channels=in_channels)
    else:
        sites = _sites(network, placement, image_size, in_channels)
    # All operations are made before the first module is replaced, so that an error changes nothing.
    operations = [(site, make(site.channels)) for site in sites]
    # Inner modules first: the name of a module inside a wrapper is no longer valid.
    for site, temporal in sorted(operations, key=lambda pair: -pair[0].module.count(".")):
        module = network.get_submodule(site.module)
        of_place = (temporal, module, num_frames, site.channels)
        wrapped = (
            TemporalWrapper(*of_place)
            if site.layout is None
            else TokenWrapper(*of_place, site.layout)
        )
        replace_module(network, site.module, wrapped)
    logger.info("%s goes before %s", operation, ", ".join(site.module for site in sites))
    return network


def set_num_frames(network: nn.Module, num_frames: int) -> None:
    """Set the number T of frames of a clip in every temporal operation of the network.

    Raises:
        ValueError: fewer than 1.
    """
    _check_num_frames(num_frames)
    for module in network.modules():
        if isinstance(module, _OF_CLIPS):
            module.num_frames = num_frames


def choose_sites(sites: Sequence[Site], placement: Placement) -> list[Site]:
    """The places in the stages of a placement, every `block_step`-th of each from the first.

    Args:
        sites: places with the placement's position, in the order of execution.
        placement: `stages` count from 0 in the order of execution.

    Raises:
        ValueError: a stage that the network does not have, or no stage at all.

    >>> sites = [TemporalSite(f"layer1.{i}.conv1", 64, f"layer1.{i}", "layer1") for i in range(3)]
    >>> [site.module for site in choose_sites(sites, Placement(block_step=2))]
    ['layer1.0.conv1', 'layer1.2.conv1']
    """
    names = list(dict.fromkeys(site.stage for site in sites))
    stages = range(len(names)) if placement.stages is None else placement.stages
    unknown = sorted(set(stages) - set(range(len(names))))
    if unknown or not stages:
        raise ValueError(
            f"stages are {list(stages)}; the network's are "
            + ", ".join(f"{index} ({name})" for index, name in enumerate(names))
        )
    by_stage = {name: [site for site in sites if site.stage == name] for name in names}
    chosen = {site for index in stages for site in by_stage[names[index]][:: placement.block_step]}
    return [site for site in sites if site in chosen]


def _attention_sites(
    network: nn.Module, image_size: int | None, in_channels: int | None
) -> list[AttentionSite]:
    give_own_bias(network)
    sites = find_attention_sites(network, image_size=image_size, in_channels=in_channels)
    if not sites:
        raise ValueError(
            f"found no attention in {type(network).__name__} with layers of keys and values (qkv, "
            "kv, or k_proj and v_proj), which position 'kv' needs: use position 'head', which is "
            "that of mstnet, tsm and ks3"
        )
    return sites


def bypass_error(network: nn.Module, names: Sequence[str]) -> ValueError:
    """The error for places that a network goes past."""
    return ValueError(
        f"{type(network).__name__} does not call {first_few(names)} once a temporal operation is "
        "there, but goes past it: make it call its layers as modules, or choose other stages"
    )


def uncalled(
    network: nn.Module, names: Sequence[str], image_size: int | None, in_channels: int | None
) -> list[str]:
    """The modules that do not run when the network does, which a wrapper may cause.

    An attention that multiplies with the weight of its layer itself goes past what is around it.

    Args:
        network: takes frames (B * T, C, H, W).
        names: of the modules.
        image_size, in_channels: as in `insert_temporal`.
    """
    called: set[str] = set()
    handles = [
        network.get_submodule(name).register_forward_hook(
            lambda module, args, result, name=name: called.add(name)
        )
        for name in names
    ]
    try:
        run_once(network, image_size, in_channels, on_shapes=True)
    finally:
        for handle in handles:
            handle.remove()
    return [name for name in names if name not in called]


def _sites(
    network: nn.Module, placement: Placement, image_size: int | None, in_channels: int | None
) -> list[TemporalSite]:
    """The chosen places before modules of feature maps; in a transformer of tokens."""
    trace = trace_network(network, image_size, in_channels)
    is_of_tokens = has_attention(network) and not residual_sites(trace, "head")
    if placement.position == "head" and is_of_tokens:
        blocks = find_token_blocks(network, image_size=image_size, in_channels=in_channels)
        if blocks:
            return [site for block in choose_sites(blocks, placement) for site in _branches(block)]
    return choose_sites(_residual_sites(trace, placement.position), placement)


def _branches(block: TokenBlock) -> Iterator[TemporalSite]:
    """The beginnings of a transformer block's branches, its attention and its MLP."""
    for part, layout in ((block.attention, block.attention_layout), (block.mlp, block.layout)):
        if part is not None:
            name = f"{block.name}.{part}"
            yield TemporalSite(name, block.channels, block.name, block.stage, layout=layout)


def _residual_sites(trace: NetworkTrace, position: Position) -> list[TemporalSite]:
    """The places of a position: in the residual branches, or else in the blocks."""
    branches = residual_sites(trace, "head")
    sites = branches if position == "head" else residual_sites(trace, position)
    if position == "spatial" or not branches:
        blocks = spatial_sites(trace)
        if position == "spatial" or (
            position == "head" and reached_share(trace, blocks) >= LEAST_SHARE
        ):
            sites = blocks
    if sites:
        left_out = {site.block for site in branches} - {site.block for site in sites}
        if position == "inner" and left_out:
            logger.info("no place %r in %s: left 2D", position, ", ".join(sorted(left_out)))
        _say_what_is_untouched(trace, sites)
        return sites
    name = type(trace.network).__name__
    if position == "inner" and (branches or reached_share(trace, blocks) >= LEAST_SHARE):
        raise ValueError(
            f"no residual branch of {name} has a spatial convolution after its first convolution, "
            f"which position {position!r} needs; use position 'head', or name modules with at=[...]"
        )
    raise ValueError(
        f"found no residual branch in {name}: looked for sums of two feature maps (N, C, H, W) of "
        "which one passed more layers than the other, beginning with a convolution, and for blocks "
        "with spatial convolutions; name the modules to put the operation before with "
        "at=['...'] (see network.named_modules()), or in a transformer take a family for its "
        "attention, such as mstvit"
    )


def _say_what_is_untouched(trace: NetworkTrace, sites: Sequence[TemporalSite]) -> None:
    """Warn if the operation is in less than `LEAST_SHARE` of the network's layers.

    Args:
        trace: of the network.
        sites: all places of the position, also those in stages that are not chosen.
    """
    share = reached_share(trace, sites)
    is_declared = not any(site.layers for site in sites)  # by the network itself
    if is_declared or share >= LEAST_SHARE:
        return
    more = reached_share(trace, spatial_sites(trace))
    ways = [f"position 'spatial' reaches {more:.0%}"] if more > share else []
    ways += ["at=[...] takes names of modules"]
    ways += ["its attention takes a family of transformers, such as mstvit"] * trace.sums_tokens
    blocks = list(dict.fromkeys(site.block for site in sites))
    _warn_once(
        f"most of {type(trace.network).__name__} stays a 2D network: the temporal operation is in "
        f"{count_of(len(blocks), 'block')} ({first_few(blocks)}) with {share:.0%} of its layers; "
        + "; ".join(ways)
    )


@cache
def _warn_once(message: str) -> None:
    """Log a warning, the first time: a model is made more than once as its file is read."""
    logger.warning("%s", message)


def _check_num_frames(num_frames: int) -> None:
    if num_frames < 1:
        raise ValueError(f"num_frames is {num_frames}; a clip has at least 1 frame")
