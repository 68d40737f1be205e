"""LiteRT files (`.tflite`), run by LiteRT's interpreter with the kernels of XNNPACK.

Files that belong to a network, such as its labels, are a ZIP archive after it in the same file, as
TensorFlow Lite's metadata have them; the description is one of them, `mixtconv.json`. The network
is read from the front and the archive from the back, so that neither sees the other.
"""

import zipfile
from collections.abc import Mapping
from pathlib import Path

from mixtconv._quiet import no_native_messages
from mixtconv.inference.engines.base import Array, Description, import_engine
from mixtconv.inference.engines.one_by_one import OneByOneEngine
from mixtconv.models.spec import METADATA_KEY

DESCRIPTION_FILE = f"{METADATA_KEY}.json"

_IDENTIFIER = slice(4, 8), b"TFL3"
"""Where a flatbuffer says of what it is one, and what one of LiteRT has there."""


class LiteRtEngine(OneByOneEngine):
    """A network in LiteRT; see `opening.open_engine`."""

    def __init__(self, path: Path, num_threads: int | None = None) -> None:
        runtime = import_engine("ai_edge_litert.interpreter", path)
        if not _is_network(path):
            raise ValueError(f"{path} cannot be read by LiteRT: it is no file of LiteRT")
        description = Description.from_json(_description(path), path)
        try:
            with no_native_messages():
                interpreter = runtime.interpreter.Interpreter(str(path), num_threads=num_threads)
                interpreter.allocate_tensors()
                self._network = interpreter.get_signature_runner()
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(f"{path} cannot be read by LiteRT: {reason}") from error
        inputs, outputs = (
            {name: tuple(map(int, details["shape"]))[1:] for name, details in ports.items()}
            for ports in (self._network.get_input_details(), self._network.get_output_details())
        )
        super().__init__(path, description, inputs, outputs)

    def run_one(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        return dict(self._network(**inputs))


def _is_network(path: Path) -> bool:
    place, identifier = _IDENTIFIER
    with path.open("rb") as file:
        return file.read(place.stop)[place] == identifier


def _description(path: Path) -> str | None:
    """The description in a file; None if there is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.read(DESCRIPTION_FILE).decode()
    except (KeyError, UnicodeDecodeError, zipfile.BadZipFile):
        return None
