"""Core ML packages (`.mlpackage`, a folder), run by Core ML, which is on macOS alone.

A package is for one clip, or for one stream whose past Core ML keeps as states. States are float16:
Core ML has no others.
"""

import sys
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from mixtconv._quiet import only_errors
from mixtconv.inference.engines.base import LOGITS, Array, Description, Sizes, import_engine
from mixtconv.inference.engines.one_by_one import OneByOneEngine
from mixtconv.models.spec import METADATA_KEY


class PackageEngine(OneByOneEngine):
    """A network of a Core ML package, whatever computes it.

    Args:
        path: the package.
        model: its `coremltools.models.MLModel`.
    """

    def __init__(self, path: Path, model: Any) -> None:
        text = model.user_defined_metadata.get(METADATA_KEY)
        about = model.get_spec().description
        inputs = {port.name: _sizes(port.type.multiArrayType) for port in about.input}
        states = {port.name: _sizes(port.type.stateType.arrayType) for port in about.state}
        outputs = {port.name: _sizes(port.type.multiArrayType) for port in about.output}
        following = {f"next_{name}": sizes for name, sizes in states.items()}
        super().__init__(
            path, Description.from_json(text, path), inputs | states, outputs | following
        )

    def run_one(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        states = {state.name: state.next_name for state in self.description.states or ()}
        arrays = {name: array for name, array in inputs.items() if name not in states}
        past = {name: inputs[name].astype(np.float16) for name in states}
        logits, after = self._predict(arrays, past)
        following = {states[name]: value.astype(np.float32) for name, value in after.items()}
        return {LOGITS: np.asarray(logits, np.float32), **following}

    @abstractmethod
    def _predict(
        self, inputs: dict[str, Array], past: dict[str, Array]
    ) -> tuple[Array, dict[str, Array]]:
        """The logits (1, K) and the next states of one clip or stream.

        Args:
            inputs: the video or the frame, (1, ...).
            past: the states by name, float16 (1, ...).
        """


class CoreMLEngine(PackageEngine):
    """A package in Core ML; see `opening.open_engine`. Core ML chooses its threads itself,
    and where it computes."""

    devices = ("auto",)

    def __init__(self, path: Path, num_threads: int | None = None) -> None:
        refuse_other_systems(path)
        self._model = read_package(path, load=True)
        super().__init__(path, self._model)

    def _predict(
        self, inputs: dict[str, Array], past: dict[str, Array]
    ) -> tuple[Array, dict[str, Array]]:
        with _named(self.path, "fails in Core ML"):
            if not past:
                return self._model.predict(inputs)[LOGITS], {}
            state = self._model.make_state()
            for name, value in past.items():
                state.write_state(name, value)
            logits = self._model.predict(inputs, state)[LOGITS]
            return logits, {name: state.read_state(name) for name in past}


def runs_here() -> bool:
    """Whether this system has Core ML."""
    return sys.platform == "darwin"


def refuse_other_systems(path: object) -> None:
    """Raise ValueError where there is no Core ML."""
    if not runs_here():
        raise ValueError(
            f"{path} is run by Core ML, which is on macOS alone: run it on a Mac, or export the "
            "model with --to onnx"
        )


def read_package(path: Path, *, load: bool) -> Any:
    """The `coremltools.models.MLModel` of a package.

    Args:
        path: the package.
        load: for predictions by Core ML; else to be read.

    Raises:
        ValueError: coremltools is not installed, or the package cannot be read.
    """
    coremltools = import_coremltools(path)
    with _named(path, "cannot be read by coremltools"):
        model = coremltools.models.MLModel(str(path), skip_model_load=True)
    if not load:
        return model
    half = Description.from_json(model.user_defined_metadata.get(METADATA_KEY), path).half
    # Float32 is computed on the CPU, float16 where Core ML thinks it is fastest.
    units = coremltools.ComputeUnit.ALL if half else coremltools.ComputeUnit.CPU_ONLY
    with _named(path, "cannot be loaded by Core ML"):
        return coremltools.models.MLModel(str(path), compute_units=units)


@contextmanager
def _named(path: Path, fault: str) -> Iterator[None]:
    """Raise any error of coremltools, which a damaged or foreign package can bring about, as a
    ValueError that names the package."""
    try:
        with only_errors("coremltools"):
            yield
    except Exception as error:
        reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
        raise ValueError(f"{path} {fault}: {reason}") from error


def import_coremltools(path: object) -> ModuleType:
    """Import coremltools without what it says about versions and other systems."""
    with only_errors("coremltools"):
        return import_engine("coremltools", path)


def _sizes(array: Any) -> Sizes:
    """Drop the batch, which is 1."""
    return tuple(array.shape)[1:]
