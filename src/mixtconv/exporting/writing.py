"""File formats of the engines: the packages of each, and how a plain network is written to it."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from timm.layers import pos_embed

from mixtconv._optional import import_needed
from mixtconv._quiet import only_errors
from mixtconv.exporting.clip_layout import LayoutName
from mixtconv.exporting.network import PortableNetwork
from mixtconv.models.spec import METADATA_KEY

TargetName = Literal["onnx", "openvino", "torch"]

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

    def refuse_missing_packages(self) -> None:
        """Raise ValueError if packages are not installed, with the command that installs them."""
        if self.packages:
            import_needed(*self.packages, why=f"a {self.suffix} file needs")


def as_program(portable: PortableNetwork) -> torch.export.ExportedProgram:
    """The network as a program of torch.export, for any batch size.

    Raises:
        ValueError: torch.export cannot trace it.
    """
    batch = torch.export.Dim("batch", min=1, max=_LARGEST_BATCH)
    first, *states = portable.inputs.values()
    axes: tuple[Any, ...] = ({0: batch},)
    if states:
        axes = ({0: batch}, tuple({0: batch} for _ in states))
    try:
        with torch.no_grad(), _quietly(), _at_one_size():
            return torch.export.export(
                portable.network, (first, *states), dynamic_shapes=axes, strict=False
            )
    except (RuntimeError, TypeError, ValueError, torch._dynamo.exc.UserError) as error:
        raise _refusal(portable, "torch.export, for batches of any size,", error) from error


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


TARGETS: dict[TargetName, Target] = {
    "onnx": Target(".onnx", ("onnx", "onnxscript", "onnxruntime"), "stacked", _write_onnx),
    "openvino": Target(".xml", ("openvino",), "volume", _write_openvino),
    "torch": Target(".pt2", (), "stacked", _write_torch),
}
"""File formats by name."""
