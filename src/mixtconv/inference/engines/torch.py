"""Programs of torch.export (`.pt2`), run by torch."""

import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mixtconv._quiet import only_errors
from mixtconv.inference.engines.base import Array, Description, Engine, import_engine
from mixtconv.models.spec import METADATA_KEY


class TorchEngine(Engine):
    """A network of torch.export; see `opening.open_engine`. Its threads are those of torch."""

    def __init__(self, path: Path, num_threads: int | None = None) -> None:
        self._torch = torch = import_engine("torch", path)
        if not _is_program(path):
            raise ValueError(f"{path} cannot be read by torch.export: it is no archive of it")
        extra = {METADATA_KEY: ""}
        try:
            with warnings.catch_warnings(), only_errors("torch.export"):
                warnings.simplefilter("ignore")
                program = torch.export.load(str(path), extra_files=extra)
        except Exception as error:  # a foreign archive can fail in any way
            reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
            raise ValueError(f"{path} cannot be read by torch.export: {reason}") from error
        description = Description.from_json(extra[METADATA_KEY] or None, path)
        self._inputs = list(description.inputs)
        signature = program.graph_signature
        values = {node.name: node.meta.get("val") for node in program.graph.nodes}
        inputs, outputs = (  # by order: a program does not name them
            {
                name: getattr(values[node], "shape", ())[1:]
                for name, node in zip(names, nodes, strict=False)
            }
            for names, nodes in (
                (self._inputs, signature.user_inputs),
                (description.outputs, signature.user_outputs),
            )
        )
        super().__init__(path, description, inputs, outputs)
        self._path, self._network = path, program.module()

    @contextmanager
    def concurrent(self, count: int) -> Iterator[Engine]:
        from mixtconv.models.device import divided_threads  # noqa: PLC0415

        with divided_threads(count):
            yield self

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        tensors = [self._torch.from_numpy(inputs[name]) for name in self._inputs]
        try:
            with self._torch.inference_mode():
                results = self._network(*tensors)
        except RuntimeError as error:  # types and sizes inside are not checked before it runs
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{self._path} fails in torch, is it damaged? {reason}") from error
        results = (results,) if isinstance(results, self._torch.Tensor) else results
        return {name: result.numpy() for name, result in zip(self._outputs, results, strict=True)}


_MEMBERS = ("archive_format", "serialized_exported_program.json")
"""Every archive of torch.export has one of these, by the version of torch."""


def _is_program(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.rpartition("/")[2] in _MEMBERS for name in archive.namelist())
    except zipfile.BadZipFile:
        return False
