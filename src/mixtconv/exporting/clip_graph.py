"""Which part of a network works on frames and which on clips, so that least is moved between them.

Every step of a followed network (`torch.fx`) either must see frames (a 3x3 convolution, say), must
see clips (a temporal operation), or may do either. A feature map that one makes and another in the
other layout takes is moved, which costs as much as it is large, once however many take it. The
cheapest choice is a minimum cut between those that must see frames and those that must see clips
(Ford and Fulkerson, 1956).

    frames side --- c ---> [map]  --- no price ---> users on the clip side

A network of frames written anew for an engine: folded, each part in the layout that suits.
"""

import operator
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

import numpy as np
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow
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
from mixtconv.models.folded_filter import FoldedTemporalFilter
from mixtconv.models.graph_fusion import fold
from mixtconv.models.optimize import follow, separate_temporal_operations

_NO_PRICE = 2**30
_UNIT = 256
"""Values that count as 1, so that flows stay small whole numbers."""


def choose_clip_steps(
    nodes: Sequence[fx.Node],
    sizes: Mapping[fx.Node, int],
    *,
    must_be_clips: AbstractSet[fx.Node],
    may_be_clips: AbstractSet[fx.Node],
    joined: AbstractSet[fx.Node] = frozenset(),
) -> set[fx.Node]:
    """The steps that work on clips, so that least is moved.

    Args:
        nodes: the steps of a network, in their order.
        sizes: of every step, how many values it makes.
        must_be_clips: steps that see clips.
        may_be_clips: steps that can; the others see frames.
        joined: steps that engines compute together with the step before them, as an activation with
            its convolution; moving between the two costs twice.
    """
    edges = _Edges()
    number = {node: edges.new_place() for node in nodes}
    for node in nodes:
        if node in must_be_clips:
            edges.add(number[node], edges.sink, _NO_PRICE)
        elif node not in may_be_clips:
            edges.add(edges.source, number[node], _NO_PRICE)
        users = [number[user] for user in node.users]
        if users:
            price = 1 + sizes.get(node, 0) // _UNIT
            is_joined = len(users) == 1 and set(node.users) <= joined
            edges.add_move(number[node], users, price * (2 if is_joined else 1))
    before_cut = edges.reachable_from_source()
    return {node for node in nodes if number[node] not in before_cut}


class _Edges:
    """A network of flows."""

    source, sink = 0, 1

    def __init__(self) -> None:
        self._count = 2
        self._edges: list[tuple[int, int, int]] = []

    def new_place(self) -> int:
        self._count += 1
        return self._count - 1

    def add(self, start: int, end: int, capacity: int) -> None:
        self._edges.append((start, end, capacity))

    def add_move(self, maker: int, users: Iterable[int], price: int) -> None:
        """Moving what `maker` makes is paid once, in whichever direction it goes."""
        to_clips, to_frames = self.new_place(), self.new_place()
        self.add(maker, to_clips, price)
        self.add(to_frames, maker, price)
        for user in users:
            self.add(to_clips, user, _NO_PRICE)
            self.add(user, to_frames, _NO_PRICE)

    def reachable_from_source(self) -> set[int]:
        """The places before a minimum cut."""
        starts, ends, capacities = (
            np.array(each, dtype=np.int32) for each in zip(*self._edges, strict=True)
        )
        shape = (self._count, self._count)
        graph = csr_matrix((capacities, (starts, ends)), shape=shape)
        flow = maximum_flow(graph, self.source, self.sink).flow
        left = (graph - flow).tocsr()
        left.data = left.data > 0
        left.eliminate_zeros()
        return set(breadth_first_order(left, self.source, return_predecessors=False).tolist())


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
"""Functions and methods that treat every value alike."""

_TEMPORAL = (FoldedTemporalFilter, FoldedTemporalConv)


def rewrite(network: nn.Module, layout: LayoutName, trial: Tensor) -> nn.Module:
    """The same network in the operations of an engine.

    Args:
        network: frames (B * T, C, H, W) in; it is used up.
        layout: where its frames see each other.
        trial: its input for one clip, (T, C, H, W), or of a network of clips (1, ...).

    Returns:
        A network for inference of equal results, without operators of this package. One that cannot
        be followed has its temporal operations alone rewritten.
    """
    network.eval().requires_grad_(False)
    separate_temporal_operations(network)
    separate_ordinary_convolutions(network)
    try:
        graph = follow(network, leaves=(FoldedTemporalConv,))
    except ValueError:
        _rewrite_alone(network, LAYOUTS[layout])
        return network
    fold(graph)
    if any(isinstance(module, _TEMPORAL) for module in graph.modules()):
        _lay_out(graph, LAYOUTS[layout], trial)
    return graph


def _rewrite_alone(network: nn.Module, layout: ClipLayout) -> None:
    """Each temporal operation between the steps to the clip's layout and back."""
    for name, module in list(network.named_modules()):
        if isinstance(module, FoldedTemporalFilter | FoldedTemporalConv):
            there, back = layout.to_clip(module.num_frames), layout.to_frames(module.num_frames)
            network.set_submodule(name, nn.Sequential(there, _filter(module, layout), back))


def _filter(module: nn.Module, layout: ClipLayout) -> nn.Module:
    assert isinstance(module, FoldedTemporalFilter | FoldedTemporalConv)
    if isinstance(module, FoldedTemporalFilter):
        return layout.filter(TimeKernel.depthwise(module.taps), module.num_frames)
    return layout.filter(TimeKernel.ordinary(module.layer), module.num_frames)


def _lay_out(graph: fx.GraphModule, layout: ClipLayout, trial: Tensor) -> None:
    """Put every step into the layout that suits, and what changes layouts in between."""
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
    moved: dict[fx.Node, fx.Node] = {}
    for number, node in enumerate(nodes):
        differing = [user for user in node.users if (user in clips) != (node in clips)]
        form = forms[node] if node in clips else None
        if isinstance(form, nn.Module):
            graph.set_submodule(str(node.target), form)
        if differing:
            change = layout.to_frames if node in clips else layout.to_clip
            name = f"change_{number}"
            graph.add_submodule(name, change(num_frames))
            with graph.graph.inserting_after(node):
                moved[node] = graph.graph.call_module(name, (node,))
            for user in differing:
                user.replace_input_with(node, moved[node])
    graph.delete_all_unused_submodules()
    graph.recompile()


def _clip_form(
    graph: fx.GraphModule, node: fx.Node, layout: ClipLayout, shapes: dict[fx.Node, torch.Size]
) -> nn.Module | fx.Node | None:
    """What a step is on clips: a module, itself where it is a function, or None."""
    inputs = node.all_input_nodes
    if any(len(shapes.get(each, ())) != 4 for each in (node, *inputs)):
        return None
    temporal = _temporal(graph, node)
    if temporal is not None:
        return _filter(temporal, layout)
    if node.op == "call_module":
        called = graph.graph.find_nodes(op="call_module", target=node.target)
        module, height = graph.get_submodule(str(node.target)), shapes[inputs[0]][2]
        return layout.rewrite(module, height) if len(called) == 1 else None
    same_size = len({shapes[each] for each in inputs}) == 1
    return node if _is_elementwise(graph, node) and same_size else None


def _is_elementwise(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(graph.get_submodule(str(node.target)), POINTWISE)
    return node.op in ("call_function", "call_method") and node.target in _ELEMENTWISE


def _temporal(graph: fx.GraphModule, node: fx.Node) -> nn.Module | None:
    module = graph.get_submodule(str(node.target)) if node.op == "call_module" else None
    return module if isinstance(module, _TEMPORAL) else None


def _shapes(graph: fx.GraphModule, trial: Tensor) -> dict[fx.Node, torch.Size]:
    """Shapes of what the steps make of one clip, where that is a tensor."""
    with torch.inference_mode():
        ShapeProp(graph).propagate(trial)
    facts = {node: node.meta.get("tensor_meta") for node in graph.graph.nodes}
    return {node: fact.shape for node, fact in facts.items() if isinstance(fact, TensorMetadata)}
