"""File formats of the engines: the packages of each, and how a plain network is written to it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch

from mixtconv._optional import import_needed
from mixtconv.exporting.clip_layout import LayoutName
from mixtconv.exporting.coreml import open_to_compare, stateful_program, write_coreml
from mixtconv.exporting.network import PortableNetwork
from mixtconv.exporting.onnx import write_onnx
from mixtconv.exporting.phones import write_executorch, write_litert
from mixtconv.exporting.programs import as_program, quietly, refusal, without_reports
from mixtconv.exporting.stream_layout import StreamLayoutName
from mixtconv.exporting.tensorrt import refuse_without_tensorrt, write_tensorrt
from mixtconv.inference.engines.base import Engine
from mixtconv.inference.engines.opening import open_engine
from mixtconv.models.spec import EXPORTED_SUFFIXES, METADATA_KEY, TargetName


@dataclass(frozen=True)
class Target:
    """A file format."""

    suffix: str
    packages: tuple[str, ...]
    """Packages that writing and running it needs besides torch."""
    layout: LayoutName
    """The layout of clips in which its engine runs temporal operations fastest."""
    write: Callable[[torch.export.ExportedProgram, PortableNetwork, Path], None]
    program: Callable[[PortableNetwork], torch.export.ExportedProgram] = as_program
    """The program that is written."""
    open: Callable[[Path], Engine] = open_engine
    """What runs a file to be compared."""
    refuse: Callable[[], object] = lambda: None
    """Raises ValueError where such files cannot be written at all."""
    stream: StreamLayoutName = "volume"
    """The layout of the past of streams in which it steps fastest."""
    has_half: bool = False
    """Whether files may compute in float16."""
    has_rounded_past: bool = False
    """Whether streams keep their past in float16."""

    @property
    def is_installed(self) -> bool:
        """Whether its packages are there, none of which is imported for that."""
        return all(find_spec(package.partition(".")[0]) for package in self.packages)

    def refuse_missing_packages(self) -> None:
        """Raise ValueError if packages are not installed, with the command that installs them, or
        the machine lacks what writes such files."""
        self.refuse()
        if self.packages:
            with without_reports(*self.packages):
                import_needed(*self.packages, why=f"a {self.suffix} file needs")


def _write_openvino(
    program: torch.export.ExportedProgram, portable: PortableNetwork, path: Path
) -> None:
    import openvino  # noqa: PLC0415

    try:
        with quietly():
            model = openvino.convert_model(program)
            sizes = portable.description.inputs.values()  # all but the batch is fixed
            model.reshape(
                {
                    port: openvino.PartialShape([-1, *size])
                    for port, size in zip(model.inputs, sizes, strict=True)
                }
            )
    except (RuntimeError, openvino.frontend.OpConversionFailure) as error:
        raise refusal(portable, "OpenVINO", error) from error
    names = (*portable.inputs, *portable.description.outputs)
    for tensor, name in zip((*model.inputs, *model.outputs), names, strict=True):
        tensor.get_tensor().set_names({name})
    model.set_rt_info(portable.description.to_json(), [METADATA_KEY])
    openvino.save_model(model, str(path), compress_to_fp16=False)


def _write_torch(
    program: torch.export.ExportedProgram, portable: PortableNetwork, path: Path
) -> None:
    program.example_inputs = None  # not saved: the states of streams are larger than the weights
    torch.export.save(
        program, str(path), extra_files={METADATA_KEY: portable.description.to_json()}
    )


TARGETS: dict[TargetName, Target] = {
    "onnx": Target(
        EXPORTED_SUFFIXES["onnx"],
        ("onnx", "onnxscript", "onnxruntime"),
        "stacked",
        write_onnx,
        stream="ring",
    ),
    "openvino": Target(
        EXPORTED_SUFFIXES["openvino"], ("openvino",), "volume", _write_openvino, stream="ring_last"
    ),
    "torch": Target(EXPORTED_SUFFIXES["torch"], (), "stacked", _write_torch),
    "litert": Target(
        EXPORTED_SUFFIXES["litert"],
        ("litert_torch", "ai_edge_litert"),
        "stacked",
        write_litert,
        partial(as_program, batch=1),
        stream="rows_last",
    ),
    "executorch": Target(
        EXPORTED_SUFFIXES["executorch"],
        ("executorch.exir", "executorch.backends.xnnpack.partition.xnnpack_partitioner"),
        "joined",
        write_executorch,
        partial(as_program, batch=1),
        stream="rows",
    ),
    "coreml": Target(
        EXPORTED_SUFFIXES["coreml"],
        ("coremltools",),
        "stacked",
        write_coreml,
        stateful_program,
        open_to_compare,
        has_half=True,
        has_rounded_past=True,
    ),
    "tensorrt": Target(
        EXPORTED_SUFFIXES["tensorrt"],
        ("tensorrt", "onnx", "onnxscript", "onnxruntime"),
        "stacked",
        write_tensorrt,
        refuse=refuse_without_tensorrt,
        has_half=True,
    ),
}
"""File formats by name."""
