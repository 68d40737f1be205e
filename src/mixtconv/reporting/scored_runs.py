"""Trained models scored on the same videos, with maps of their features."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mixtconv._types import Progress
from mixtconv.data.listing import DataSource
from mixtconv.data.protocol import Protocol
from mixtconv.evaluation.complexity import Complexity, complexity
from mixtconv.evaluation.evaluate import Evaluation, common_videos, evaluate_model
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.models import ModelSpec, load_model, read_metadata
from mixtconv.reporting.settings import ReportScale
from mixtconv.training.run_folder import TrainedRun
from mixtconv.visualization.clip_maps import ClipMaps, clip_features, clip_maps
from mixtconv.visualization.embedding import PERPLEXITY, require_sklearn
from mixtconv.visualization.kernels import learned_kernels
from mixtconv.visualization.results import KernelSite

ShowStage = Callable[[str], AbstractContextManager[Progress]]
"""Makes a progress bar for a stage: `with progress("name") as show: show(done, total)`."""


@dataclass(frozen=True)
class ScoredRun:
    """A trained model with its cost and scores."""

    name: str
    """The name that is shown."""
    run: TrainedRun
    spec: ModelSpec
    kernels: tuple[KernelSite, ...]
    """Its learned temporal kernels."""
    complexity: Complexity
    evaluations: tuple[Evaluation, ...]
    """One for each protocol; the first is that of the page."""

    @property
    def evaluation(self) -> Evaluation:
        """By the protocol of the page."""
        return self.evaluations[0]


@dataclass(frozen=True)
class ScoredRuns:
    """All models on the same videos."""

    runs: tuple[ScoredRun, ...]
    maps: ClipMaps | None
    """Maps of their features; None if not requested."""


def score_runs(
    runs: Mapping[str, TrainedRun],
    data: str | Path | DataSource,
    *,
    settings: EvaluationSettings,
    scale: ReportScale,
    seed: int = 0,
    progress: ShowStage,
) -> ScoredRuns:
    """Score trained models on labelled videos, as `mixtconv evaluate` does, and map their features.

    Args:
        runs: by the names that are shown; all of the same classes in the same order.
        data: labelled videos, as for `evaluate_model`.
        settings: which of them, and how they are read.
        scale: further protocols, and the number of clips on the maps.
        seed: seed of the choice of clips for the maps, and of these.
        progress: makes a progress bar for a stage.

    Raises:
        ValueError: models or data that cannot be used, or models that hold out different videos.
    """
    names = (settings.protocol, *(scale.more_protocols or ()))
    protocols = list(dict.fromkeys(map(Protocol.parse, names)))
    models = {name: run.model for name, run in runs.items()}
    for file in models.values():  # before any video is read
        spec = ModelSpec.from_dict(read_metadata(file)["spec"])
        for protocol in protocols:
            protocol.check_model(spec)
    common_videos(list(models.values()), data, split=settings.split)
    scored = []
    for name, run in runs.items():
        evaluations = []
        for protocol in protocols:
            by_protocol = replace(settings, protocol=str(protocol))
            with progress(f"scoring {name}, {protocol}") as show:
                evaluations.append(
                    evaluate_model(run.model, data, settings=by_protocol, progress=show)
                )
        if not evaluations[0].scores.readable.any():
            raise ValueError(f"none of the videos can be read: {evaluations[0].unreadable[0]}")
        model = load_model(run.model)
        kernels, cost = learned_kernels(model), complexity(model)
        scored.append(ScoredRun(name, run, model.spec, kernels, cost, tuple(evaluations)))
    maps = None
    if scale.max_clips:
        try:
            require_sklearn()
            with progress("features for the maps") as show:
                computed = clip_features(
                    models, data, reading=settings, max_clips=scale.max_clips, seed=seed,
                    progress=show,
                )  # fmt: skip
            maps = clip_maps(computed, seed=seed)
        except ValueError as error:  # a diverged model or missing scikit-learn: the page says so
            maps = ClipMaps(np.empty(0, np.int64), (), PERPLEXITY, notes=(f"no maps: {error}",))
    return ScoredRuns(tuple(scored), maps)
