"""What the report of scored models says: all beside each other, and clips that tell them apart.

The demonstration and `mixtconv report` make their pages here.
"""

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mixtconv._names import first_few
from mixtconv._version import __version__
from mixtconv.data.protocol import Protocol
from mixtconv.data.views import TensorViewReader
from mixtconv.evaluation.evaluate import Evaluation
from mixtconv.reporting.scored_runs import ScoredRun, ScoredRuns
from mixtconv.visualization.frame_sheet import shown_frames
from mixtconv.visualization.results import (
    CurvePoint,
    ExampleStrip,
    ModelPrediction,
    ModelResult,
    ProtocolScore,
    Report,
)

LEFT_OUT_SETTINGS = ("out", "resume")
"""Settings that do not say what was trained."""


def make_report(
    scored: ScoredRuns,
    *,
    title: str,
    intro: Sequence[str] = (),
    notes: Sequence[str] = (),
    reverse_pairs: tuple[tuple[str, str], ...] = (),
    settings: Mapping[str, object] | None = None,
    num_examples: int = 8,
) -> Report:
    """The page's content: all runs beside each other, and clips that show where they differ."""
    runs = scored.runs
    return Report(
        title=title,
        classes=runs[0].spec.classes,
        results=tuple(_result(run) for run in runs),
        intro=tuple(intro),
        notes=tuple(notes),
        reverse_pairs=reverse_pairs,
        settings=settings or {},
        maps=scored.maps,
        examples=tuple(_example(runs, index) for index in choose_examples(runs, num_examples)),
        version=__version__,
    )


def _result(scored: ScoredRun) -> ModelResult:
    epochs = scored.run.epochs or ()
    settings = dataclasses.asdict(scored.run.settings) if scored.run.settings else {}
    evaluation = scored.evaluation
    return ModelResult(
        model=scored.spec.name,
        name=scored.name,
        frames=scored.spec.num_frames,
        top1=evaluation.accuracy.top1,
        top5=evaluation.accuracy.top5,
        params=scored.complexity.params,
        macs=scored.complexity.macs,
        seconds=sum(row.seconds for row in epochs) if epochs else float("nan"),
        confusion=evaluation.scores.confusion().numpy(),
        num_unreadable=len(evaluation.unreadable),
        curve=tuple(
            CurvePoint(row.epoch, row.train_loss, row.val_loss, row.top1) for row in epochs
        ),
        kernels=scored.kernels,
        protocol=evaluation.protocol_description,
        protocol_scores=tuple(_protocol_score(item) for item in scored.evaluations),
        settings={
            name.replace("_", " "): value
            for name, value in settings.items()
            if name not in LEFT_OUT_SETTINGS
        },
        remarks=(*scored.run.remarks, *_unreadable_remark(evaluation)),
    )


def _protocol_score(evaluation: Evaluation) -> ProtocolScore:
    accuracy = evaluation.accuracy
    return ProtocolScore(
        evaluation.protocol,
        evaluation.protocol_description,
        accuracy.top1,
        accuracy.top5,
        accuracy.mean_class_accuracy,
    )


def _unreadable_remark(evaluation: Evaluation) -> tuple[str, ...]:
    if not evaluation.unreadable:
        return ()
    names = [video.path.name for video in evaluation.unreadable]
    return (
        f"{len(evaluation.unreadable)} of {evaluation.num_videos} videos cannot be read; they "
        f"count as wrong, and are left out of the confusions: {first_few(names)}",
    )


def choose_examples(runs: Sequence[ScoredRun], number: int) -> list[int]:
    """Clips on which the models differ first, then those that all get wrong, then the others.

    Each is of another class while there are classes.
    """
    readable = np.logical_and.reduce([run.evaluation.scores.readable.numpy() for run in runs])
    labels = runs[0].evaluation.scores.labels.tolist()
    right = np.stack([_is_right(run) for run in runs])
    differ, wrong = right.min(axis=0) != right.max(axis=0), ~right.any(axis=0)
    told = np.argsort(np.where(differ, 0, np.where(wrong, 1, 2)), kind="stable")
    rounds: dict[int, list[int]] = {}  # the first clip of every class, then the second of every
    seen: Counter[int] = Counter()
    for index in told[readable[told]].tolist():
        rounds.setdefault(seen[labels[index]], []).append(index)
        seen[labels[index]] += 1
    return [index for clips in rounds.values() for index in clips][:number]


def _is_right(run: ScoredRun) -> NDArray[np.bool_]:
    """(N,), whether a video was recognized."""
    scores = run.evaluation.scores
    return (scores.scores.argmax(dim=1) == scores.labels).numpy()


def _example(runs: Sequence[ScoredRun], index: int) -> ExampleStrip:
    """One clip as the first model saw it, and what every model took it for."""
    first = runs[0]
    sample = first.evaluation.samples[index]
    reader = TensorViewReader(first.spec, Protocol.parse(first.evaluation.protocol))
    views = reader.read(sample.path).frames
    predictions = []
    for run in runs:
        probabilities = run.evaluation.scores.probabilities()[index]
        best = int(probabilities.argmax())
        predictions.append(
            ModelPrediction(run.name, run.spec.classes[best], float(probabilities[best]))
        )
    return ExampleStrip(
        shown_frames(views[0].numpy(), first.spec),
        first.spec.classes[sample.label],
        tuple(predictions),
        source=sample.path.name,
    )
