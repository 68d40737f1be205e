"""File formats of the engines: the packages of each, and how a plain network is written to it."""

import warnings
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import torch
from timm.layers import pos_embed
from torch import Tensor, nn

from mixtconv._optional import import_needed
from mixtconv._quiet import no_native_messages, only_errors
from mixtconv.exporting.clip_layout import LayoutName
from mixtconv.exporting.network import PortableNetwork
from mixtconv.exporting.stream_layout import StreamLayoutName
from mixtconv.inference.engines.litert import DESCRIPTION_FILE
from mixtconv.models.spec import METADATA_KEY

TargetName = Literal["onnx", "openvino", "torch", "litert", "executorch"]

_LARGEST_BATCH = 4096
_EXPORTER_LOGGERS = ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")


@dataclass(frozen=True)
class Target:
    """A file format."""

    suffix: str
    packages: tuple[str, ...]
    """Packages that writing and running it needs besides torch."""
    layout: LayoutName
    """The layout of clips in which its engine runs temporal operations fastest."""
    write: Callable[[torch.export.ExportedProgram, PortableNetwork, Path], None]
    stream: StreamLayoutName = "volume"
    """The layout of the past of streams in which it steps fastest."""
    batch: int | None = None
    """Clips or streams that a file takes at once, if their number is fixed."""

    @property
    def is_installed(self) -> bool:
        """Whether its packages are there, none of which is imported for that."""
        return all(find_spec(package.partition(".")[0]) for package in self.packages)

    def refuse_missing_packages(self) -> None:
        """Raise ValueError if packages are not installed, with the command that installs them."""
        if self.packages:
            with _without_reports():
                import_needed(*self.packages, why=f"a {self.suffix} file needs")


def as_program(
    portable: PortableNetwork, *, batch: int | None = None
) -> torch.export.ExportedProgram:
    """The network as a program of torch.export.

    Args:
        portable: the network.
        batch: clips or streams that the program takes at once; None for any number.

    Raises:
        ValueError: torch.export cannot trace it.
    """
    first, *states = (values[:batch] for values in portable.inputs.values())
    axes: tuple[Any, ...] | None = None
    who = "torch.export"
    if batch is None:
        dim = torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)
        axes = ({0: dim}, tuple({0: dim} for _ in states)) if states else ({0: dim},)
        who = "torch.export, for batches of any size,"
    try:
        with torch.no_grad(), _quietly(), _at_one_size():
            return torch.export.export(
                portable.network, (first, *states), dynamic_shapes=axes, strict=False
            )
    except (RuntimeError, TypeError, ValueError, torch._dynamo.exc.UserError) as error:
        raise _refusal(portable, who, error) from error


def _refusal(portable: PortableNetwork, who: str, error: Exception) -> ValueError:
    reason = " ".join(str(error).split())[:300] or type(error).__name__
    return ValueError(f"{portable.description.spec.name} cannot be exported: {who} says {reason}")


def _write_onnx(
    program: torch.export.ExportedProgram, portable: PortableNetwork, path: Path
) -> None:
    try:
        with _quietly():
            written = torch.onnx.export(
                program,
                input_names=list(portable.inputs),
                output_names=list(portable.description.outputs),
                dynamo=True,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        raise _refusal(portable, "the exporter of ONNX", error) from error
    assert written is not None
    written.model.metadata_props[METADATA_KEY] = portable.description.to_json()
    written.save(str(path), external_data=False)


def _write_openvino(
    program: torch.export.ExportedProgram, portable: PortableNetwork, path: Path
) -> None:
    import openvino  # noqa: PLC0415

    try:
        with _quietly():
            model = openvino.convert_model(program)
            sizes = portable.description.inputs.values()  # all but the batch is fixed
            model.reshape(
                {
                    port: openvino.PartialShape([-1, *size])
                    for port, size in zip(model.inputs, sizes, strict=True)
                }
            )
    except (RuntimeError, openvino.frontend.OpConversionFailure) as error:
        raise _refusal(portable, "OpenVINO", error) from error
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


class _Named(nn.Module):
    """A network whose inputs and outputs have names: {name: tensor} -> {name: tensor}."""

    def __init__(self, network: nn.Module, outputs: Sequence[str]) -> None:
        super().__init__()
        self.network, self.outputs = network, outputs
        self.training = False  # as the program, which has no other mode to be put into

    def forward(self, **inputs: Tensor) -> dict[str, Tensor]:
        results = self.network(*inputs.values())
        results = (results,) if isinstance(results, Tensor) else results
        return dict(zip(self.outputs, results, strict=True))


def _write_litert(
    program: torch.export.ExportedProgram, portable: PortableNetwork, path: Path
) -> None:
    import litert_torch  # noqa: PLC0415

    named = _Named(program.module(), list(portable.description.outputs))
    inputs = {name: values[:1] for name, values in portable.inputs.items()}
    try:
        with torch.no_grad(), _without_reports(), _without_progress(litert_torch.config):
            litert_torch.convert(named, sample_kwargs=inputs).export(str(path))
    except Exception as error:  # any of several compilers may fail, each in its own way
        raise _refusal(portable, "the converter of LiteRT", error) from error
    with zipfile.ZipFile(path, "a") as archive:  # after the network; see `engines/litert.py`
        archive.writestr(DESCRIPTION_FILE, portable.description.to_json())


@contextmanager
def _without_progress(config: Any) -> Iterator[None]:
    """Hide the steps that the converter of LiteRT prints to the standard output."""
    shown, config.show_progress = config.show_progress, False
    try:
        yield
    finally:
        config.show_progress = shown


def _write_executorch(
    program: torch.export.ExportedProgram, portable: PortableNetwork, path: Path
) -> None:
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import (  # noqa: PLC0415
        XnnpackPartitioner,
    )
    from executorch.exir import to_edge_transform_and_lower  # noqa: PLC0415

    description = {METADATA_KEY: portable.description.to_json()}
    try:
        with torch.no_grad(), _without_reports():
            lowered = to_edge_transform_and_lower(
                program, partitioner=[XnnpackPartitioner()], constant_methods=description
            )
            with path.open("wb") as file:
                lowered.to_executorch().write_to_file(file)
    except Exception as error:  # any of many passes may fail, each in its own way
        raise _refusal(portable, "the compiler of ExecuTorch", error) from error


@contextmanager
def _at_one_size() -> Iterator[None]:
    """Let timm's embeddings of places, made for the size of the pictures, be as they are.

    timm resamples them in every program of torch.export, also to the size that they have, so that
    pictures of any size could be given: an operator that OpenVINO does not have.
    """
    asked = getattr(pos_embed, "is_exporting", None)
    if asked is not None:
        pos_embed.is_exporting = lambda: False
    try:
        yield
    finally:
        if asked is not None:
            pos_embed.is_exporting = asked


@contextmanager
def _quietly() -> Iterator[None]:
    """Hide warnings and logs of the exporters that concern their developers."""
    with warnings.catch_warnings(), only_errors(*_EXPORTER_LOGGERS):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _without_reports() -> Iterator[None]:
    """Hide what compilers for phones report of every step, in Python and in C++."""
    with _quietly(), only_errors("root", "jax", "torch.utils._pytree"), no_native_messages():
        yield


TARGETS: dict[TargetName, Target] = {
    "onnx": Target(".onnx", ("onnx", "onnxscript", "onnxruntime"), "stacked", _write_onnx),
    "openvino": Target(".xml", ("openvino",), "volume", _write_openvino),
    "torch": Target(".pt2", (), "stacked", _write_torch),
    "litert": Target(
        ".tflite",
        ("litert_torch", "ai_edge_litert"),
        "stacked",
        _write_litert,
        stream="rows_last",
        batch=1,
    ),
    "executorch": Target(
        ".pte",
        ("executorch.exir", "executorch.backends.xnnpack.partition.xnnpack_partitioner"),
        "joined",
        _write_executorch,
        stream="rows",
        batch=1,
    ),
}
"""File formats by name."""
