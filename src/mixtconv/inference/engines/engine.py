"""An exported file made ready to run, whatever runs it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtconv.inference.engines.description import Description
from mixtconv.models.exported_names import is_exported

__all__ = ["ENGINES", "Array", "Engine", "Sizes", "import_engine", "is_exported", "open_engine"]

Array = npt.NDArray[Any]
Sizes = tuple[int | None, ...]
"""Of an input or an output, but for the batch; None for one that may be any."""


class Engine(ABC):
    """A network of an exported file: arrays by name in, arrays by name out."""

    def __init__(
        self,
        path: Path,
        description: Description,
        inputs: Mapping[str, Sizes],
        outputs: Mapping[str, Sizes],
    ) -> None:
        """Take over what a subclass has read.

        Args:
            path: the file, for errors.
            description: what it says of itself.
            inputs, outputs: what its network takes and gives.

        Raises:
            ValueError: the network is another one than is described.
        """
        _refuse_another_network(path, description.inputs, inputs, "takes")
        _refuse_another_network(path, description.outputs, outputs, "gives")
        self.description = description

    @abstractmethod
    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs, for inputs of any batch size B."""

    def normalized(self, pixels: npt.NDArray[np.uint8]) -> Array:
        """Pictures as they are read, uint8 (..., 3, H, W), in the values that the network takes."""
        spec, values = self.description.spec, self.description.pixels
        if values == "uint8":
            return pixels
        if values == "float255":
            return pixels.astype(np.float32)
        mean, std = (np.array(each, np.float32).reshape(3, 1, 1) for each in (spec.mean, spec.std))
        normal = (pixels.astype(np.float32) / 255 - mean) / std
        order = slice(None, None, -1) if spec.channel_order == "bgr" else slice(None)
        return np.ascontiguousarray(normal[..., order, :, :])


def _refuse_another_network(
    path: Path, described: Mapping[str, Sizes], found: Mapping[str, Sizes], verb: str
) -> None:
    """Raise ValueError where a network's inputs or outputs are not those of its description."""
    for name in sorted(described.keys() | found.keys()):
        said, own = described.get(name, ()), found.get(name, ())
        same = [size in (None, other) for size, other in zip(own, said, strict=False)]
        if len(own) != len(said) or not all(same):
            raise ValueError(
                f"{path} is not what it says of itself: its network {verb} {name} of "
                f"{own or 'no size'}, said is {said or 'none'}; export the model again"
            )


def import_engine(package: str, path: object) -> ModuleType:
    """Import the package that runs a file.

    Raises:
        ValueError: it is not installed; says how to install it.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise ValueError(
            f"{path} is run by {package}, which is not installed: pip install {package}, or "
            "pip install 'mixtconv[export]' for all engines"
        ) from error


def _open_onnx(path: Path, num_threads: int | None) -> Engine:
    from mixtconv.inference.engines.onnx_engine import OnnxEngine  # noqa: PLC0415

    return OnnxEngine(path, num_threads)


def _open_openvino(path: Path, num_threads: int | None) -> Engine:
    from mixtconv.inference.engines.openvino_engine import OpenVinoEngine  # noqa: PLC0415

    return OpenVinoEngine(path, num_threads)


def _open_torch(path: Path, num_threads: int | None) -> Engine:
    from mixtconv.inference.engines.torch_engine import TorchEngine  # noqa: PLC0415

    return TorchEngine(path)


ENGINES: dict[str, Callable[[Path, int | None], Engine]] = {
    ".onnx": _open_onnx,
    ".xml": _open_openvino,
    ".pt2": _open_torch,
}
"""Suffix of a file -> what opens it with a number of threads, None for the engine's own."""


def open_engine(path: str | Path, *, num_threads: int | None = None) -> Engine:
    """Make an exported file ready to run on the CPU.

    Args:
        path: a `.onnx`, `.xml` (with its `.bin` beside it) or `.pt2` of `mixtconv export`.
        num_threads: of the engine; by default as many as it takes. torch's are set in torch.

    Raises:
        ValueError: no such file, another suffix, a damaged file or one that is not of `mixtconv
            export`, or an engine that is not installed.
    """
    path = Path(path)
    if not is_exported(path):
        raise ValueError(f"{path} is no exported model; give a file in {', '.join(ENGINES)}")
    if not path.is_file():
        raise ValueError(f"there is no exported model {path}; make it with mixtconv export")
    return ENGINES[path.suffix.lower()](path, num_threads)
