"""What an exported file says of itself: the model, what it takes and what it gives.

It is JSON under the key `mixtconv` in the file's own metadata.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from mixtconv.models.spec import ModelSpec

METADATA_KEY = "mixtconv"

Pixels = Literal["normalized", "uint8", "float255"]
"""Values that a file takes: normalised float32; or as they are read, uint8 or float32 of 0 to 255,
the normalisation being in the file."""

VIDEO, FRAME, LOGITS = "video", "frame", "logits"
"""Names of inputs and outputs: clips (B, T, C, H, W), frames (B, C, H, W), (B, num_classes)."""


def picture_shape(spec: ModelSpec, pixels: Pixels) -> tuple[int, int, int]:
    """Shape (C, S, S) of what a file takes at one place of a clip.

    >>> picture_shape(ModelSpec("tsn_resnet18", ("a", "b")), "uint8")
    (3, 224, 224)
    """
    snippet = spec.snippet
    channels = snippet.in_channels if pixels == "normalized" else snippet.channels
    return channels, spec.image_size, spec.image_size


@dataclass(frozen=True)
class StateShape:
    """The frames that one temporal operation of a streaming model remembers."""

    name: str
    """Of the input; the output that takes its place for the next frame is `next_` and this."""
    shape: tuple[int, ...]
    """(C, D, H, W) of a stream: D past frames, the latest last; zeros at its start."""

    @property
    def next_name(self) -> str:
        return f"next_{self.name}"


@dataclass(frozen=True)
class Description:
    """What is needed to use an exported file."""

    spec: ModelSpec
    """Architecture, classes, clips and normalisation."""
    version: str
    """Of mixtconv, that wrote the file."""
    pixels: Pixels = "normalized"
    """Values that it takes."""
    states: tuple[StateShape, ...] | None = None
    """Of a streaming model, what it remembers; None for a model of whole clips."""
    quantized: bool = False
    """Whether its arithmetic is int8."""

    def __post_init__(self) -> None:
        if self.pixels not in get_args(Pixels):
            raise ValueError(
                f"pixels is {self.pixels!r}; allowed are {', '.join(get_args(Pixels))}"
            )

    @property
    def is_streaming(self) -> bool:
        """Whether it takes one frame at a time."""
        return self.states is not None

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        """By name what the network takes, sizes but for the batch."""
        picture = picture_shape(self.spec, self.pixels)
        if self.states is None:
            return {VIDEO: (self.spec.num_frames, *picture)}
        return {FRAME: picture, **{state.name: state.shape for state in self.states}}

    @property
    def outputs(self) -> dict[str, tuple[int, ...]]:
        """By name what it gives, sizes but for the batch."""
        following = {state.next_name: state.shape for state in self.states or ()}
        return {LOGITS: (self.spec.num_classes,), **following}

    def to_json(self) -> str:
        """As it is stored."""
        return json.dumps({**asdict(self), "spec": self.spec.to_dict()})

    @classmethod
    def from_json(cls, text: str | None, path: object) -> "Description":
        """Read what a file says.

        Args:
            text: the JSON; None where the file has no such entry.
            path: the file, for errors.

        Raises:
            ValueError: there is none, or it is damaged or of another version.
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
                values["states"] = tuple(
                    StateShape(each["name"], tuple(each["shape"])) for each in values["states"]
                )
            return cls(**values)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path} has a description that is damaged or of another version of mixtconv: "
                f"{error}"
            ) from error
