"""Core ML packages: the past of a stream as states, conversion, and what compares a package.

A package is for one clip, or one frame of one stream: Core ML keeps the past itself (`MLState`,
iOS 18 and macOS 15), and its Neural Engine wants sizes that do not change. Core ML has states in
float16 alone, so a stream's past is rounded to it.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mixtconv._quiet import only_errors
from mixtconv.exporting.mil_program import ProgramEngine
from mixtconv.exporting.network import PortableNetwork
from mixtconv.exporting.programs import refusal, torch_program, without_reports
from mixtconv.inference.engines.base import LOGITS, Engine
from mixtconv.inference.engines.coreml import CoreMLEngine, import_coremltools, runs_here
from mixtconv.models.spec import METADATA_KEY


class Stateful(nn.Module):
    """A network of streams whose past is its own: a frame (1, C, H, W) -> logits (1, K).

    Args:
        network: a frame and states -> logits and the next states, in the order of the states.
        states: at the start, by name, (1, ...).
    """

    def __init__(self, network: nn.Module, states: dict[str, Tensor]) -> None:
        super().__init__()
        self.network, self.names = network, tuple(states)
        for name, state in states.items():
            self.register_buffer(name, state)

    def forward(self, frame: Tensor) -> Tensor:
        past = [self.get_buffer(name) for name in self.names]
        logits, *following = self.network(frame, *past)
        for state, value in zip(past, following, strict=True):
            state.copy_(value)
        return logits


def stateful_program(portable: PortableNetwork) -> torch.export.ExportedProgram:
    """The network as a program of one clip or stream, the states as buffers that it changes.

    Raises:
        ValueError: torch.export cannot trace it, or it takes uint8, which Core ML does not.
    """
    if portable.description.pixels == "uint8":
        raise ValueError(
            "Core ML takes no arrays of uint8; give --pixels float255 (0 to 255) or normalized"
        )
    (_, first), *states = ((name, value[:1].clone()) for name, value in portable.inputs.items())
    network = Stateful(portable.network, dict(states)) if states else portable.network
    traced = torch_program(replace(portable, network=network), (first,))
    program = traced.run_decompositions({})
    _drop_aliases(program.graph_module)
    return program


def _drop_aliases(graph_module: torch.fx.GraphModule) -> None:
    """Remove steps that give their input another name, which coremltools 9.0 does not know."""
    graph = graph_module.graph
    for node in graph.find_nodes(op="call_function", target=torch.ops.aten.alias.default):
        node.replace_all_uses_with(node.args[0])
        graph.erase_node(node)


def write_coreml(
    program: torch.export.ExportedProgram, portable: PortableNetwork, path: Path
) -> None:
    """Convert a program of `stateful_program` and save it as a package."""
    coremltools = import_coremltools(path)
    description = portable.description
    precision = coremltools.precision
    name, example = next(iter(portable.inputs.items()))
    # Clips run on older systems than streams with states do.
    target = coremltools.target.iOS18 if description.is_streaming else coremltools.target.iOS16
    try:
        with without_reports("coremltools"):
            model: Any = coremltools.convert(
                program,
                inputs=[coremltools.TensorType(name=name, shape=(1, *example.shape[1:]))],
                outputs=[coremltools.TensorType(name=LOGITS)],
                minimum_deployment_target=target,
                compute_precision=precision.FLOAT16 if description.half else precision.FLOAT32,
                skip_model_load=True,
            )
    except (NotImplementedError, RuntimeError, TypeError, ValueError, KeyError) as error:
        raise refusal(portable, "coremltools", error) from error
    model.user_defined_metadata[METADATA_KEY] = description.to_json()
    model.short_description = f"{description.spec.name} of {description.spec.num_classes} classes"
    with only_errors("coremltools"):
        model.save(str(path))


def open_to_compare(path: Path) -> Engine:
    """What runs a package: Core ML on macOS, elsewhere its program in PyTorch."""
    return CoreMLEngine(path) if runs_here() else ProgramEngine(path)
