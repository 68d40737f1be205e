"""ONNX files, run by ONNX Runtime on the CPU."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mixtconv.data.parallel import usable_cores
from mixtconv.inference.engines.base import Array, Description, Engine, import_engine
from mixtconv.models.spec import METADATA_KEY


class OnnxEngine(Engine):
    """A network in ONNX Runtime; see `opening.open_engine`."""

    def __init__(self, path: Path, num_threads: int | None = None) -> None:
        runtime = import_engine("onnxruntime", path)
        self._num_threads = num_threads
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors only
        if num_threads is not None:
            options.intra_op_num_threads = num_threads
        states = runtime.capi.onnxruntime_pybind11_state
        damage = (states.InvalidProtobuf, states.InvalidGraph, states.Fail, states.InvalidArgument)
        try:
            self._session = runtime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except (*damage, states.NoSuchFile, states.NotImplemented) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{path} cannot be read by ONNX Runtime: {reason}") from error
        text = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        inputs, outputs = (
            {port.name: port.shape[1:] for port in ports}  # a dynamic size is a name
            for ports in (self._session.get_inputs(), self._session.get_outputs())
        )
        super().__init__(path, Description.from_json(text, path), inputs, outputs)

    @contextmanager
    def concurrent(self, count: int) -> Iterator[Engine]:
        # One session serves all; each call of it computes in the thread that calls.
        threads = self._num_threads or usable_cores()
        yield OnnxEngine(self.path, max(1, threads // count))

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return dict(zip(self._outputs, self._session.run(None, dict(inputs)), strict=True))
