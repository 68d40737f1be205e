"""The residual branches of a 2D network, found by running it, as places for a temporal operation.

A residual branch is recognized by what the network computes, not by its name. One image is passed
through, the layers that every tensor came from are recorded, and where two tensors of one shape
(N, C, H, W) are added, the layers that only one of them came from are a branch:

    x ----------- shortcut -----------+          layers of the sum's left side:   {..., a, b, c}
     \\-- conv a -- conv b -- conv c --+-- sum    layers of its right side:        {...}
          ^ head    ^ inner                      the branch:                      {a, b, c}

So any network of residual branches qualifies, whoever wrote it. Positions after "TSM" (arXiv
1811.08383, residual shift) and "MixTConv" (arXiv 2001.06769): `head` is the start of the branch,
the shortcut untouched; `inner` is before the branch's first spatial convolution that follows
another one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import nn

from mixtconv._types import Position
from mixtconv.models.structure.network_trace import (
    Branch,
    Layer,
    NetworkTrace,
    layers_inside,
    trace_network,
)
from mixtconv.models.structure.token_layout import TokenLayout


@dataclass(frozen=True)
class TemporalSite:
    """A module before which a temporal operation can be inserted."""

    module: str
    """Dotted name of the module inside the network."""
    channels: int
    """Channels C of the module's input (N, C, H, W)."""
    block: str
    """Dotted name of the module that adds the branch to its shortcut."""
    stage: str
    """Dotted name of the container that holds the residual block; or the size of its maps."""
    layers: frozenset[int] = frozenset()
    """The layers of the branch or block, as indices into those of the trace."""
    layout: TokenLayout | None = None
    """The form of tokens that the module takes; None if it takes feature maps."""


def find_residual_sites(
    network: nn.Module,
    *,
    position: Position = "head",
    image_size: int | None = None,
    in_channels: int | None = None,
) -> list[TemporalSite]:
    """Places for a temporal operation in every residual branch of a 2D network.

    The network runs on an image of zeros, in evaluation mode, and is not changed. One without
    residual branches may declare its places in an attribute `temporal_stages`, a dictionary of
    stages to modules; they count as `head`.

    Args:
        network: takes images (N, 3, H, W).
        position: `head` or `inner`; branches without that position are left out.
        image_size: height and width of the image; by default what the network declares (timm's
            `default_cfg`), else 224.
        in_channels: channels of the image; by default as `image_size`, else 3.

    Returns:
        The places in the order of execution; empty if the network has no residual branches.

    >>> import timm
    >>> sites = find_residual_sites(timm.create_model("resnet18"))
    >>> len(sites), sites[0].module, sites[0].channels, sites[0].stage
    (8, 'layer1.0.conv1', 64, 'layer1')
    """
    return residual_sites(trace_network(network, image_size, in_channels), position)


def residual_sites(trace: NetworkTrace, position: Position) -> list[TemporalSite]:
    """As `find_residual_sites`, of a network that ran already; none for other positions."""
    if position not in ("head", "inner"):
        return []
    declared = getattr(trace.network, "temporal_stages", None)
    if declared is not None:
        places = [(name, stage) for stage, names in declared.items() for name in names]
        return [
            TemporalSite(name, trace.inputs[name][1], block=name, stage=stage)
            for name, stage in places
            if position == "head"
        ]
    sites = []
    for branch in trace.branches:
        # Only outermost branches: Res2Net adds inside its branches.
        if any(set(branch.layers) < set(other.layers) for other in trace.branches):
            continue
        module = _place(trace.layers, branch, position)
        if module in trace.inputs:
            stage, layers = branch.block.rpartition(".")[0], frozenset(branch.layers)
            channels = trace.inputs[module][1]
            sites.append(TemporalSite(module, channels, branch.block, stage, layers))
    return sites


def reached_share(trace: NetworkTrace, sites: Iterable[TemporalSite]) -> float:
    """Which part of a network's layers is in the branches or blocks of places, 0 to 1."""
    reached = frozenset[int]().union(*(site.layers for site in sites))
    return len(reached) / max(1, len(trace.layers))


def find_named_sites(
    network: nn.Module,
    names: Sequence[str],
    *,
    image_size: int | None = None,
    in_channels: int | None = None,
) -> list[TemporalSite]:
    """Places before the named modules, with the channels of the modules' inputs.

    Raises:
        ValueError: no names or one twice, a name that the network does not have, a module that does
            not run, or one whose input is not (N, C, H, W).
    """
    if isinstance(names, str) or not names or len(set(names)) < len(names):
        raise ValueError(f"module names are {names!r}; give a list of them, each one once")
    modules = dict(network.named_modules())
    for name in names:
        if not name or name not in modules:
            near = [known for known in modules if known.rpartition(".")[2] == name][:3]
            example = near or [known for known in modules if known][:5]
            raise ValueError(
                f"the network has no module {name!r}; names look like {', '.join(example)} "
                "(see network.named_modules())"
            )
    inputs = trace_network(network, image_size, in_channels).inputs
    for name in names:
        if name not in inputs:
            raise ValueError(
                f"module {name!r} does not take a feature map (N, C, H, W) when the network runs, "
                "so no temporal operation can go before it; name a convolution"
            )
    return [TemporalSite(name, inputs[name][1], name, name.rpartition(".")[0]) for name in names]


def _place(layers: list[Layer], branch: Branch, position: Position) -> str | None:
    """Name of the module that starts at the position, or None where the branch has no such place.

    Layers that start there side by side (a convolution split by channels) must be in one module.
    """
    in_branch = set(branch.layers)
    # 1. The layers that start at the position. Which ones follow another layer of the branch?
    follows = {index: bool(layers[index].sources & in_branch) for index in branch.layers}
    if position == "head":
        starts = [index for index in branch.layers if not follows[index]]
    else:
        # Spatial convolutions after the first layer, of which those that follow no other such one.
        spatial = [index for index in branch.layers if follows[index] and layers[index].is_spatial]
        starts = [index for index in spatial if not layers[index].sources & set(spatial)]
    # 2. Branches of another kind have no place: those that begin with a linear layer,
    # and those that begin in another block than the one that adds them (networks that fuse scales).
    if not starts or not layers[starts[0]].is_conv:
        return None
    if branch.block not in layers[starts[0]].parent_calls:
        return None
    # 3. The largest module that begins there must hold all of them: it gets the operation.
    module = outermost_module(layers, branch, starts[0])
    inside = set(layers_inside(layers, module))
    return module if inside.issuperset(starts) else None


def outermost_module(layers: list[Layer], branch: Branch, start: int) -> str:
    """The largest module inside the block that begins with layer `start` of the branch.

    A convolution may be wrapped with its normalisation, or split by channels into several; the
    operation belongs before all of that.
    """
    first = layers[start]
    largest = first.name
    depth = first.parent_calls.index(branch.block)
    for ancestor in reversed(first.parent_calls[depth + 1 :]):  # from the inside out
        inside = layers_inside(layers, ancestor)
        if inside[0] != start or not set(inside) <= set(branch.layers):
            break
        largest = ancestor
    return largest
