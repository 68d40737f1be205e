"""A network of frames rewritten for an engine: folded, each part in the layout that suits it.

Every step of a traced network (`torch.fx`) must see frames (a 3x3 convolution, say), must see clips
(a temporal operation), or works on either. A feature map that one step makes in one layout and
another takes in the other is moved, which costs as much as the map is large, once for all its
users. The cheapest choice of layouts is a minimum cut between the steps that must see frames and
those that must see clips (Ford and Fulkerson, 1956).

    users on the clip side --- no limit ---> [map] --- price of a map ---> its maker, frames side
"""

import operator
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import networkx as nx
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata

from mixtconv.exporting.clip_layout import (
    LAYOUTS,
    POINTWISE,
    ClipLayout,
    FoldedTemporalConv,
    LayoutName,
    TimeKernel,
    separate_ordinary_convolutions,
)
from mixtconv.exporting.token_filter import ON_TOKENS, filter_tokens
from mixtconv.models.folded_filter import FoldedTemporalFilter
from mixtconv.models.graph_fusion import fold
from mixtconv.models.optimize import follow, separate_temporal_operations

_TEMPORAL = (FoldedTemporalFilter, FoldedTemporalConv)

_ELEMENTWISE = {
    operator.add,
    operator.iadd,
    torch.add,
    operator.mul,
    operator.imul,
    torch.mul,
    torch.relu,
    F.relu,
    F.silu,
    F.gelu,
    F.hardswish,
    "add",
    "add_",
    "relu",
    "relu_",
}
"""Functions and methods that compute every value from those at its place."""


def rewrite(network: nn.Module, layout: LayoutName, trial: Tensor) -> nn.Module:
    """The same network in the operations of an engine.

    Args:
        network: frames (B * T, C, H, W) in; it is modified in place.
        layout: of clips, where frames meet.
        trial: its input for one clip, (T, C, H, W), or of a network of clips (1, ...).

    Returns:
        A network for inference of equal results, without operators of this package. If it cannot be
        traced, only its temporal operations are rewritten.
    """
    network = traced(network.eval().requires_grad_(False), filter_tokens)
    form = LAYOUTS[layout]
    operations = {n: m for n, m in network.named_modules() if isinstance(m, _TEMPORAL)}
    if operations and isinstance(network, fx.GraphModule):
        _lay_out(network, form, trial)
        return network
    # Without a graph, each operation is put between a move to the clip's layout and one back.
    for name, module in operations.items():
        there, back = form.to_clip(module.num_frames), form.to_frames(module.num_frames)
        network.set_submodule(name, nn.Sequential(there, _filter(module, form), back))
    return network


def traced(network: nn.Module, rewrite_tokens: Callable[[nn.Module], None]) -> nn.Module:
    """A network as a graph with its temporal operations as modules, batch normalisation folded.

    If it cannot be traced, it is returned itself, with the operations separated in place.

    Args:
        network: it is modified in place.
        rewrite_tokens: writes the temporal operations on tokens, `TokenOperation`s, in others, in
            place; some go together with the layer before them, which a graph has by itself.
    """
    separate_temporal_operations(network)
    separate_ordinary_convolutions(network)
    rewrite_tokens(network)
    try:
        graph = follow(network, leaves=(FoldedTemporalConv, *ON_TOKENS))
    except ValueError:
        return network
    fold(graph)
    return graph


def _filter(module: FoldedTemporalFilter | FoldedTemporalConv, layout: ClipLayout) -> nn.Module:
    """A temporal operation as a convolution in the clip's layout."""
    if isinstance(module, FoldedTemporalFilter):
        return layout.filter(TimeKernel.depthwise(module.taps), module.num_frames)
    return layout.filter(TimeKernel.ordinary(module.layer), module.num_frames)


def _lay_out(graph: fx.GraphModule, layout: ClipLayout, trial: Tensor) -> None:
    """Choose a layout for every step, and insert the moves between layouts."""
    shapes = _shapes(graph, trial)
    num_frames = next(m.num_frames for m in graph.modules() if isinstance(m, _TEMPORAL))
    nodes = [*graph.graph.nodes]
    forms = {node: _clip_form(graph, node, layout, shapes) for node in nodes}
    clips = choose_clip_steps(
        nodes,
        {node: shape.numel() for node, shape in shapes.items()},
        must_be_clips={node for node in nodes if _temporal(graph, node) is not None},
        may_be_clips={node for node, form in forms.items() if form is not None},
        joined={node for node in nodes if _is_elementwise(graph, node)},
    )
    for number, node in enumerate(nodes):
        # A step on clips becomes its form on clips; a function stays as it is.
        form = forms[node] if node in clips else None
        if isinstance(form, nn.Module):
            graph.set_submodule(str(node.target), form)
        # One move serves all users in the other layout.
        users = [user for user in node.users if (user in clips) != (node in clips)]
        if users:
            change = layout.to_frames if node in clips else layout.to_clip
            name = f"change_{number}"
            graph.add_submodule(name, change(num_frames))
            with graph.graph.inserting_after(node):
                moved = graph.graph.call_module(name, (node,))
            for user in users:
                user.replace_input_with(node, moved)
    graph.delete_all_unused_submodules()
    graph.recompile()


def _clip_form(
    graph: fx.GraphModule, node: fx.Node, layout: ClipLayout, shapes: dict[fx.Node, torch.Size]
) -> nn.Module | fx.Node | None:
    """A step's form on clips: a module, the node itself if it is a function, None without one."""
    inputs = node.all_input_nodes
    # Only steps from feature maps (B * T, C, H, W) to such.
    if any(len(shapes.get(value, ())) != 4 for value in (node, *inputs)):
        return None
    temporal = _temporal(graph, node)
    if temporal is not None:
        return _filter(temporal, layout)
    if node.op == "call_module":
        # A module that is called twice could be in two layouts.
        calls = graph.graph.find_nodes(op="call_module", target=node.target)
        module, height = graph.get_submodule(str(node.target)), shapes[inputs[0]][2]
        return layout.rewrite(module, height) if len(calls) == 1 else None
    # A sum that broadcasts would pair other values once frames are stacked.
    is_same_size = len({shapes[value] for value in inputs}) == 1
    return node if _is_elementwise(graph, node) and is_same_size else None


def _is_elementwise(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(graph.get_submodule(str(node.target)), POINTWISE)
    return node.op in ("call_function", "call_method") and node.target in _ELEMENTWISE


def _temporal(
    graph: fx.GraphModule, node: fx.Node
) -> FoldedTemporalFilter | FoldedTemporalConv | None:
    """The temporal operation that a node calls, if any."""
    module = graph.get_submodule(str(node.target)) if node.op == "call_module" else None
    return module if isinstance(module, _TEMPORAL) else None


def _shapes(graph: fx.GraphModule, trial: Tensor) -> dict[fx.Node, torch.Size]:
    """Shapes of the steps' results for one clip, where they are tensors."""
    with torch.inference_mode():
        ShapeProp(graph).propagate(trial)
    results = {node: node.meta.get("tensor_meta") for node in graph.graph.nodes}
    return {node: meta.shape for node, meta in results.items() if isinstance(meta, TensorMetadata)}


def choose_clip_steps(
    nodes: Sequence[fx.Node],
    sizes: Mapping[fx.Node, int],
    *,
    must_be_clips: AbstractSet[fx.Node],
    may_be_clips: AbstractSet[fx.Node],
    joined: AbstractSet[fx.Node] = frozenset(),
) -> set[fx.Node]:
    """The steps that work on clips in the choice of layouts that moves least.

    Args:
        nodes: the steps of a network, in their order.
        sizes: number of values of every step's result.
        must_be_clips: steps that see clips.
        may_be_clips: steps that can; the others see frames.
        joined: steps that engines compute together with the step before them, as an activation with
            its convolution; a move between the two costs twice.
    """
    flow = nx.DiGraph()  # an edge without a capacity is never cut
    flow.add_nodes_from((*nodes, "clips", "frames"))
    for node in nodes:
        if node in must_be_clips:
            flow.add_edge("clips", node)
        elif node not in may_be_clips:
            flow.add_edge(node, "frames")
        # Moving a result costs its price once, in either direction, for any users. Two more
        # vertices see to "once": `to_clips` is on the clip side if any user is, `to_frames` on the
        # frames side if any user is.
        is_joined = len(node.users) == 1 and set(node.users) <= joined
        price = (1 + sizes.get(node, 0)) * (2 if is_joined else 1)
        to_clips, to_frames = (node, "to clips"), (node, "to frames")
        flow.add_edge(to_clips, node, capacity=price)
        flow.add_edge(node, to_frames, capacity=price)
        flow.add_edges_from((user, to_clips) for user in node.users)
        flow.add_edges_from((to_frames, user) for user in node.users)
    _, (clips_side, _) = nx.minimum_cut(flow, "clips", "frames")
    return {node for node in nodes if node in clips_side}
