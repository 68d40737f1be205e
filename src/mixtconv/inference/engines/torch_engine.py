"""Programs of torch.export (`.pt2`), run by torch; this package is not needed for it."""

import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path

from mixtconv.inference.engines.description import (
    FRAME,
    LOGITS,
    METADATA_KEY,
    VIDEO,
    Description,
)
from mixtconv.inference.engines.engine import Array, Engine, import_engine


class TorchEngine(Engine):
    """A network of torch.export; see `engine.open_engine`."""

    def __init__(self, path: Path) -> None:
        self._torch = torch = import_engine("torch", path)
        if not zipfile.is_zipfile(path):
            raise ValueError(f"{path} cannot be read by torch.export: it is no archive")
        extra = {METADATA_KEY: ""}
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                program = torch.export.load(str(path), extra_files=extra)
        except Exception as error:  # whatever is in a zip file that is not ours
            reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
            raise ValueError(f"{path} cannot be read by torch.export: {reason}") from error
        super().__init__(Description.from_json(extra[METADATA_KEY] or None, path))
        self._network = program.module()
        states = self.description.states or ()
        self._inputs = [FRAME if self.description.is_streaming else VIDEO]
        self._inputs += [state.name for state in states]
        self._outputs = [LOGITS, *(state.next_name for state in states)]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        given = [self._torch.from_numpy(inputs[name]) for name in self._inputs]
        with self._torch.inference_mode():
            results = self._network(*given)
        results = (results,) if isinstance(results, self._torch.Tensor) else results
        return {name: result.numpy() for name, result in zip(self._outputs, results, strict=True)}
