"""ExecuTorch programs (`.pte`), run by its Python runtime, which needs torch for its tensors.

A program has methods, and some may give a constant: the description is the one that the method
`mixtconv` gives.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from mixtconv._quiet import no_native_messages, only_errors
from mixtconv.inference.engines.base import Array, Description, import_engine
from mixtconv.inference.engines.one_by_one import OneByOneEngine
from mixtconv.models.spec import METADATA_KEY

NETWORK_METHOD = "forward"


class ExecuTorchEngine(OneByOneEngine):
    """A network in ExecuTorch; see `opening.open_engine`. Its threads are one pool for all."""

    def __init__(self, path: Path, num_threads: int | None = None) -> None:
        self._torch = import_engine("torch", path)
        with only_errors("torch.utils._pytree"):
            package = import_engine("executorch.runtime", path)
        try:
            with no_native_messages():
                program = package.runtime.Runtime.get().load_program(path)
                has_text = METADATA_KEY in program.method_names
                text = program.load_method(METADATA_KEY).execute([])[0] if has_text else None
                description = Description.from_json(text, path)
                self._network = program.load_method(NETWORK_METHOD)
        except (KeyError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{path} cannot be read by ExecuTorch: {reason}") from error
        if num_threads is not None:
            set_num_threads(num_threads)
        meta = self._network.metadata
        self._inputs = list(description.inputs)
        inputs, outputs = (  # by order: a program does not name them
            {
                name: tuple(get(index).sizes())[1:]
                for index, name in zip(range(count), names, strict=False)
            }
            for names, count, get in (
                (description.inputs, meta.num_inputs(), meta.input_tensor_meta),
                (description.outputs, meta.num_outputs(), meta.output_tensor_meta),
            )
        )
        super().__init__(path, description, inputs, outputs)

    def run_one(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        arrays = [np.ascontiguousarray(inputs[name]) for name in self._inputs]
        try:
            results = self._network.execute([*map(self._torch.from_numpy, arrays)])
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"{self} fails in ExecuTorch: it is damaged, or an input has another size than it "
                f"describes: {reason}"
            ) from error
        return {name: result.numpy() for name, result in zip(self._outputs, results, strict=True)}


def set_num_threads(count: int) -> None:
    """Set the number of threads of all programs of this process.

    Its C++ has a public way of doing that, its Python this one alone.
    """
    from executorch.extension.pybindings import portable_lib  # noqa: PLC0415

    if portable_lib._threadpool_get_thread_count() != count:
        portable_lib._unsafe_reset_threadpool(count)
