"""OpenVINO files (`.xml` with `.bin`), run on the CPU in float32, or in int8 if quantized."""

import ctypes
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from mixtconv.inference.engines.base import Array, Description, Engine, Sizes, import_engine
from mixtconv.inference.engines.one_by_one import OneByOneEngine
from mixtconv.models.spec import METADATA_KEY


class OpenVinoEngine(OneByOneEngine):
    """A network in OpenVINO; see `opening.open_engine`.

    Its files take any batch, and are run with all sizes fixed, one clip or stream at a time:
    OpenVINO joins operations then that it else runs one by one, which brings more than batches do.
    """

    def __init__(self, path: Path, num_threads: int | None = None, *, streams: int = 1) -> None:
        openvino = import_engine("openvino", path)
        if not _is_network(path):  # otherwise OpenVINO tries every frontend
            raise ValueError(f"{path} cannot be read by OpenVINO: it is no network's XML")
        core = openvino.Core()
        # Float32 on every CPU: OpenVINO defaults to bfloat16 on some
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
        if streams > 1:
            settings["NUM_STREAMS"] = str(streams)
        if num_threads is not None:
            settings["INFERENCE_NUM_THREADS"] = str(num_threads)
        self._num_threads = num_threads
        try:
            model = core.read_model(path)
            is_ours = model.has_rt_info([METADATA_KEY])
            text = model.get_rt_info([METADATA_KEY]).astype(str) if is_ours else None
            description = Description.from_json(text, path)
            inputs, outputs = (
                {port.get_any_name(): _sizes(port) for port in ports}
                for ports in (model.inputs, model.outputs)
            )
            model.reshape({port: [1, *list(port.partial_shape)[1:]] for port in model.inputs})
            with kept_signal_stack():
                self._network = core.compile_model(model, "CPU", settings)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[-200:]
            raise ValueError(
                f"{path} cannot be read by OpenVINO, which also needs {path.with_suffix('.bin')}: "
                f"{reason}"
            ) from error
        super().__init__(path, description, inputs, outputs)
        self._types = {
            port.get_any_name(): port.get_element_type().to_dtype() for port in model.inputs
        }
        states = description.states or ()
        self._new_frames = {state.ring.output for state in states if state.ring}
        self._requests = threading.local()  # a network's request runs one input at a time

    @contextmanager
    def concurrent(self, count: int) -> Iterator[Engine]:
        yield OpenVinoEngine(self.path, self._num_threads, streams=count)

    def run_one(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        own = self._requests.__dict__
        if not own:
            own.update(request=self._network.create_infer_request(), given={})
        # Arrays that OpenVINO can read where they are; of others it would keep a copy.
        arrays = {
            name: np.require(array, self._types[name], ["C", "W"]) for name, array in inputs.items()
        }
        # Rings stay where they are, and giving all of them again takes a fifth of a frame's time on
        # MobileNetV2. After a call that failed all are given again, as some may not have arrived.
        given, own["given"] = own["given"], {}
        new = {
            name: array
            for name, array in arrays.items()
            if name not in given or _place(array) != _place(given[name])
        }
        results = own["request"].infer(new, share_inputs=True, share_outputs=True).values()
        own["given"] = arrays
        # What the request's next frame overwrites is copied, but for new frames, which are in their
        # slots by then.
        return {
            name: result if name in self._new_frames else result.copy()
            for name, result in zip(self._outputs, results, strict=True)
        }


class _Stack(ctypes.Structure):
    """`stack_t` of <signal.h>."""

    _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


@contextmanager
def kept_signal_stack() -> Iterator[None]:
    """Restore this thread's signal stack at the end of the block; does nothing outside of Linux.

    On Linux OpenVINO's CPU plugin installs a signal stack of its own in the thread that compiles a
    model, one for each `Core`, and restores the previous one when the `Core` is freed
    (https://github.com/openvinotoolkit/openvino/pull/11894, now in
    `src/plugins/intel_cpu/src/sigstack_manager.cpp`). If two are freed in the order in which they
    were made, the second one restores the stack of the first, which is unmapped by then, and the
    next signal that Python handles ends in a segmentation fault. OpenVINO 2026.4.1 still does this;
    no issue was open at the time. This can go when the test of signals in
    `tests/inference/engines/test_openvino.py` passes without it.

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


def _is_network(path: Path) -> bool:
    with path.open("rb") as file:
        return b"<net" in file.read(512)


def _place(array: Array) -> tuple[int, tuple[int, ...]]:
    """Address and shape of an array."""
    return array.__array_interface__["data"][0], array.shape


def _sizes(port: Any) -> Sizes:
    """Drop the batch; a dynamic size becomes None."""
    sizes = list(port.get_partial_shape())[1:]
    return tuple(size.get_length() if size.is_static else None for size in sizes)
