"""TensorRT engines: built from ONNX on the NVIDIA GPU that runs them.

TensorRT chooses kernels by timing them, so that an engine is for one model of GPU and one version
of TensorRT. It is built for batches of up to `LARGEST_BATCH`, in float32 without TF32, which rounds
to 11 bits; since version 11 the types of the network are those of the ONNX file, so that float16 is
written there.
"""

from pathlib import Path
from typing import Any

import torch

from mixtconv.exporting.network import PortableNetwork
from mixtconv.exporting.onnx import write_onnx
from mixtconv.exporting.programs import quietly, refusal
from mixtconv.inference.engines.tensorrt import description_path, import_tensorrt, log_of_errors

LARGEST_BATCH = 8
"""Clips or streams at once; an engine holds the memory for so many."""


def refuse_without_tensorrt() -> None:
    """Raise ValueError where no engine can be built, before long work."""
    import_tensorrt("an .engine file")


def write_tensorrt(
    program: torch.export.ExportedProgram, portable: PortableNetwork, path: Path
) -> None:
    """Build the engine of a program, and write it with its description beside it.

    Raises:
        ValueError: TensorRT refuses the network.
    """
    tensorrt = import_tensorrt(path)
    onnx = path.with_suffix(".onnx")
    write_onnx(program, portable, onnx)
    if portable.description.half:
        try:
            compute_in_half(onnx)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise refusal(portable, "the converter to float16", error) from error
    path.write_bytes(build_plan(tensorrt, onnx, portable))
    onnx.unlink()
    description_path(path).write_text(portable.description.to_json(), encoding="utf-8")


def build_plan(tensorrt: Any, onnx: Path, portable: PortableNetwork) -> bytes:
    """The plan of an engine for batches of 1 to `LARGEST_BATCH`, best for 1.

    Args:
        tensorrt: the package.
        onnx: the network.
        portable: of which the inputs are known.

    Raises:
        ValueError: TensorRT refuses the network, with its reason.
    """
    log = log_of_errors(tensorrt)
    builder = tensorrt.Builder(log)
    network = builder.create_network()
    parser = tensorrt.OnnxParser(network, log)
    if not parser.parse(onnx.read_bytes()):
        errors = [parser.get_error(number) for number in range(parser.num_errors)]
        reasons = "; ".join(f"{each.node_operator()} {each.desc()}".strip() for each in errors)
        raise refusal(portable, "TensorRT's parser", ValueError(reasons or log.said()))
    config = builder.create_builder_config()
    config.clear_flag(tensorrt.BuilderFlag.TF32)
    profile = builder.create_optimization_profile()
    for name, sizes in portable.description.inputs.items():
        profile.set_shape(name, (1, *sizes), (1, *sizes), (LARGEST_BATCH, *sizes))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise refusal(portable, "TensorRT's builder", ValueError(log.said()))
    return bytes(plan)


def compute_in_half(onnx: Path) -> None:
    """Rewrite an ONNX file to compute in float16, with inputs and outputs in their types."""
    import onnx as library  # noqa: PLC0415
    from onnxruntime.transformers.float16 import convert_float_to_float16  # noqa: PLC0415

    model = library.load(str(onnx))
    with quietly():
        half = convert_float_to_float16(model, keep_io_types=True)
    library.save(half, str(onnx))
