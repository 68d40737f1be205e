"""What a network takes at each of the T places of a clip: a picture, differences, optical flow.

From "Temporal Segment Networks" (TSN, arXiv 1608.00859): five differences of consecutive pictures,
or five fields of optical flow, x and y in turn, are the channels of one input. What is done to the
values is in `normalization.py`.

What a recognizer is and what clips it takes: everything but its weights.

It is stored in the model file, so that whoever loads the file needs nothing else.

What is asked for when a recognizer is made.

How exported models are named; `inference/engines` runs them, and no model file is one.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

Modality = Literal["rgb", "rgbdiff", "flow", "rgbflow"]


@dataclass(frozen=True)
class Snippet:
    """A short run of consecutive frames as one input of the network."""

    num_frames: int
    """Consecutive frames of the video, or fields of flow, that it is made of."""
    frame_channels: int
    """Channels of each of them as they are read."""
    in_channels: int
    """Channels that the network takes."""
    picture_channels: int
    """How many channels of the network, from the first, are R, G, B in turn."""

    @property
    def channels(self) -> int:
        """C of a clip (T, C, H, W) as it is read."""
        return self.num_frames * self.frame_channels


SNIPPETS: dict[Modality, Snippet] = {
    "rgb": Snippet(1, 3, 3, 3),
    "rgbdiff": Snippet(6, 3, 15, 15),
    "flow": Snippet(5, 2, 10, 0),
    "rgbflow": Snippet(5, 5, 13, 3),
}


Sampling = Literal["segment", "dense"]
ChannelOrder = Literal["rgb", "bgr"]
Position = Literal["head", "inner"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ModelSpec:
    """Architecture, classes and clips of a recognizer."""

    name: str
    """`{family}_{backbone}`, such as `mstnet_resnet50`."""
    classes: tuple[str, ...]
    """Class names in the order of the logits."""
    num_frames: int = 8
    """T, frames of a clip."""
    image_size: int = 224
    """Height and width of a frame as the network sees it, in pixels."""
    sampling: Sampling = "segment"
    """How frames are taken: one from each of T equal segments (TSN), or a dense window."""
    frame_stride: int = 8
    """Frames from one to the next in a dense window."""
    modality: Modality = "rgb"
    """What the network sees: pictures, differences of pictures, optical flow, or (two networks)
    pictures and flow."""
    position: Position = "head"
    """Where in a residual branch the temporal operation stands."""
    stages: tuple[int, ...] | None = None
    """Stages with the temporal operation, counted from 0; all if None."""
    block_step: int = 1
    """Blocks from one with the temporal operation to the next in a stage, from the first: 1 is
    every block, 2 every second, as in the published TSM of ResNet-101."""
    causal: bool = False
    """Whether temporal operations look back only."""
    shift_fraction: float = 0.125
    """The part of the channels that the operation moves at the start, in each direction."""
    dropout: float = 0.5
    """Probability of dropping a feature before the last layer, in training."""
    mean: tuple[float, ...] = IMAGENET_MEAN
    """Mean of the channels R, G, B, of values in 0 to 1; see `snippet` for other modalities."""
    std: tuple[float, ...] = IMAGENET_STD
    """Standard deviation of the channels R, G, B."""
    channel_order: ChannelOrder = "rgb"
    """Order in which the network takes the colours of a pixel."""
    flow_mean: float = 0.5
    """What stands for no motion in optical flow, of values in 0 to 1."""

    def __post_init__(self) -> None:
        _require(len(self.classes) >= 1, f"there are {len(self.classes)} classes; give at least 1")
        twice = sorted({name for name in self.classes if self.classes.count(name) > 1})
        _require(not twice, f"classes are named twice: {', '.join(twice[:5])}; give each one once")
        _require(self.num_frames >= 1, f"num_frames is {self.num_frames}; give at least 1")
        _require(self.image_size >= 16, f"image_size is {self.image_size}; give at least 16 pixels")
        _require(self.frame_stride >= 1, f"frame_stride is {self.frame_stride}; give at least 1")
        _require(self.block_step >= 1, f"block_step is {self.block_step}; give at least 1")
        _require(0 <= self.dropout < 1, f"dropout is {self.dropout}; give 0 to below 1")
        _require(
            self.sampling in ("segment", "dense"),
            f"sampling is {self.sampling!r}; allowed are 'segment' and 'dense'",
        )
        _require(
            self.modality in get_args(Modality),
            f"modality is {self.modality!r}; allowed are 'rgb', 'rgbdiff', 'flow' and 'rgbflow'",
        )
        _require(
            self.channel_order in get_args(ChannelOrder),
            f"channel_order is {self.channel_order!r}; allowed are 'rgb' and 'bgr'",
        )

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def is_temporal(self) -> bool:
        """Whether the network relates the frames of a clip: all but TSN, which averages them.

        >>> ModelSpec("tsn_resnet18", ("a",)).is_temporal, ModelSpec("eco_8", ("a",)).is_temporal
        (False, True)
        """
        return not self.name.startswith("tsn_")

    @property
    def snippet(self) -> Snippet:
        """What the network takes at each of the T places of a clip."""
        return SNIPPETS[self.modality]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON and YAML hold them."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelSpec":
        """Undo `to_dict`, also after a trip through JSON.

        Raises:
            ValueError: a value that this version of mixtconv does not know, or one that is missing.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown or not {"name", "classes"} <= set(values):
            raise ValueError(
                f"the description of the model has {sorted(values)}, of which {unknown} are not "
                "known here: it was written by another version of mixtconv, install that one"
            )
        restored: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value for key, value in values.items()
        }
        return cls(**restored)


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


@dataclass(frozen=True)
class ModelRequest:
    """A name, its classes and what was said about the rest; a system fills in what was not."""

    name: str
    """Name of the recognizer."""
    classes: tuple[str, ...]
    """Class names in the order of the logits."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Other fields of `ModelSpec` that were given."""
    pretrained: bool | str | Path = False
    """2D weights to start from, as in `create_model`."""

    def spec(self, **defaults: Any) -> ModelSpec:
        """The description of the recognizer, with a system's own defaults where nothing was said.

        >>> ModelRequest("eco_8", ("a",), {"image_size": 64}).spec(image_size=224, dropout=0.2)
        ModelSpec(name='eco_8', classes=('a',), num_frames=8, image_size=64, ..., dropout=0.2, ...)
        """
        return ModelSpec(name=self.name, classes=self.classes, **{**defaults, **self.settings})


EXPORTED_SUFFIXES = (".onnx", ".xml", ".pt2")
"""Of ONNX Runtime, OpenVINO and torch.export."""


def is_exported(model: object) -> bool:
    """Whether a model is named as an exported file is, by its suffix.

    >>> is_exported("model.onnx"), is_exported("model.safetensors")
    (True, False)
    """
    return isinstance(model, str | Path) and Path(model).suffix.lower() in EXPORTED_SUFFIXES
