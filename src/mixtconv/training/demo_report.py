"""The demonstration's report: what its runs came to, as plain data for the page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mixtconv._version import __version__
from mixtconv.data.catalog import VideoSample
from mixtconv.data.protocol import Protocol
from mixtconv.data.synthetic import SyntheticDataset
from mixtconv.data.views import read_views
from mixtconv.evaluation.complexity import Complexity
from mixtconv.evaluation.metrics import confusion
from mixtconv.evaluation.scoring import VideoScores
from mixtconv.models import VideoClassifier
from mixtconv.ops import MixTConv
from mixtconv.training.record import EpochRecord
from mixtconv.visualization.report_data import (
    CurvePoint,
    ExampleStrip,
    KernelGroup,
    KernelSite,
    ModelResult,
    Prediction,
    Report,
)

NUM_EXAMPLES = 8
"""Strips of frames on the page."""


@dataclass(frozen=True)
class DemoRun:
    """A trained model of the demonstration and its scores."""

    title: str
    """The name of its paper."""
    model: VideoClassifier
    epochs: Sequence[EpochRecord]
    samples: Sequence[VideoSample]
    """The videos that it was scored on."""
    scores: VideoScores
    complexity: Complexity
    protocol: Protocol
    seconds: float
    """Training with its validations."""


def make_report(
    runs: Sequence[DemoRun], dataset: SyntheticDataset, *, settings: Mapping[str, object]
) -> Report:
    """The page's content: all runs beside each other, and clips that show where they differ."""
    classes = runs[0].model.spec.classes
    return Report(
        title="mixtconv demo: what a temporal operation adds",
        classes=classes,
        results=tuple(_result(run) for run in runs),
        intro=(
            f"{dataset.num_videos} short videos of {len(classes)} actions were made, and "
            f"{len(runs)} recognisers were trained on them from random weights, with the same "
            "backbone, budget and seed.",
        ),
        notes=(
            "Every action's reverse in time is an action as well, so a network that averages its "
            "frames without regard to their order cannot be right in more than half of the cases.",
        ),
        reverse_pairs=dataset.pairs,
        settings={key.replace("_", " "): value for key, value in settings.items()},
        examples=tuple(_example(runs, index) for index in _choose_examples(runs)),
        version=__version__,
    )


def _result(run: DemoRun) -> ModelResult:
    accuracy, readable = run.scores.accuracy(), run.scores.readable
    return ModelResult(
        model=run.model.spec.name,
        name=run.title,
        frames=run.model.spec.num_frames,
        top1=accuracy.top1,
        top5=accuracy.top5,
        params=run.complexity.params,
        macs=run.complexity.macs,
        seconds=run.seconds,
        confusion=confusion(run.scores.logits[readable], run.scores.labels[readable]).numpy(),
        curve=tuple(
            CurvePoint(row.epoch, row.train_loss, row.val_loss, row.top1) for row in run.epochs
        ),
        kernels=learned_kernels(run.model),
        protocol=run.protocol.describe(run.model.spec),
    )


def learned_kernels(model: VideoClassifier) -> tuple[KernelSite, ...]:
    """The temporal kernels of a model's mixed convolutions, beside those they started from."""
    return tuple(
        KernelSite(
            name.removeprefix("backbone.").removesuffix(".temporal"),
            _groups(layer, list(layer.weights)),
            _groups(layer, layer.initial_weights()),
        )
        for name, layer in model.named_modules()
        if isinstance(layer, MixTConv)
    )


def _groups(layer: MixTConv, weights: Sequence) -> tuple[KernelGroup, ...]:
    return tuple(
        KernelGroup(size, dilation, weight.detach().cpu().numpy(), layer.causal)
        for size, dilation, weight in zip(layer.kernel_sizes, layer.dilations, weights, strict=True)
    )


def _choose_examples(runs: Sequence[DemoRun]) -> list[int]:
    """Clips on which the models differ first, each of another class while there are classes."""
    readable = np.logical_and.reduce([run.scores.readable.numpy() for run in runs])
    labels = runs[0].scores.labels
    right = np.stack([(run.scores.logits.argmax(1) == labels).numpy() for run in runs])
    disagreement = right.min(axis=0) != right.max(axis=0)
    order = sorted(np.flatnonzero(readable), key=lambda index: not disagreement[index])
    first_of_class: dict[int, int] = {}
    for index in order:
        first_of_class.setdefault(int(labels[index]), int(index))
    return list(first_of_class.values())[:NUM_EXAMPLES]


def _example(runs: Sequence[DemoRun], index: int) -> ExampleStrip:
    """One clip as the first model saw it, and what every model took it for."""
    first = runs[0]
    views = read_views(first.samples[index].path, first.model.spec, first.protocol)
    frames = views[0].permute(0, 2, 3, 1).numpy()  # (T, H, W, 3)
    predictions = []
    for run in runs:
        probabilities = run.scores.logits[index].softmax(dim=0)
        best = int(probabilities.argmax())
        label = run.model.spec.classes[best]
        predictions.append(Prediction(run.title, label, float(probabilities[best])))
    true_label = first.model.spec.classes[first.samples[index].label]
    return ExampleStrip(frames, true_label, tuple(predictions))
