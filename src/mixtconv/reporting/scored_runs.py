"""Trained models, each scored on the same videos, with maps of their features."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mixtconv._types import Progress
from mixtconv.data.listing import DataSource
from mixtconv.data.protocol import Protocol
from mixtconv.evaluation.complexity import Complexity, complexity
from mixtconv.evaluation.evaluate import Evaluation, common_videos, evaluate_model
from mixtconv.evaluation.settings import Reading
from mixtconv.models import ModelSpec, load_model, read_metadata
from mixtconv.reporting.settings import ReportScale
from mixtconv.training.run_folder import TrainedRun
from mixtconv.visualization.clip_maps import ClipMaps, clip_features, clip_maps
from mixtconv.visualization.embedding import PERPLEXITY, require_sklearn
from mixtconv.visualization.kernels import learned_kernels
from mixtconv.visualization.results import KernelSite

ShowProgress = Progress
ShowStage = Callable[[str], AbstractContextManager[ShowProgress]]
"""Makes a bar for a stage: `with progress("name") as show: show(done, total)`."""


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
    def evaluation(self) -> Evaluation:
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
    progress: ShowStage,
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
    names = (reading.protocol, *(scale.more_protocols or ()))
    protocols = list(dict.fromkeys(map(Protocol.parse, names)))
    models = {name: run.model for name, run in runs.items()}
    for model in models.values():  # what cannot be done is said before anything is
        spec = ModelSpec.from_dict(read_metadata(model)["spec"])
        for protocol in protocols:
            protocol.check_model(spec)
    common_videos(list(models.values()), data, split=reading.split)
    scored = tuple(
        _score(name, run, data, reading, protocols, progress=progress) for name, run in runs.items()
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
    protocols: Sequence[Protocol],
    *,
    progress: ShowStage,
) -> ScoredRun:
    model = load_model(run.model)
    evaluations = []
    for protocol in protocols:
        how = dataclasses.replace(reading, protocol=str(protocol))
        with progress(f"scoring {name}, {protocol}") as show:
            evaluations.append(evaluate_model(run.model, data, **vars(how), progress=show))
    if not evaluations[0].scores.readable.any():
        first = evaluations[0].unreadable[0]
        raise ValueError(f"none of the videos can be read: {first}")
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
