"""Exported files by their suffix: the one table of engines, and `open_engine`."""

from collections.abc import Callable
from pathlib import Path

from mixtconv.inference.engines.base import Engine
from mixtconv.inference.engines.coreml import CoreMLEngine
from mixtconv.inference.engines.executorch import ExecuTorchEngine
from mixtconv.inference.engines.litert import LiteRtEngine
from mixtconv.inference.engines.onnx import OnnxEngine
from mixtconv.inference.engines.openvino import OpenVinoEngine
from mixtconv.inference.engines.tensorrt import TensorRtEngine
from mixtconv.inference.engines.torch import TorchEngine
from mixtconv.models.spec import EXPORTED_FOLDERS, is_exported


def open_engine(path: str | Path, *, num_threads: int | None = None) -> Engine:
    """Load an exported file, ready to run: on the CPU, or where its format is for.

    Args:
        path: a `.onnx`, `.xml` (with its `.bin` beside it), `.pt2`, `.tflite`, `.pte`, `.mlpackage`
            or `.engine` (with its `.engine.json`) of `mixtconv export`.
        num_threads: threads of the engine; by default its own choice. `.pt2` files use torch's.

    Raises:
        ValueError: no such file, another suffix, a damaged file or one that is not of `mixtconv
            export`, or an engine that is not installed.
    """
    path = Path(path)
    refuse_missing(path)
    return ENGINES[path.suffix.lower()](path, num_threads)


def refuse_missing(path: Path) -> None:
    """Raise ValueError if there is no file, or package, with the suffix of an exported model."""
    if not is_exported(path):
        raise ValueError(f"{path} is no exported model; give a file in {', '.join(ENGINES)}")
    is_there = path.is_dir if path.suffix.lower() in EXPORTED_FOLDERS else path.is_file
    if not is_there():
        raise ValueError(f"there is no exported model {path}; make it with mixtconv export")


def files_of(path: Path) -> list[Path]:
    """All files of an exported model: those of a folder, or the file and what is beside it."""
    if path.is_dir():
        return sorted(part for part in path.rglob("*") if part.is_file())
    beside = {".xml": path.with_suffix(".bin"), ".engine": path.with_name(f"{path.name}.json")}
    parts = (path, beside.get(path.suffix.lower()))
    return [part for part in parts if part is not None and part.is_file()]


ENGINES: dict[str, Callable[[Path, int | None], Engine]] = {
    ".onnx": OnnxEngine,
    ".xml": OpenVinoEngine,
    ".pt2": TorchEngine,
    ".tflite": LiteRtEngine,
    ".pte": ExecuTorchEngine,
    ".mlpackage": CoreMLEngine,
    ".engine": TensorRtEngine,
}
"""Suffix -> opens a file with a number of threads, None for the engine's default. An engine imports
its package when it opens a file, as the packages of the others may be missing."""
