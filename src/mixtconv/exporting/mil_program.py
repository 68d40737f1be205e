"""The program of a Core ML package, computed in PyTorch: what a package is compared by off a Mac.

Core ML runs on macOS alone, and coremltools computes nothing itself elsewhere. A package holds a
program of MIL, the intermediate language of Core ML, whose operations coremltools documents
(https://apple.github.io/coremltools/source/coremltools.converters.mil.mil.ops.defs.html). Here the
written package is read back, with the weights of its file, and its operations are computed one by
one as they are defined there (`mil_operations`), without a look at the model that it was made from.
So its weights, its structure and its states are checked; what is not is how Core ML computes the
operations. Values of float16 are computed in float32 and rounded after every operation.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixtconv._quiet import only_errors
from mixtconv.exporting.mil_operations import OPERATIONS, Arguments
from mixtconv.inference.engines.base import Array
from mixtconv.inference.engines.coreml import PackageEngine, read_package


class ProgramEngine(PackageEngine):
    """The program of a package in PyTorch, on the CPU.

    Raises:
        ValueError: the package cannot be read, or has an operation that is not known here.
    """

    stand_in = "the file's program in PyTorch; Core ML itself runs on macOS alone"

    def __init__(self, path: Path) -> None:
        model = read_package(path, load=False)
        super().__init__(path, model)
        self._function = _read_function(model)
        steps = [step for step in self._function.operations if step.op_type != "const"]
        unknown = sorted({step.op_type for step in steps} - OPERATIONS.keys() - _STATES)
        if unknown:
            raise ValueError(
                f"{path.name} cannot be compared here: it has operations of Core ML that only a "
                f"Mac computes ({', '.join(unknown)}); export the model on a Mac, or with --to onnx"
            )
        self._steps = steps
        self._last = {value: step for step in steps for value in _inputs(step)}

    def _predict(
        self, inputs: dict[str, Array], past: dict[str, Array]
    ) -> tuple[Array, dict[str, Array]]:
        ports = self._function.inputs
        arrays = {ports[name]: torch.from_numpy(array) for name, array in inputs.items()}
        states = {ports[name]: torch.from_numpy(array) for name, array in past.items()}
        [logits] = self._function.outputs
        values: dict[Any, Tensor] = dict(arrays)
        with torch.inference_mode():
            for step in self._steps:
                if step.op_type == "read_state":
                    results: Any = states[step.inputs["input"]]
                elif step.op_type == "coreml_update_state":
                    results = _known(values, step.inputs["value"])
                    states[step.inputs["state"]] = results
                else:
                    results = self._compute(step, values)
                several = results if isinstance(results, tuple | list) else (results,)
                for value, result in zip(step.outputs, several, strict=True):
                    values[value] = _rounded(result, value)
                for value in _inputs(step):
                    if self._last[value] is step and value is not logits:
                        values.pop(value, None)
        return values[logits].numpy(), {name: states[ports[name]].numpy() for name in past}

    def _compute(self, step: Any, values: Mapping[Any, Tensor]) -> Any:
        try:
            return _compute(step, values)
        except (IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
            raise ValueError(
                f"{self.path.name} cannot be compared here: its operation {step.op_type} cannot be "
                f"computed off a Mac ({reason}); export the model on a Mac, or with --to onnx"
            ) from error


_STATES = {"read_state", "coreml_update_state"}


def _read_function(model: Any) -> Any:
    """The main function of a package, with its constants."""
    from coremltools.converters.mil.frontend.milproto.load import load  # noqa: PLC0415

    spec = model.get_spec()
    with only_errors("coremltools"):
        program = load(
            model_spec=spec,
            specification_version=spec.specificationVersion,
            file_weights_dir=model.weights_dir,
        )
    return program.functions["main"]


def _inputs(step: Any) -> list[Any]:
    """The values that an operation takes."""
    given: list[Any] = []
    for value in step.inputs.values():
        given += value if isinstance(value, tuple | list) else [value]
    return given


def _known(values: Mapping[Any, Tensor], value: Any) -> Any:
    """A value that was computed, or a constant: arrays of numbers as tensors."""
    if value in values:
        return values[value]
    constant = value.val
    is_weight = isinstance(constant, np.ndarray) and constant.dtype.kind == "f"
    return torch.from_numpy(np.array(constant)) if is_weight else constant


def _compute(step: Any, values: Mapping[Any, Tensor]) -> Any:
    arguments: Arguments = {}
    for name, value in step.inputs.items():
        if isinstance(value, tuple | list):
            arguments[name] = [_single(_known(values, each)) for each in value]
        elif value is not None:
            arguments[name] = _single(_known(values, value))
    return OPERATIONS[step.op_type](arguments)


def _single(value: Any) -> Any:
    """A value of float16 in float32."""
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.half else value


def _rounded(result: Any, value: Any) -> Tensor:
    """A result in the type that the program gives it."""
    from coremltools.converters.mil.mil import types  # noqa: PLC0415

    dtype = np.dtype(types.nptype_from_builtin(value.dtype))
    return torch.as_tensor(result).to(torch.from_numpy(np.empty(0, dtype)).dtype)
