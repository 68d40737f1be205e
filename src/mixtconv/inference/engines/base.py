"""An exported file ready to run: its engine, and the description that the file carries.

The description is JSON under the key `mixtconv` in the file's own metadata. Arrays are NumPy's,
whichever engine runs the network; nothing here needs torch.
"""

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from mixtconv._optional import import_needed
from mixtconv.inference.engines.past import NUMBER, State, has_rings
from mixtconv.models.motion import clip_medians, subtract_median
from mixtconv.models.spec import EVENTS_NOTE, ModelSpec

Pixels = Literal["normalized", "uint8", "float255"]
"""Values that a network takes: normalised float32; or as decoded, uint8 or float32 in 0 to 255,
with the normalisation in the file."""

VIDEO, FRAME, LOGITS = "video", "frame", "logits"
"""Names of inputs and outputs: clips (B, T, C, H, W), frames (B, C, H, W), (B, num_classes)."""

Array = npt.NDArray[Any]
Sizes = Sequence[object]
"""Sizes of an input or an output without the batch; a dynamic one is no integer."""


class Engine(ABC):
    """A network of an exported file: arrays by name in, arrays by name out."""

    stand_in: str | None = None
    """What computes in place of the engine that the file is for, where that does not run."""

    devices: tuple[str, ...] = ("auto", "cpu")
    """What it runs on, as values of `--device`; it has no choice."""

    def __init__(
        self,
        path: Path,
        description: "Description",
        inputs: Mapping[str, Sizes],
        outputs: Mapping[str, Sizes],
    ) -> None:
        """Check the network against its description.

        Args:
            path: the file, for errors.
            description: the file's description of itself.
            inputs, outputs: sizes in the network, by name, in its order.

        Raises:
            ValueError: the network is not the one described.
        """
        _refuse_another_network(path, description.inputs, inputs, "takes")
        _refuse_another_network(path, description.outputs, outputs, "gives")
        self.path, self.description = path, description
        self._outputs = list(outputs)

    def __str__(self) -> str:
        return str(self.path)

    @abstractmethod
    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs, for inputs of any batch size B.

        New frames of rings are to be put in their slots before the thread's next call, which may
        overwrite them.
        """

    @contextmanager
    def concurrent(self, count: int) -> Iterator["Engine"]:
        """This network for so many threads that run it at the same time, each on its own inputs.

        An engine that cannot do better lets them run it one after the other.
        """
        yield _InTurn(self)

    def normalized(self, pixels: npt.NDArray[np.uint8], medians: Array | None = None) -> Array:
        """Convert decoded pictures, uint8 RGB (..., 3, H, W), to the values the network takes.

        Args:
            pixels: the pictures; of modality motion, whole clips (B, T, 3, H, W) or frames.
            medians: of frames of modality motion the median pictures, of 0 to 1, of their streams.
        """
        spec, values = self.description.spec, self.description.pixels
        if values == "uint8":
            return pixels
        if values == "float255":
            return pixels.astype(np.float32)
        unit = scale_pixels(pixels)
        mean, std = (np.array(each, np.float32).reshape(3, 1, 1) for each in (spec.mean, spec.std))
        if spec.modality == "motion":
            center = clip_medians(unit, spec, np) if medians is None else medians
            normal = subtract_median(unit, center, std)
        else:
            normal = (unit - mean) / std
        order = slice(None, None, -1) if spec.channel_order == "bgr" else slice(None)
        return np.ascontiguousarray(normal[..., order, :, :])


class _InTurn(Engine):
    """An engine that one thread at a time may use."""

    def __init__(self, engine: Engine) -> None:
        self.path, self.description = engine.path, engine.description
        self.devices, self.stand_in = engine.devices, engine.stand_in
        self._engine, self._turn = engine, threading.Lock()

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        with self._turn:
            return self._engine.run(inputs)


@dataclass(frozen=True)
class Description:
    """Everything needed to use an exported file."""

    spec: ModelSpec
    """Architecture, classes, clips and normalisation."""
    version: str
    """Version of mixtconv that wrote the file."""
    pixels: Pixels = "normalized"
    """Values that the network takes."""
    states: tuple[State, ...] | None = None
    """The past of a streaming model; None for a model of whole clips."""
    quantized: bool = False
    """Whether its arithmetic is int8."""
    half: bool = False
    """Whether it computes in float16."""
    events: dict[str, Any] | None = None
    """Settings of events of the model file, where they hold for what the file scores."""

    def __post_init__(self) -> None:
        if self.pixels not in get_args(Pixels):
            raise ValueError(
                f"pixels is {self.pixels!r}; allowed are {', '.join(get_args(Pixels))}"
            )

    @property
    def precision(self) -> str:
        """What it computes in, as a value of `--precision`; or int8, which is none."""
        return "int8" if self.quantized else "16" if self.half else "32"

    @property
    def is_streaming(self) -> bool:
        """Whether it takes one frame at a time."""
        return self.states is not None

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """Sizes of the network's inputs by name, without the batch."""
        picture = picture_shape(self.spec, self.pixels)
        if self.states is None:
            return {VIDEO: (self.spec.num_frames, *picture)}
        number: dict[str, tuple[int, ...]] = {NUMBER: ()} if has_rings(self.states) else {}
        return {FRAME: picture, **number, **{state.name: state.shape for state in self.states}}

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """Sizes of the network's outputs by name, without the batch."""
        past = dict(state.output for state in self.states or ())
        return {LOGITS: (self.spec.num_classes,), **past}

    def to_json(self) -> str:
        """The text stored in a file's metadata."""
        values = {**asdict(self), "spec": self.spec.to_dict()}
        if self.states is not None:
            values["states"] = [state.to_dict() for state in self.states]
        if self.events is None:  # as in files of earlier versions, which read this one
            del values["events"]
        if not self.half:
            del values["half"]
        return json.dumps(values)

    @property
    def notes(self) -> dict[str, Any]:
        """What it says beside the model, as the notes of a model file."""
        return {} if self.events is None else {EVENTS_NOTE: self.events}

    @classmethod
    def from_json(cls, text: str | None, path: object) -> "Description":
        """Read the text stored in a file's metadata.

        Args:
            text: the JSON; None if the file has no such entry.
            path: the file, for errors.

        Raises:
            ValueError: the description is missing, damaged, or of another version.
        """
        if text is None:
            raise ValueError(
                f"{path} has no description of mixtconv in it: it was not made by mixtconv export, "
                "or its metadata were removed; export the model again"
            )
        try:
            values: dict[str, Any] = json.loads(text)
            values["spec"] = ModelSpec.from_dict(values["spec"])
            if values["states"] is not None:
                values["states"] = tuple(map(State.from_dict, values["states"]))
            return cls(**values)
        except (KeyError, TypeError, ValueError, RecursionError, AttributeError) as error:
            raise ValueError(
                f"{path} has a description that is damaged or of another version of mixtconv: "
                f"{error}"
            ) from error


def picture_shape(spec: ModelSpec, pixels: Pixels) -> tuple[int, int, int]:
    """Shape (C, S, S) that a file takes at each of the T places of a clip.

    >>> picture_shape(ModelSpec("tsn_resnet18", ("a", "b")), "uint8")
    (3, 224, 224)
    """
    snippet = spec.snippet
    channels = snippet.in_channels if pixels == "normalized" else snippet.channels
    return channels, spec.image_size, spec.image_size


def scale_pixels(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Values of 0 to 1 of decoded pictures."""
    return pixels.astype(np.float32) / np.float32(255)


def import_engine(package: str, path: object) -> ModuleType:
    """Import the package that runs a file.

    Raises:
        ValueError: it is not installed; says how to install it.
    """
    return import_needed(package, why=f"{path} is run by")


def _refuse_another_network(
    path: Path, described: Mapping[str, Sizes], actual: Mapping[str, Sizes], verb: str
) -> None:
    """Raise ValueError if a network's inputs or outputs are not those of its description."""
    for name in sorted(described.keys() | actual.keys()):
        expected = described.get(name, ())
        sizes = tuple(size if isinstance(size, int) else None for size in actual.get(name, ()))
        same = [size in (None, other) for size, other in zip(sizes, expected, strict=False)]
        if len(sizes) != len(expected) or not all(same):
            raise ValueError(
                f"{path} does not match its description: its network {verb} {name} of "
                f"{sizes or 'no size'}, described is {expected or 'none'}; export the model again"
            )
