"""TensorRT engines (`.engine` with `.engine.json`), run on the NVIDIA GPU they were built for.

An engine is TensorRT's own file, as its other tools read and write it; the description is beside
it, as TensorRT has no place for it. Memory on the GPU is torch's.
"""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mixtconv.inference.engines.base import Array, Description, Engine, import_engine


class TensorRtEngine(Engine):
    """A network in TensorRT; see `opening.open_engine`. It has no threads of the CPU."""

    devices = ("auto", "cuda")

    def __init__(self, path: Path, num_threads: int | None = None) -> None:
        self._torch = import_engine("torch", path)
        tensorrt = import_tensorrt(path)
        beside = description_path(path)
        if not beside.is_file():
            raise ValueError(
                f"{path} has no description beside it: {beside} is missing; copy both, or export "
                "the model again"
            )
        description = Description.from_json(beside.read_text("utf-8", errors="replace"), path)
        self._log = log = log_of_errors(tensorrt)
        self._runtime = tensorrt.Runtime(log)
        self._plan = self._runtime.deserialize_cuda_engine(path.read_bytes())
        if self._plan is None:
            raise ValueError(
                f"{path} cannot be read by TensorRT {tensorrt.__version__}, perhaps as it was "
                f"built by another one or for another GPU: export the model here ({log.said()})"
            )
        self._context = self._plan.create_execution_context()
        if self._context is None:
            raise ValueError(f"{path} cannot be run by TensorRT: {log.said()}")
        names = [self._plan.get_tensor_name(place) for place in range(self._plan.num_io_tensors)]
        sizes = {name: tuple(self._plan.get_tensor_shape(name))[1:] for name in names}
        given = [name for name in names if self._is_input(tensorrt, name)]
        self._largest_batch = int(self._plan.get_tensor_profile_shape(given[0], 0)[2][0])
        self._types = {name: torch_type(self._torch, self._plan, name, path) for name in names}
        self._stream = self._torch.cuda.Stream()
        super().__init__(
            path,
            description,
            {name: sizes[name] for name in given},
            {name: sizes[name] for name in names if name not in given},
        )

    def _is_input(self, tensorrt: ModuleType, name: str) -> bool:
        return bool(self._plan.get_tensor_mode(name) == tensorrt.TensorIOMode.INPUT)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs, for inputs of any batch size B, as many at once as the engine takes."""
        batch, step = len(next(iter(inputs.values()))), self._largest_batch
        parts = [
            self._run_at_once({name: array[start : start + step] for name, array in inputs.items()})
            for start in range(0, batch, step)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in self._outputs}

    def _run_at_once(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        torch, context, tensors = self._torch, self._context, {}
        with torch.cuda.stream(self._stream):
            for name, array in inputs.items():
                tensor = torch.from_numpy(np.ascontiguousarray(array))
                tensors[name] = tensor.to("cuda", self._types[name])
                if not context.set_input_shape(name, tuple(array.shape)):
                    raise ValueError(f"{self.path} takes no {name} of {tuple(array.shape)}")
            for name in self._outputs:
                shape = tuple(context.get_tensor_shape(name))
                tensors[name] = torch.empty(shape, dtype=self._types[name], device="cuda")
            for name, tensor in tensors.items():
                context.set_tensor_address(name, tensor.data_ptr())
            if not context.execute_async_v3(self._stream.cuda_stream):
                raise ValueError(f"{self.path} fails in TensorRT: {self._log.said()}")
            return {name: tensors[name].cpu().numpy() for name in self._outputs}


def description_path(path: Path) -> Path:
    """The file of an engine's description, beside it.

    >>> description_path(Path("model.engine")).name
    'model.engine.json'
    """
    return path.with_name(f"{path.name}.json")


def import_tensorrt(path: object) -> ModuleType:
    """Import TensorRT, where a GPU is.

    Raises:
        ValueError: there is no NVIDIA GPU, or TensorRT is not installed.
    """
    torch = import_engine("torch", path)
    if not torch.cuda.is_available():
        raise ValueError(
            f"{path} is built and run by TensorRT on an NVIDIA GPU, and torch finds none here; "
            "export it where the GPU is, or use --to onnx"
        )
    return import_engine("tensorrt", path)


@cache
def log_of_errors(tensorrt: ModuleType) -> Any:
    """The logger of TensorRT, which has one a process; `said` gives its errors in one line."""

    class Log(tensorrt.ILogger):  # type: ignore[name-defined]
        def __init__(self) -> None:
            tensorrt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (tensorrt.ILogger.ERROR, tensorrt.ILogger.INTERNAL_ERROR):
                self.errors.append(message)

        def said(self) -> str:
            """What went wrong since it was asked last."""
            reason = " ".join(" ".join(self.errors).split())[:300]
            self.errors.clear()
            return reason or "TensorRT gives no reason"

    return Log()


def torch_type(torch: ModuleType, plan: Any, name: str, path: Path) -> Any:
    """The type of an input or an output, by TensorRT's name of it.

    Raises:
        ValueError: one that no export has.
    """
    types = {"FLOAT": torch.float32, "HALF": torch.float16, "UINT8": torch.uint8}
    word = plan.get_tensor_dtype(name).name
    if word not in types:
        raise ValueError(
            f"{path} has {name} of type {word}, and exported ones are {', '.join(types)}: it was "
            "not built by mixtconv export; export the model again"
        )
    return types[word]
