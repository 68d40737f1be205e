"""The steps that make a traced network (`torch.fx`) faster at inference, see `optimize.py`.

Modules without effect at inference are removed first. Then each step looks for calls of modules
whose result has one user, and replaces the pair:

    conv -> batch norm -> x          conv' -> x
    temporal -> conv                 temporal' -> conv'     (groups of kernel size 1 folded)
    conv -> add(other) -> relu       fused conv(other)
    conv -> relu                     fused conv
"""

import operator
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch
from timm.layers import BatchNormAct2d
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mixtconv.models.folded_filter import FoldedTemporalFilter, Scratch
from mixtconv.models.fused_conv import FusedConv2d, can_fuse

Kind = TypeVar("Kind", bound=nn.Module)


def fold(network: fx.GraphModule, *, fuse: bool = False) -> None:
    """Fold batch norms and single taps into the weights of convolutions, in place.

    Args:
        network: the traced network.
        fuse: take the other steps too.
    """
    for step in (*_FOLDING, *_FUSING) if fuse else _FOLDING:
        step(network)
        network.graph.eliminate_dead_code()
    network.delete_all_unused_submodules()
    network.recompile()


def _drop_identities(network: fx.GraphModule) -> None:
    """Remove modules without effect in evaluation mode."""
    for node in list(network.graph.nodes):
        if node.op == "call_module":
            module = network.get_submodule(str(node.target))
            if isinstance(module, nn.Identity | nn.Dropout | nn.Dropout2d):
                node.replace_all_uses_with(node.all_input_nodes[0])


def _fold_batch_norms(network: fx.GraphModule) -> None:
    """Fold a norm into the convolution before it, if nothing else reads the convolution."""
    for node, norm in _calls(network, nn.modules.batchnorm._BatchNorm):
        conv_node = node.all_input_nodes[0]
        conv = _module_called_once(network, conv_node)
        if norm.running_mean is None or list(conv_node.users) != [node]:
            continue
        if type(conv) is not nn.Conv2d and type(conv) is not nn.Conv3d:
            continue
        network.set_submodule(str(conv_node.target), fuse_conv_bn_eval(conv, norm))
        if isinstance(norm, BatchNormAct2d):  # timm's norm with an activation, which stays
            rest = (
                norm.act
                if isinstance(norm.drop, nn.Identity)
                else nn.Sequential(norm.drop, norm.act)
            )
            network.set_submodule(str(node.target), rest)
        else:
            node.replace_all_uses_with(conv_node)


def _fold_single_taps(network: fx.GraphModule) -> None:
    """Fold groups of kernel size 1, a factor per channel, into the convolution after them."""
    for node, temporal in _calls(network, FoldedTemporalFilter):
        conv = _module_called_once(network, _only_user(node))
        if type(conv) is not nn.Conv2d or conv.groups != 1:
            continue
        weights = temporal.get_buffer("weights")
        for group in temporal.groups.split():
            if group.offsets == (0,):
                single = group.matrix(weights)  # (C_m, 1), a view
                with torch.no_grad():
                    conv.weight[:, group.channels] *= single[:, :, None]
                    single.fill_(1)


def _fuse_residual_sums(network: fx.GraphModule) -> None:
    """Make the sum of a residual block and its activation part of the branch's last convolution."""
    for node in list(network.graph.nodes):
        operands = _summands(node)
        for conv_node, other in (operands, operands[::-1]) if operands else ():
            conv = _module_called_once(network, conv_node)
            if conv is None or not can_fuse(conv) or list(conv_node.users) != [node]:
                continue
            assert isinstance(conv, nn.Conv2d)
            # conv -> add -> activation becomes one call, in the place of the addition.
            last, activation = _activation_after(network, node, conv, after_sum=True)
            network.set_submodule(str(conv_node.target), FusedConv2d(conv, activation))
            with network.graph.inserting_before(node):
                fused = network.graph.call_module(str(conv_node.target), (conv_node.args[0], other))
            last.replace_all_uses_with(fused)
            for unused in dict.fromkeys((last, node, conv_node)):
                network.graph.erase_node(unused)
            break


def _fuse_activations(network: fx.GraphModule) -> None:
    """Make the activation after a convolution part of it, and all other convolutions fused ones."""
    for node, conv in _calls(network, nn.Conv2d):
        if can_fuse(conv):
            last, activation = _activation_after(network, node, conv)
            network.set_submodule(str(node.target), FusedConv2d(conv, activation))
            if last is not node:
                last.replace_all_uses_with(node)


def _overwrite_summands(network: fx.GraphModule) -> None:
    """Let a fused sum overwrite the other summand where nothing reads that afterwards.

    Overwriting saves a new feature map, whose memory would have to be fetched first.
    """
    order = {node: number for number, node in enumerate(network.graph.nodes)}
    allocates = (nn.Conv2d, FusedConv2d, FoldedTemporalFilter)  # their results are no views
    for node, fused in _calls(network, FusedConv2d):
        other = node.args[1] if len(node.args) > 1 else None
        if not isinstance(other, fx.Node):
            continue
        # 1. The sum is the last to read the summand.
        is_last = all(order[user] <= order[node] for user in other.users)
        # 2. The summand has memory of its own: it is no view, and not the input of the network.
        owns_memory = isinstance(_module_called_once(network, other), (*allocates, nn.MaxPool2d))
        # 3. No other reader returned a view of it, through which the overwritten values would show.
        readers = [user for user in other.users if user is not node]
        has_no_views = all(
            isinstance(_module_called_once(network, reader), allocates) for reader in readers
        )
        # 4. The convolution does not read it as its input as well.
        is_not_input = node.args[0] is not other
        fused.overwrites = is_last and owns_memory and has_no_views and is_not_input


def _share_scratch(network: fx.GraphModule) -> None:
    """Share a buffer among temporal operations whose reader runs before the next one writes."""
    scratch = Scratch()
    calls = [*_calls(network, FoldedTemporalFilter)]
    order = {node: number for number, node in enumerate(network.graph.nodes)}
    writes = [order[node] for node, _ in calls]
    for node, temporal in calls:
        reader = _only_user(node)
        if reader is None or not isinstance(
            _module_called_once(network, reader), (nn.Conv2d, FusedConv2d)
        ):
            continue
        if not any(order[node] < write < order[reader] for write in writes):
            temporal.scratch = scratch


_FOLDING: tuple[Callable[[fx.GraphModule], None], ...] = (
    _drop_identities,
    _fold_batch_norms,
    _fold_single_taps,
)
_FUSING: tuple[Callable[[fx.GraphModule], None], ...] = (
    _fuse_residual_sums,
    _fuse_activations,
    _overwrite_summands,
    _share_scratch,
)


def _calls(network: fx.GraphModule, kind: type[Kind]) -> Iterator[tuple[fx.Node, Kind]]:
    """Calls of modules of a kind that are called once, with the module."""
    for node in list(network.graph.nodes):
        module = _module_called_once(network, node)
        if isinstance(module, kind):
            yield node, module


def _module_called_once(network: fx.GraphModule, node: fx.Node | None) -> nn.Module | None:
    """The module that a node calls, unless another node calls it as well."""
    if node is None or node.op != "call_module":
        return None
    calls = network.graph.find_nodes(op="call_module", target=node.target)
    return network.get_submodule(str(node.target)) if len(calls) == 1 else None


def _only_user(node: fx.Node | None) -> fx.Node | None:
    return next(iter(node.users)) if node is not None and len(node.users) == 1 else None


def _activation_after(
    network: fx.GraphModule, node: fx.Node, conv: nn.Conv2d, *, after_sum: bool = False
) -> tuple[fx.Node, nn.Module | None]:
    """The activation that is the only reader of a node, and its node; else the node and None."""
    following = _only_user(node)
    activation = _module_called_once(network, following)
    if following is None or activation is None:
        return node, None
    if not can_fuse(conv, activation, after_sum=after_sum):
        return node, None
    return following, activation


def _summands(node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
    """The two feature maps that a node adds; None for other nodes."""
    functions = (operator.add, operator.iadd, torch.add)
    if not (
        (node.op == "call_function" and node.target in functions)
        or (node.op == "call_method" and node.target in ("add", "add_"))
    ):
        return None
    nodes = [operand for operand in node.args if isinstance(operand, fx.Node)]
    if len(nodes) != 2 or len(node.args) != 2 or node.kwargs or nodes[0] is nodes[1]:
        return None
    return nodes[0], nodes[1]
