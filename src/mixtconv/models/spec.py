"""What a recognizer is and what clips it takes: everything but its weights. Loads without torch.

`ModelSpec` is stored in every model file and exported file, so that loading one needs nothing else.
Fields that belong together are separate dataclasses, its bases: `TemporalSettings` (the temporal
operation and its `Placement`) and `PixelSettings`. `Snippet` is the input of the network at each of
the T places of a clip, by modality, and `ModelArgs` the arguments of `create_model`.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from mixtconv._names import composed, require
from mixtconv._types import AdapterPlaces, Edges, Position
from mixtconv.models.field_types import require_types

Modality = Literal["rgb", "rgbdiff", "motion", "flow", "rgbflow"]
Sampling = Literal["segment", "dense"]
ChannelOrder = Literal["rgb", "bgr"]
Head = Literal["average", "attention", "blocks"]

METADATA_KEY = "mixtconv"
"""Key of our JSON in the metadata of model files and exported files."""

EVENTS_NOTE = "events"
"""Name of the note of a model file that holds its settings of events."""

TargetName = Literal["onnx", "openvino", "torch", "litert", "executorch", "coreml", "tensorrt"]
"""What models are exported to, as files: `--to` of `mixtconv export`, which also writes pages."""

EXPORTED_SUFFIXES: dict[TargetName, str] = {
    "onnx": ".onnx",
    "openvino": ".xml",
    "torch": ".pt2",
    "litert": ".tflite",
    "executorch": ".pte",
    "coreml": ".mlpackage",
    "tensorrt": ".engine",
}
"""Suffixes of these files, which `inference/engines` runs."""

EXPORTED_FOLDERS = (".mlpackage",)
"""Those of them that are folders."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Snippet:
    """A short run of consecutive frames as one input of the network.

    From "Temporal Segment Networks" (TSN, arXiv 1608.00859): five differences of consecutive
    pictures, or five fields of optical flow, x and y in turn, are the channels of one input.
    """

    num_frames: int
    """Consecutive frames of the video, or fields of flow, in one input."""
    frame_channels: int
    """Channels of each frame as it is read."""
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
    "motion": Snippet(1, 3, 3, 3),
    "flow": Snippet(5, 2, 10, 0),
    "rgbflow": Snippet(5, 5, 13, 3),
}

PICTURES: tuple[Modality, ...] = ("rgb", "motion")
"""Modalities that read one picture at each place, as streams and exported models take."""


CLIP_RANGES = {"num_frames": (1, 4096), "image_size": (16, 2048), "frame_stride": (1, 65536)}
"""Least and largest values: what a file says beyond is damage, or an attack on the memory."""

_THRESHOLDS = ("label_thresholds", "rejection_thresholds")

MAX_CLIP_PIXELS = 2**28
"""Pixels of all frames of a clip, such as 5000 of 224 x 224: 3 gigabytes in float32."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where in a 2D network the temporal operation is inserted."""

    position: Position = "head"
    """Where in a residual branch: before its first convolution (`head`), or before its first
    spatial convolution that follows another one (`inner`); or before the depthwise or spatial
    convolutions of each block (`spatial`), as also `head` does where residual branches have no
    place; or on the keys and values of every attention (`kv`)."""
    stages: tuple[int, ...] | None = None
    """Stages with the operation, counted from 0; all if None."""
    block_step: int = 1
    """Blocks from one with the operation to the next in a stage, from the first: 1 is every block,
    2 every second, as in the published TSM of ResNet-101."""

    def __post_init__(self) -> None:
        for each in fields(self):  # lists too, as one writes them in Python and files hold them
            if isinstance(value := getattr(self, each.name), list):
                object.__setattr__(self, each.name, tuple(value))
        require_types(self)
        require(
            self.block_step >= 1,
            f"block_step is {self.block_step}; give 1 for every block, 2 for every second",
        )


@dataclass(frozen=True, kw_only=True)
class TemporalSettings(Placement):
    """The temporal operation of a recognizer: settings without which its weights mean another one.

    The names are those of the keyword arguments of `create_model` and `insert_temporal`.
    """

    causal: bool = False
    """Whether temporal operations look back only."""
    shift_fraction: float = 0.125
    """Fraction of the channels that the operation shifts at initialisation, in each direction."""
    edges: Edges = "zeros"
    """What frames outside of a clip count as: zeros, or its first and last frame."""


@dataclass(frozen=True, kw_only=True)
class AdapterSettings:
    """Adapters in the blocks of a transformer; see `adapters.py`."""

    adapter_width: float = 0.5
    """Channels of an adapter, as a fraction of those of the tokens."""
    adapter_places: AdapterPlaces = "both"
    """The branches of a block that adapters come before."""
    time_adapters: int = 1
    """Adapters of AIM's attention over time: 1 behind it, or 2, one before it too."""
    temporal_position: bool = False
    """Whether a learned vector for each frame of a clip is added to its tokens."""
    average_before_norm: bool = False
    """Whether the tokens of a clip's frames are averaged before the last normalisation of the
    backbone, as ST-Adapter has it, and not their logits."""

    def __post_init__(self) -> None:
        require(
            0 < self.adapter_width <= 4,
            f"adapter_width is {self.adapter_width}; give more than 0, at most 4",
        )
        require(self.time_adapters in (1, 2), f"time_adapters is {self.time_adapters}; give 1 or 2")


@dataclass(frozen=True, kw_only=True)
class HeadSettings:
    """What stands between the backbone and the last layer; see `feature_head.py`."""

    feature_head: Head | None = None
    """None for the features as the backbone pools them; else a head on the feature map of a stage,
    in whose blocks the temporal operation is then, not in the backbone."""
    feature_stage: int | None = None
    """The stage, counted from 0; if None the last one whose map is at least 7 x 7, or else the last
    one."""
    less_mean: bool = False
    """Whether the head takes the map less its mean over the clip, or over the last T frames."""

    def __post_init__(self) -> None:
        require(
            self.feature_head is not None or (self.feature_stage is None and not self.less_mean),
            "feature_stage and less_mean are for a head on a feature map: give feature_head "
            "'average', 'attention' or 'blocks' as well",
        )


@dataclass(frozen=True, kw_only=True)
class PixelSettings:
    """How the network expects the values of pixels, which depends on the weights it starts from."""

    mean: tuple[float, ...] = IMAGENET_MEAN
    """Mean of the channels R, G, B, of values in 0 to 1; see `Snippet` for other modalities."""
    std: tuple[float, ...] = IMAGENET_STD
    """Standard deviation of the channels R, G, B."""
    channel_order: ChannelOrder = "rgb"
    """Order in which the network takes the colours of a pixel."""
    flow_mean: float = 0.5
    """Pixel value of zero flow, in 0 to 1."""


@dataclass(frozen=True)
class ModelSpec(TemporalSettings, AdapterSettings, HeadSettings, PixelSettings):
    """Architecture, classes and clips of a recognizer.

    Raises:
        ValueError: a value out of range, or classes that are not distinct.
    """

    name: str
    """`{family}_{backbone}`, such as `mstnet_resnet50`, or the name of a system."""
    classes: tuple[str, ...]
    """Class names in the order of the logits; kept with their accents composed. None for a
    recognizer that gives features (`num_classes=0`), which files do not hold."""
    num_frames: int = 8
    """T, frames of a clip."""
    image_size: int = 224
    """Height and width of a frame as the network sees it, in pixels."""
    sampling: Sampling = "segment"
    """How frames are taken: one from each of T equal segments (TSN), or a dense window."""
    frame_stride: int = 8
    """Frames from one to the next in a dense window."""
    modality: Modality = "rgb"
    """What the network sees: pictures, differences of pictures, pictures less the clip's median
    picture (see `motion.py`), optical flow, or (two networks) pictures and flow."""
    dropout: float = 0.5
    """Probability of dropping a feature before the last layer, in training."""
    label_thresholds: tuple[float, ...] | None = None
    """Of a recognizer that gives a clip several labels or none, for each class the score from which
    its label holds; scores are then sigmoids of the logits, each for itself. None of one that
    gives one label: scores are the softmax of the logits."""
    rejection_thresholds: tuple[float, ...] | None = None
    """Of a recognizer of one label that rejects clips, for each class the score below which it is
    not given, if it is the best: the clip shows none of the classes. None of one that always gives
    a label."""

    def __post_init__(self) -> None:
        super().__post_init__()
        AdapterSettings.__post_init__(self)
        HeadSettings.__post_init__(self)
        twice = sorted(name for name, count in Counter(self.classes).items() if count > 1)
        require(not twice, f"classes are named twice: {', '.join(twice[:5])}; give each one once")
        names = tuple(map(composed, self.classes))
        if len(set(names)) == len(names):  # else trained with both forms of a name as two classes
            object.__setattr__(self, "classes", names)
        for name, (least, most) in CLIP_RANGES.items():
            value = getattr(self, name)
            require(least <= value <= most, f"{name} is {value}; give {least} to {most}")
        num_pixels = self.num_frames * self.image_size**2
        require(
            num_pixels <= MAX_CLIP_PIXELS,
            f"{self.num_frames} frames of {self.image_size} x {self.image_size} are {num_pixels} "
            f"pixels; give fewer num_frames or a smaller image_size, at most {MAX_CLIP_PIXELS}",
        )
        require(
            len(self.mean) == 3 and len(self.std) == 3 and min(self.std) > 0,
            f"mean is {self.mean} and std {self.std}; give three numbers each, one a channel, and "
            "no std of 0 or below",
        )
        for name in _THRESHOLDS:
            limits = getattr(self, name)
            require(
                limits is None
                or (len(limits) == len(self.classes) and all(0 <= each <= 1 for each in limits)),
                f"{name} are {limits}; give one of 0 to 1 for each of {len(self.classes)} classes, "
                "or None",
            )
        require(
            self.label_thresholds is None or self.rejection_thresholds is None,
            "rejection_thresholds are of one label a clip, and label_thresholds of several: leave "
            "one out",
        )
        require(0 <= self.dropout < 1, f"dropout is {self.dropout}; give 0 to below 1")
        require(
            self.modality != "motion" or self.num_frames >= 2,
            "modality motion takes the median of a clip's frames away, and num_frames is "
            f"{self.num_frames}; give at least 2",
        )

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    @property
    def several_labels(self) -> bool:
        """Whether a clip may have several labels."""
        return self.label_thresholds is not None

    def with_classes(self, classes: tuple[str, ...]) -> "ModelSpec":
        """The same recognizer of other classes, whose thresholds are not known yet."""
        thresholds = (0.5,) * len(classes) if self.several_labels else None
        return replace(
            self, classes=classes, label_thresholds=thresholds, rejection_thresholds=None
        )

    def require_classes(self) -> None:
        """Raise a ValueError for a recognizer without classes, where they are needed."""
        require(
            bool(self.classes),
            f"{self.name} has 0 classes and gives features; give at least 1, for instance with "
            "model.reset_classifier(classes=[...])",
        )

    @property
    def is_temporal(self) -> bool:
        """Whether the network relates the frames of a clip: all but TSN, which averages logits.

        >>> ModelSpec("tsn_resnet18", ("a",)).is_temporal, ModelSpec("eco_8", ("a",)).is_temporal
        (False, True)
        """
        in_head = self.feature_head == "attention" or self.less_mean
        in_tokens = self.temporal_position or self.average_before_norm
        return in_head or in_tokens or not self.name.startswith("tsn_")

    @property
    def snippet(self) -> Snippet:
        """The input of the network at each of the T places of a clip."""
        return SNIPPETS[self.modality]

    def fields_of(
        self, part: type[Placement] | type[AdapterSettings] | type[PixelSettings]
    ) -> dict[str, Any]:
        """The fields that belong to one of the dataclasses above, with their values.

        >>> ModelSpec("eco_8", ("a",)).fields_of(PixelSettings)["channel_order"]
        'rgb'
        """
        return {field.name: getattr(self, field.name) for field in fields(part)}

    def to_dict(self) -> dict[str, Any]:
        """All fields in one flat dictionary of plain values, as JSON and YAML hold them.

        Raises:
            ValueError: there are no classes.
        """
        self.require_classes()
        values = {"name": self.name, "classes": self.classes} | asdict(self)
        for name in _THRESHOLDS:
            if values[name] is None:  # as in files of earlier versions, which read this one
                del values[name]
        return values

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "ModelSpec":
        """Undo `to_dict`, also after a trip through JSON.

        Raises:
            ValueError: a value that this version of mixtconv does not know, one that is missing, or
                no classes.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown or not {"name", "classes"} <= set(values):
            raise ValueError(
                f"the description of the model has {sorted(values)}, of which {unknown} are not "
                "known here: it was written by another version of mixtconv, install that one"
            )
        spec = cls(**values)
        spec.require_classes()
        return spec


@dataclass(frozen=True)
class ModelArgs:
    """Arguments of `create_model`: settings that were not passed get a system's own defaults."""

    name: str
    """Name of the recognizer."""
    classes: tuple[str, ...]
    """Class names in the order of the logits."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Other fields of `ModelSpec` that were passed."""
    pretrained: bool | str | Path = False
    """2D weights to start from, as in `create_model`."""
    drop_path_rate: float = 0.0
    """Of the backbone in training, as in `create_model`; no field of `ModelSpec`, since it changes
    nothing afterwards."""

    def spec(self, **defaults: Any) -> ModelSpec:
        """The spec of the recognizer; `defaults` hold for settings that were not passed.

        >>> spec = ModelArgs("eco_8", ("a",), {"image_size": 64}).spec(image_size=224, dropout=0.2)
        >>> spec.image_size, spec.dropout
        (64, 0.2)
        """
        return ModelSpec(name=self.name, classes=self.classes, **{**defaults, **self.settings})

    def member(self, name: str, **settings: Any) -> "ModelArgs":
        """The arguments of a member of this recognizer, an ensemble, with settings of its own."""
        return replace(self, name=name, settings={**self.settings, **settings})


def is_exported(model: object) -> bool:
    """Whether a model is the path of an exported file, by its suffix.

    >>> is_exported("model.onnx"), is_exported("model.safetensors")
    (True, False)
    """
    return (
        isinstance(model, str | Path) and Path(model).suffix.lower() in EXPORTED_SUFFIXES.values()
    )
