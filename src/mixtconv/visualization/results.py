"""What the report shows, as plain data: no model, no file, nothing that has to be run."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mixtconv.ops.taps import tap_offsets
from mixtconv.visualization.clip_maps import ClipMaps


@dataclass(frozen=True)
class CurvePoint:
    """Scores after one epoch. What was not measured is NaN."""

    epoch: int
    """From 1."""
    train_loss: float
    val_loss: float
    top1: float
    """Validation top-1 in percent."""
    mean_average_precision: float = math.nan
    """Of several labels a clip, in percent."""


@dataclass(frozen=True)
class ProtocolScore:
    """Accuracies by one protocol of views, in percent."""

    protocol: str
    """Its name, such as `1x10`."""
    description: str
    """The protocol in words."""
    top1: float
    top5: float
    mean_class_accuracy: float
    mean_average_precision: float = math.nan
    micro_average_precision: float = math.nan
    macro_f1: float = math.nan


@dataclass(frozen=True)
class KernelGroup:
    """The depthwise temporal kernels of one group of channels."""

    kernel_size: int
    """K."""
    dilation: int
    """Frames between neighbouring taps."""
    weights: NDArray[Any]
    """(C, K); tap 0 meets the earliest frame."""
    causal: bool = False
    """Whether the kernels only look back."""

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or self.weights.shape[1] != self.kernel_size:
            raise ValueError(
                f"the weights of a kernel group have shape {self.weights.shape}; they must be "
                f"(channels, {self.kernel_size})"
            )

    @property
    def offsets(self) -> list[int]:
        """The frame that each tap meets, counted from the present one."""
        return tap_offsets(self.kernel_size, dilation=self.dilation, causal=self.causal)


@dataclass(frozen=True)
class KernelSite:
    """The temporal kernels at one place of a network."""

    module: str
    """Name of the module that holds them."""
    groups: tuple[KernelGroup, ...]
    """As they are, in channel order."""
    initial: tuple[KernelGroup, ...] = ()
    """As training found them, group by group; empty where that is not known."""

    def __post_init__(self) -> None:
        learned = [group.weights.shape for group in self.groups]
        initial = [group.weights.shape for group in self.initial]
        if initial and initial != learned:
            raise ValueError(
                f"kernels of {self.module}: {learned} learned, but {initial} at the start; "
                "give the same groups twice, or no initial ones"
            )


@dataclass(frozen=True)
class ModelPrediction:
    """The label that one model gives an example."""

    model: str
    """The name that is shown, as in `ModelResult.name`."""
    label: str
    score: float
    """Probability of the label, 0 to 1."""


@dataclass(frozen=True)
class ExampleStrip:
    """One clip and what the models took it for."""

    frames: NDArray[np.uint8]
    """(T, H, W, 3), in order of time."""
    true_label: str
    predictions: tuple[ModelPrediction, ...]
    source: str = ""
    """Where the clip comes from, if that is of interest."""

    def __post_init__(self) -> None:
        shape = self.frames.shape
        if self.frames.dtype != np.uint8 or len(shape) != 4 or shape[3] != 3 or 0 in shape:
            raise ValueError(
                f"the frames of an example are {self.frames.dtype} of shape {shape}; "
                "they must be uint8 of shape (frames, height, width, 3)"
            )


@dataclass(frozen=True)
class LabelCounts:
    """Of several labels a clip, what co-occurrences are shares of."""

    num_clips: int
    """Clips that could be read."""
    with_label: NDArray[np.int64]
    """(classes,), clips that have each label."""


@dataclass(frozen=True)
class ModelResult:
    """One model of the comparison."""

    model: str
    """Its name in `mixtconv.list_models()`."""
    name: str
    """The name that is shown, different for every result of a report."""
    frames: int
    """Frames of one clip."""
    top1: float
    """Percent; NaN where not measured, as for `top5`."""
    top5: float
    params: int
    macs: int
    """Multiply-accumulates of one clip."""
    seconds: float
    """Training time."""
    confusion: NDArray[Any]
    """(classes, classes), clips by true class (rows) and predicted class (columns); without those
    that could not be read. Of several labels those with a true label that were given another."""
    curve: tuple[CurvePoint, ...] = ()
    kernels: tuple[KernelSite, ...] = ()
    """Places in the order of the network; empty for a model without learned temporal kernels."""
    protocol: str = ""
    """How the videos were viewed to get the scores."""
    protocol_scores: tuple[ProtocolScore, ...] = ()
    """Scores by several protocols, alike for all results of a report."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """What the model was trained with."""
    remarks: tuple[str, ...] = ()
    """Sentences about what is missing or went wrong."""
    num_unreadable: int = 0
    """Clips that could not be read; they count as wrong."""
    mean_average_precision: float = math.nan
    """Of several labels a clip, in percent, as `macro_f1`."""
    macro_f1: float = math.nan
    calibration_error: float = math.nan
    """Expected calibration error in percent."""
    labels: LabelCounts | None = None
    """Of several labels a clip, how many there are; None of one."""

    @property
    def num_clips(self) -> int:
        """All clips that the scores are about."""
        readable = int(self.confusion.sum()) if self.labels is None else self.labels.num_clips
        return readable + self.num_unreadable

    @property
    def totals(self) -> NDArray[Any]:
        """Clips of each true class, that the rows of the confusion are shares of: (classes,)."""
        return self.confusion.sum(axis=1) if self.labels is None else self.labels.with_label


@dataclass(frozen=True)
class ClassEventScores:
    """How well the events of a class are found in recordings; scores in percent, NaN for none."""

    name: str
    """The class."""
    num_events: int
    """Annotated events."""
    num_found: int
    average_precision: float
    """mAP at a temporal IoU of 0.5."""
    mean_average_precision: float
    """Mean of mAP at temporal IoU 0.1 to 0.7."""
    f1: float
    """F1 of segments at an overlap of 0.5."""
    precision: float
    recall: float
    frame_accuracy: float
    """Of the annotated frames of a class those in which it was found; of all classes together,
    frames with exactly the annotated labels."""


@dataclass(frozen=True)
class EventScores(ClassEventScores):
    """How well a model finds the events of recordings, of all classes together and of each.

    Its name is that of the result that it belongs to.
    """

    page: str
    """Link to the page of the recordings, from that of the report."""
    tuned: bool
    """Whether the settings from scores to events were tuned on annotated recordings."""
    classes: tuple[ClassEventScores, ...]
    """Of the classes that are annotated or found."""


@dataclass(frozen=True)
class Report:
    """Everything on the page."""

    title: str
    classes: tuple[str, ...]
    results: tuple[ModelResult, ...]
    """In the order in which they are listed; the last is usually the one that is proposed."""
    intro: tuple[str, ...] = ()
    """Sentences that say what was done, shown before the summary."""
    notes: tuple[str, ...] = ()
    """Sentences that follow from the data and not from the scores, shown after the summary."""
    lists: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Lists of sentences below the summary, by their titles."""
    reverse_pairs: tuple[tuple[str, str], ...] = ()
    """Classes that are each other's reverse in time, if it is known."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Of all results alike."""
    maps: ClipMaps | None = None
    """Features of clips on a plane, by the names of the results; None where none were asked for."""
    examples: tuple[ExampleStrip, ...] = ()
    events: tuple[EventScores, ...] = ()
    """Of the results that find events in recordings."""
    version: str = ""
    """Version of the library that made the results."""

    @property
    def several(self) -> bool:
        """Whether a clip may have several labels."""
        return self.results[0].labels is not None

    def __post_init__(self) -> None:
        if not self.results:
            raise ValueError("a report needs at least one model's result; it got none")
        _check_unique("class", self.classes)
        _check_unique("result", [result.name for result in self.results])
        size = len(self.classes)
        for result in self.results:
            if result.confusion.shape != (size, size):
                raise ValueError(
                    f"the confusion matrix of {result.name} has shape {result.confusion.shape}, "
                    f"for {size} classes it must be ({size}, {size})"
                )
            first = [score.protocol for score in self.results[0].protocol_scores]
            if [score.protocol for score in result.protocol_scores] != first:
                raise ValueError(
                    f"{result.name} is scored by other protocols than {self.results[0].name}; give "
                    "every result the same"
                )
        unknown = {name for pair in self.reverse_pairs for name in pair} - set(self.classes)
        if unknown:
            raise ValueError(f"reverse_pairs has a name that is not a class: {sorted(unknown)}")


def _check_unique(kind: str, names: tuple[str, ...] | list[str]) -> None:
    twice = sorted({name for name in names if list(names).count(name) > 1})
    if twice:
        raise ValueError(f"more than one {kind} is named {twice[0]!r}; names must differ")
