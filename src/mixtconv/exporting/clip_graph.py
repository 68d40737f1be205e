"""A network of frames written anew for an engine: folded, each part in the layout that suits."""

import operator

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp, TensorMetadata

from mixtconv.exporting.clip_layout import LAYOUTS, POINTWISE, ClipLayout, LayoutName
from mixtconv.exporting.layout_plan import choose_clip_steps
from mixtconv.exporting.time_kernel import (
    OrdinaryFrames,
    TimeKernel,
    separate_ordinary_convolutions,
)
from mixtconv.models.graph_fusion import fold
from mixtconv.models.optimize import follow, separate_temporal_operations
from mixtconv.models.temporal_frames import TemporalFrames

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

_TEMPORAL = (TemporalFrames, OrdinaryFrames)


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
        graph = follow(network, leaves=(OrdinaryFrames,))
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
        if isinstance(module, TemporalFrames | OrdinaryFrames):
            there, back = layout.to_clip(module.num_frames), layout.to_frames(module.num_frames)
            network.set_submodule(name, nn.Sequential(there, _filter(module, layout), back))


def _filter(module: nn.Module, layout: ClipLayout) -> nn.Module:
    assert isinstance(module, TemporalFrames | OrdinaryFrames)
    if isinstance(module, TemporalFrames):
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
