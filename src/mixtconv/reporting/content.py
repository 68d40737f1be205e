"""The content of a page about scored models: all side by side, and clips on which they differ.

`mixtconv demo` and `mixtconv report` both make their pages from it.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mixtconv._names import first_few
from mixtconv._version import __version__
from mixtconv.data.listing import label_text, strata
from mixtconv.data.protocol import Protocol
from mixtconv.data.views import TensorViewReader
from mixtconv.evaluation.evaluate import Evaluation
from mixtconv.evaluation.multi_label import decided
from mixtconv.evaluation.scores_file import SavedScores
from mixtconv.reporting.scored_runs import ScoredRun, ScoredRuns
from mixtconv.visualization.frame_sheet import shown_frames
from mixtconv.visualization.results import (
    CurvePoint,
    EventScores,
    ExampleStrip,
    LabelCounts,
    ModelPrediction,
    ModelResult,
    ProtocolScore,
    Report,
)

LEFT_OUT_SETTINGS = ("out", "resume")
"""Settings that have no influence on the training."""


def make_report(
    scored: ScoredRuns,
    *,
    title: str,
    intro: Sequence[str] = (),
    notes: Sequence[str] = (),
    lists: Mapping[str, Sequence[str]] | None = None,
    reverse_pairs: tuple[tuple[str, str], ...] = (),
    settings: Mapping[str, object] | None = None,
    events: tuple[EventScores, ...] = (),
    num_examples: int = 8,
) -> Report:
    """Make the page's content.

    Args:
        scored: the models and their scores.
        title: of the page.
        intro: paragraphs on top.
        notes: paragraphs below the scores.
        lists: lists of sentences below those, by their titles.
        reverse_pairs: classes that are each other's reverse in time.
        settings: of the whole page, by the names that are shown.
        events: of the models that find events in recordings.
        num_examples: clips that are shown with their frames, see `choose_examples`.
    """
    runs = scored.runs
    scores = [run.evaluation.scores for run in runs]
    indices = choose_examples(
        np.stack([_is_right(item) for item in scores]),
        np.array(strata([sample.label for sample in runs[0].evaluation.samples])),
        readable=np.logical_and.reduce([item.readable.numpy() for item in scores]),
        number=num_examples,
    )
    return Report(
        title=title,
        classes=runs[0].spec.classes,
        results=tuple(_result(run) for run in runs),
        intro=tuple(intro),
        notes=tuple(notes),
        lists=lists or {},
        reverse_pairs=reverse_pairs,
        settings=settings or {},
        maps=scored.maps,
        events=events,
        examples=tuple(_example(runs, index) for index in indices),
        version=__version__,
    )


def _is_right(scores: SavedScores) -> NDArray[np.bool_]:
    """Which videos were given their label, of several all of them and no other: (N,)."""
    if scores.thresholds is None:
        return (scores.scores.argmax(dim=1) == scores.labels).numpy()
    given = decided(scores.probabilities(), scores.thresholds)
    return (given == scores.labels.bool()).all(dim=1).numpy()


def _result(scored: ScoredRun) -> ModelResult:
    epochs = scored.run.epochs or ()
    settings = dataclasses.asdict(scored.run.settings) if scored.run.settings else {}
    evaluation = scored.evaluation
    several = evaluation.several
    remarks = [*scored.run.remarks]
    if evaluation.unreadable:
        names = [video.path.name for video in evaluation.unreadable]
        remarks.append(
            f"{len(names)} of {evaluation.num_videos} videos cannot be read; they count as wrong, "
            f"and are left out of the confusions: {first_few(names)}"
        )
    return ModelResult(
        model=scored.spec.name,
        name=scored.name,
        frames=scored.spec.num_frames,
        top1=evaluation.accuracy.top1,
        top5=evaluation.accuracy.top5,
        mean_average_precision=several.mean_average_precision if several else math.nan,
        macro_f1=several.macro_f1 if several else math.nan,
        calibration_error=evaluation.calibration.calibration_error,
        labels=_label_counts(evaluation.scores) if several else None,
        params=scored.complexity.params,
        macs=scored.complexity.macs,
        seconds=sum(row.seconds for row in epochs) if epochs else float("nan"),
        confusion=evaluation.scores.confusion().numpy(),
        num_unreadable=len(evaluation.unreadable),
        curve=tuple(
            CurvePoint(
                row.epoch,
                row.train_loss,
                row.val_loss,
                row.top1,
                math.nan if row.mean_average_precision is None else row.mean_average_precision,
            )
            for row in epochs
        ),
        kernels=scored.kernels,
        protocol=evaluation.protocol_description,
        protocol_scores=tuple(_protocol_score(item) for item in scored.evaluations),
        settings={
            name.replace("_", " "): value
            for name, value in settings.items()
            if name not in LEFT_OUT_SETTINGS
        },
        remarks=tuple(remarks),
    )


def _label_counts(scores: SavedScores) -> LabelCounts:
    readable = scores.readable
    return LabelCounts(int(readable.sum()), scores.labels[readable].sum(dim=0).numpy())


def _protocol_score(item: Evaluation) -> ProtocolScore:
    several = item.several
    return ProtocolScore(
        item.protocol,
        item.protocol_description,
        **dataclasses.asdict(item.accuracy),
        mean_average_precision=several.mean_average_precision if several else math.nan,
        micro_average_precision=several.micro_average_precision if several else math.nan,
        macro_f1=several.macro_f1 if several else math.nan,
    )


def choose_examples(
    correct: NDArray[np.bool_],
    labels: NDArray[np.int64],
    *,
    readable: NDArray[np.bool_],
    number: int,
) -> list[int]:
    """Indices of example clips: first where models differ, then where all are wrong, then others.

    The classes take turns, so that the first clips are of different ones.

    Args:
        correct: (M, N), whether each of M models is right on each of N clips.
        labels: (N,), classes, or numbers of their sets.
        readable: (N,); clips that some model could not read are left out.
        number: how many, at most.

    >>> correct = np.array([[True, False, True], [True, False, False]])
    >>> choose_examples(correct, np.array([0, 0, 0]), readable=np.ones(3, bool), number=3)
    [2, 1, 0]
    """
    differ, wrong = correct.min(axis=0) != correct.max(axis=0), ~correct.any(axis=0)
    by_interest = np.argsort(np.where(differ, 0, np.where(wrong, 1, 2)), kind="stable")
    rounds: dict[int, list[int]] = {}  # the first clip of every class, then the second of every one
    num_taken: Counter[int] = Counter()  # by class
    for index in by_interest[readable[by_interest]].tolist():
        label = int(labels[index])
        rounds.setdefault(num_taken[label], []).append(index)
        num_taken[label] += 1
    return [index for clips in rounds.values() for index in clips][:number]


def _example(runs: Sequence[ScoredRun], index: int) -> ExampleStrip:
    """The frames of one clip in the first model's input, with the predictions of all models."""
    first = runs[0]
    sample = first.evaluation.samples[index]
    reader = TensorViewReader(first.spec, Protocol.parse(first.evaluation.protocol))
    views = reader.read(sample.video).frames
    predictions = []
    for run in runs:
        probabilities = run.evaluation.scores.probabilities()[index]
        thresholds = run.spec.label_thresholds
        if thresholds is None:
            best = int(probabilities.argmax())
            text, score = run.spec.classes[best], float(probabilities[best])
        else:
            given = decided(probabilities[None], thresholds)[0]
            text = label_text(tuple(given.int().tolist()), run.spec.classes)
            score = float(probabilities[given].min()) if given.any() else math.nan
        predictions.append(ModelPrediction(run.name, text, score))
    return ExampleStrip(
        shown_frames(views[0].numpy(), first.spec),
        label_text(sample.label, first.spec.classes),
        tuple(predictions),
        source=sample.video.name,
    )
