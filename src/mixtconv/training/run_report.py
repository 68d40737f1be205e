"""The report of trained models: each scored on the same videos, all beside each other.

The demonstration and `mixtconv report` make their pages here.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixtconv._version import __version__
from mixtconv.data.protocol import Protocol
from mixtconv.data.source import DataSource
from mixtconv.data.views import read_views
from mixtconv.evaluation.complexity import Complexity, complexity
from mixtconv.evaluation.evaluate import Evaluation, common_videos, evaluate_model
from mixtconv.evaluation.metrics import confusion
from mixtconv.evaluation.reading import Reading
from mixtconv.models import ModelSpec, load_model
from mixtconv.training.report_settings import ReportScale
from mixtconv.training.run_folder import TrainedRun
from mixtconv.visualization.clip_features import clip_features
from mixtconv.visualization.clip_maps import ClipMaps, clip_maps
from mixtconv.visualization.embedding import PERPLEXITY, require_sklearn
from mixtconv.visualization.frame_sheet import shown_frames
from mixtconv.visualization.learned_kernels import learned_kernels
from mixtconv.visualization.report_data import (
    CurvePoint,
    ExampleStrip,
    KernelSite,
    ModelResult,
    Prediction,
    ProtocolScore,
    Report,
)

ShowProgress = Callable[[int, int], None]
Progress = Callable[[str], AbstractContextManager[ShowProgress]]
"""Makes a bar for a stage: `with progress("name") as show: show(done, total)`."""

LEFT_OUT_SETTINGS = ("out", "resume")
"""Settings that do not say what was trained."""


@dataclass(frozen=True)
class ScoredRun:
    """A trained model and what it came to."""

    name: str
    """The name that is shown."""
    run: TrainedRun
    spec: ModelSpec
    kernels: tuple[KernelSite, ...]
    complexity: Complexity
    evaluations: tuple[Evaluation, ...]
    """By each protocol; the first is that of the page."""

    @property
    def scores(self) -> Evaluation:
        """By the protocol of the page."""
        return self.evaluations[0]


@dataclass(frozen=True)
class ScoredRuns:
    """All models on the same videos."""

    runs: tuple[ScoredRun, ...]
    maps: ClipMaps | None
    """Of their features; None where none were asked for."""


def score_runs(
    runs: Mapping[str, TrainedRun],
    data: str | Path | DataSource,
    *,
    reading: Reading,
    scale: ReportScale,
    seed: int = 0,
    progress: Progress,
) -> ScoredRuns:
    """Score trained models on labelled videos, as `mixtconv evaluate` does, and map their features.

    Args:
        runs: by the names that are shown; all of the same classes in the same order.
        data: labelled videos, as for `evaluate_model`.
        reading: which of them, and how they are read.
        scale: how much is computed.
        seed: seed of the choice of clips for the maps, and of these.
        progress: makes a bar for a stage.

    Raises:
        ValueError: models or data that cannot be used, or models that hold out other videos.
    """
    for protocol in (reading.protocol, *(scale.more_protocols or ())):
        Protocol.parse(protocol)  # a wrong name is said before the work is done
    models = {name: run.model for name, run in runs.items()}
    common_videos(list(models.values()), data, split=reading.split)
    scored = tuple(
        _score(name, run, data, reading, scale, progress=progress) for name, run in runs.items()
    )
    maps = None
    if scale.max_clips:
        with progress("features for the maps") as show:
            maps = _maps(models, data, reading, scale, seed=seed, show=show)
    return ScoredRuns(scored, maps)


def _score(
    name: str,
    run: TrainedRun,
    data: str | Path | DataSource,
    reading: Reading,
    scale: ReportScale,
    *,
    progress: Progress,
) -> ScoredRun:
    model = load_model(run.model)
    protocols = dict.fromkeys([reading.protocol, *(scale.more_protocols or ())])
    evaluations = []
    for protocol in protocols:
        how = dataclasses.replace(reading, protocol=protocol)
        with progress(f"scoring {name}, {protocol}") as show:
            evaluations.append(evaluate_model(run.model, data, **vars(how), progress=show))
    if not evaluations[0].scores.readable.any():
        first = evaluations[0].unreadable[0]
        raise ValueError(f"none of the videos can be read: {first.path}: {first.reason}")
    return ScoredRun(
        name, run, model.spec, learned_kernels(model), complexity(model), tuple(evaluations)
    )


def _maps(
    models: Mapping[str, Path],
    data: str | Path | DataSource,
    reading: Reading,
    scale: ReportScale,
    *,
    seed: int,
    show: ShowProgress,
) -> ClipMaps:
    try:
        require_sklearn()
        found = clip_features(
            models, data, reading=reading, max_clips=scale.max_clips, seed=seed, progress=show
        )
        return clip_maps(
            found.features, found.labels, found.clips, seed=seed, num_left_out=found.num_left_out
        )
    except ValueError as error:  # a model that has diverged, or scikit-learn missing: all else is
        return ClipMaps(np.empty(0, np.int64), (), (), PERPLEXITY, notes=(f"no maps: {error}",))


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
    evaluation = scored.scores
    readable = evaluation.scores.readable
    return ModelResult(
        model=scored.spec.name,
        name=scored.name,
        frames=scored.spec.num_frames,
        top1=evaluation.accuracy.top1,
        top5=evaluation.accuracy.top5,
        params=scored.complexity.params,
        macs=scored.complexity.macs,
        seconds=sum(row.seconds for row in epochs) if epochs else float("nan"),
        confusion=confusion(
            evaluation.scores.scores[readable], evaluation.scores.labels[readable]
        ).numpy(),
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
    names = ", ".join(Path(video.path).name for video in evaluation.unreadable[:5])
    more = len(evaluation.unreadable) - 5
    return (
        f"{len(evaluation.unreadable)} of {evaluation.num_videos} videos cannot be read and count "
        f"as wrong: {names}{f' and {more} more' if more > 0 else ''}",
    )


def choose_examples(runs: Sequence[ScoredRun], number: int) -> list[int]:
    """Clips on which the models differ first, then those that all get wrong, then the others.

    Each is of another class while there are classes.
    """
    readable = np.logical_and.reduce([run.scores.scores.readable.numpy() for run in runs])
    labels = runs[0].scores.scores.labels.tolist()
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
    """(N,), whether a video was recognised."""
    scores = run.scores.scores
    return (scores.scores.argmax(dim=1) == scores.labels).numpy()


def _example(runs: Sequence[ScoredRun], index: int) -> ExampleStrip:
    """One clip as the first model saw it, and what every model took it for."""
    first = runs[0]
    sample = first.scores.samples[index]
    views = read_views(sample.path, first.spec, Protocol.parse(first.scores.protocol))
    predictions = []
    for run in runs:
        probabilities = run.scores.scores.probabilities()[index]
        best = int(probabilities.argmax())
        predictions.append(Prediction(run.name, run.spec.classes[best], float(probabilities[best])))
    return ExampleStrip(
        shown_frames(views[0].numpy(), first.spec),
        first.spec.classes[sample.label],
        tuple(predictions),
        source=sample.path.name,
    )
