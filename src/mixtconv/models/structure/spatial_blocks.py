"""The blocks of any 2D network, by its spatial convolutions, as places for a temporal operation.

For networks without residual branches: VGG, Inception, DenseNet, LCNet, MobileOne and others. As in
`residual_branches.py`, blocks are recognized by what the network computes when it runs once:

    block   the innermost module with several layers, other than a plain list of modules and than
            one that holds blocks; where no module is one (VGG), each convolution by itself
    start   the block's first depthwise convolutions, or if it has none its first spatial ones

The operation goes before the start: before the depthwise convolution of LCNet's blocks, as the
shift of PP-TSMv2 (PaddleVideo), or before the 3x3 of DenseNet's. A block gets one operation, also
if it has branches: where several convolutions start side by side (Inception), or other layers
beside them see the block's input (MobileOne, RepVGG), the operation is at the block's input. The
places of our BN-Inception are those too, and branches that are summed can still be folded into one
convolution. Only a shortcut stays untouched: in a residual block the operation is before each of
the convolutions that start.

Without a place are a stem whose start sees the picture itself, and convolutions that are linear
layers: of patches that do not overlap, or of the whole map; nor convolutions of parts of a frame as
if they were frames, such as the heads of an attention.

A stage is the run of blocks with maps of one size; Inception, for one, has all of its blocks in the
same container.
"""

from torch import nn

from mixtconv.models.structure.network_trace import Branch, Layer, NetworkTrace, layers_inside
from mixtconv.models.structure.residual_branches import TemporalSite, outermost_module

_PLAIN_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


def spatial_sites(trace: NetworkTrace) -> list[TemporalSite]:
    """Places before the spatial convolutions of every block, in the order of execution.

    Args:
        trace: of the network.

    >>> import timm
    >>> from mixtconv.models.structure.network_trace import trace_network
    >>> sites = spatial_sites(trace_network(timm.create_model("lcnet_035"), 64, 3))
    >>> len(sites), sites[0].module, sites[0].channels, sites[0].stage
    (13, 'blocks.0.0.conv_dw', 8, '32 x 32')
    """
    blocks: dict[str, list[int]] = {}
    lone: dict[str, list[int]] = {}
    for index, layer in enumerate(trace.layers):
        if not _is_over_neighbours(layer) or trace.inputs[layer.name][0] != trace.num_images:
            continue
        block = _innermost_block(trace, layer)
        if block is None or _holds_blocks(trace, block):
            lone[layer.name] = [index]
        else:
            blocks.setdefault(block, []).append(index)
    return [
        site
        for block, spatial in (blocks or lone).items()
        for site in _sites_of_block(trace, block, spatial)
    ]


def _is_over_neighbours(layer: Layer) -> bool:
    """Whether it is a spatial convolution, and no linear layer of patches or of the whole map."""
    conv = layer.module
    if not isinstance(conv, nn.Conv2d) or not layer.is_spatial:
        return False
    if layer.result_size == (1, 1) and conv.kernel_size == layer.map_size:
        return False
    return any(step < size for step, size in zip(conv.stride, conv.kernel_size, strict=True))


def _innermost_block(trace: NetworkTrace, layer: Layer) -> str | None:
    for name in reversed(layer.parent_calls):
        is_plain = type(trace.network.get_submodule(name)) in _PLAIN_LISTS
        if name and not is_plain and len(layers_inside(trace.layers, name)) > 1:
            return name
    return None


def _holds_blocks(trace: NetworkTrace, name: str) -> bool:
    """Whether blocks are inside a module, or modules that add branches: then it is a stage."""
    inner = {branch.block for branch in trace.branches}
    for index in layers_inside(trace.layers, name):
        layer = trace.layers[index]
        if _is_over_neighbours(layer):
            inner.add(_innermost_block(trace, layer) or "")
    return any(block.startswith(f"{name}.") for block in inner)


def _sites_of_block(trace: NetworkTrace, block: str, spatial: list[int]) -> list[TemporalSite]:
    layers = trace.layers
    candidates = [index for index in spatial if layers[index].is_depthwise] or spatial
    starts = [index for index in candidates if not layers[index].sources & set(candidates)]
    if any(not layers[index].sources for index in starts):
        return []  # the stem
    if block == layers[starts[0]].name:
        return [_site(trace, block, block, starts[0], starts)]
    inside = layers_inside(layers, block)
    first = [index for index in inside if not layers[index].sources & set(inside)]
    has_branches = len(starts) > 1 or (starts[0] in first and len(first) > 1)
    if residual := _residual_layers(trace, block):
        starts = [index for index in starts if index in residual] or starts
    elif has_branches and block in trace.takes_one_map:
        return [_site(trace, block, block, starts[0], inside)]
    branch = Branch(block, tuple(inside))
    return [
        _site(trace, outermost_module(layers, branch, index), block, index, inside)
        for index in starts
    ]


def _residual_layers(trace: NetworkTrace, block: str) -> set[int]:
    """Layers of the branches that a block adds to a shortcut.

    Branches of one layer each are none, unless they are added to the block's input as it is.
    """
    found: set[int] = set()
    for branch in trace.branches:
        follows = any(trace.layers[index].sources & set(branch.layers) for index in branch.layers)
        if branch.block == block and (follows or branch.is_beside_input):
            found.update(branch.layers)
    return found


def _site(
    trace: NetworkTrace, module: str, block: str, start: int, inside: list[int]
) -> TemporalSite:
    stage = " x ".join(map(str, trace.layers[start].result_size))
    return TemporalSite(module, trace.inputs[module][1], block, stage, frozenset(inside))
