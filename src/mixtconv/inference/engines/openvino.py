"""The stack on which this thread handles signals, kept as it was while OpenVINO compiles.

On Linux OpenVINO gives the thread that compiles a model a signal stack of the model's own, and when
the model goes it puts back the one that it found. Of two models that go in the order in which they
came, the second puts back the stack of the first, which is gone: the next signal that Python
handles, such as Ctrl-C or the end of a child process, kills the process.

OpenVINO files (`.xml` with `.bin`), run on the CPU in float32, or int8 where they are.
"""

import ctypes
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mixtconv.inference.engines.base import (
    Array,
    Description,
    Engine,
    Sizes,
    import_engine,
)
from mixtconv.models.spec import METADATA_KEY


class _Stack(ctypes.Structure):
    """`stack_t` of <signal.h>."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Put back the signal stack of the thread at the end of the block; elsewhere than on Linux do
    nothing.

    >>> with kept_signal_stack():
    ...     pass
    """
    if sys.platform != "linux":
        yield
        return
    exchange = ctypes.CDLL(None).sigaltstack
    before = _Stack()
    exchange(None, ctypes.byref(before))
    try:
        yield
    finally:
        exchange(ctypes.byref(before), None)


class OpenVinoEngine(Engine):
    """A network in OpenVINO; see `engine.open_engine`."""

    def __init__(self, path: Path, num_threads: int | None = None) -> None:
        openvino = import_engine("openvino", path)
        if not _is_network(path):  # else every reader that OpenVINO has would be tried
            raise ValueError(f"{path} cannot be read by OpenVINO: it is no network's XML")
        core = openvino.Core()
        # Float32 on every CPU: some would otherwise compute in bfloat16
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if num_threads is not None:
            settings["INFERENCE_NUM_THREADS"] = str(num_threads)
        try:
            model = core.read_model(path)
            about = model.get_rt_info([METADATA_KEY]).astype(str) if _is_ours(model) else None
            description = Description.from_json(about, path)
            with kept_signal_stack():
                self._request = core.compile_model(model, "CPU", settings).create_infer_request()
        except RuntimeError as error:
            reason = " ".join(str(error).split())[-200:]
            raise ValueError(
                f"{path} cannot be read by OpenVINO, which also needs {path.with_suffix('.bin')}: "
                f"{reason}"
            ) from error
        inputs, outputs = (
            {port.get_any_name(): _sizes(port) for port in ports}
            for ports in (model.inputs, model.outputs)
        )
        super().__init__(path, description, inputs, outputs)
        self._outputs = list(outputs)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        given = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
        results = self._request.infer(given, share_inputs=True)  # which are read and not kept
        return {name: results[name] for name in self._outputs}


def _is_network(path: Path) -> bool:
    with path.open("rb") as file:
        return b"<net" in file.read(512)


def _sizes(port: Any) -> Sizes:
    """Without the batch."""
    sizes = list(port.get_partial_shape())[1:]
    return tuple(size.get_length() if size.is_static else None for size in sizes)


def _is_ours(model: object) -> bool:
    return bool(model.has_rt_info([METADATA_KEY]))  # type: ignore[attr-defined]
