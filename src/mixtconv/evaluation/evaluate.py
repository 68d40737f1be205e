"""Scoring a model file on labelled videos."""

import logging
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mixtconv._names import first_few
from mixtconv._processes import find_launch, is_rank_zero
from mixtconv._types import Progress
from mixtconv.data.background import BACKGROUND
from mixtconv.data.class_sizes import too_small
from mixtconv.data.datasets.catalog import load_labelled_videos, load_other_videos
from mixtconv.data.datasets.scanning import as_source
from mixtconv.data.labels import MirrorLabels
from mixtconv.data.listing import DataSource, VideoSample
from mixtconv.data.protocol import Protocol
from mixtconv.evaluation.class_scores import class_scores, class_sizes
from mixtconv.evaluation.confidence import (
    Calibration,
    OpenSetScore,
    Rejection,
    calibration,
    open_set_score,
    rejection,
)
from mixtconv.evaluation.distributed import local_device, process_group
from mixtconv.evaluation.metrics import Accuracy, BackgroundScore, background_score
from mixtconv.evaluation.multi_label import MultiLabelScore
from mixtconv.evaluation.scores_file import (
    SavedScores,
    ScoreSource,
    refuse_scores_path,
    save_scores,
)
from mixtconv.evaluation.scoring import VideoScores, model_mirroring, score_videos
from mixtconv.evaluation.settings import EvaluationSettings, SplitChoice
from mixtconv.models import ModelSpec, load_model, optimize_for_inference, read_metadata
from mixtconv.models.device import resolve_device
from mixtconv.video.pictures import Unreadable

logger = logging.getLogger(__name__)

DEFAULT_VAL_FRACTION = 0.2
"""Fraction of the videos held out for a model file without `val_fraction`, such as an imported
one."""


@dataclass(frozen=True, kw_only=True)
class Evaluation(ScoreSource):
    """The scores of a model on labelled videos, with what they come from."""

    num_videos: int
    """All videos, unreadable ones among them."""
    accuracy: Accuracy
    """Over all videos; an unreadable one counts as wrong. NaN of several labels a video."""
    unreadable: tuple[Unreadable, ...]
    """The videos that could not be read."""
    samples: tuple[VideoSample, ...]
    """The videos, in the order of the scores."""
    scores: SavedScores
    """The scores of every video."""
    scores_path: str | None
    """The file of the scores, if any."""
    rejection_thresholds: tuple[float, ...] | None = None
    """Of the model; None of one that rejects nothing."""
    open_set: OpenSetScore | None = None
    """How videos of other classes are told, if these were scored, too."""

    @property
    def background(self) -> BackgroundScore | None:
        """How background is told from the other classes; None of a model without that class."""
        saved = self.scores
        if BACKGROUND not in saved.classes:
            return None
        number = saved.classes.index(BACKGROUND)
        return background_score(saved.scores, saved.labels, saved.readable, background=number)

    @cached_property
    def calibration(self) -> Calibration:
        """How well the scores say how often they are right."""
        saved = self.scores
        return calibration(saved.probabilities(), saved.labels, saved.readable)

    @cached_property
    def rejection(self) -> Rejection | None:
        """What the model rejects of these videos; None of one that rejects nothing."""
        saved, limits = self.scores, self.rejection_thresholds
        if limits is None or not saved.readable.any():
            return None
        return rejection(saved.probabilities(), saved.labels, saved.readable, limits)

    @property
    def class_sizes(self) -> dict[str, int]:
        """Videos of each class."""
        return class_sizes(self.scores)

    @property
    def several(self) -> MultiLabelScore | None:
        """The scores of a model that gives a video several labels; None of one label."""
        return self.scores.multi_label_score() if self.scores.several else None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv evaluate --format json` prints them."""
        apart, several, rejected = self.background, self.several, self.rejection
        open_set = self.open_set
        return {
            "model": self.model,
            "data": self.data,
            "protocol": self.protocol,
            "protocol_description": self.protocol_description,
            "num_videos": self.num_videos,
            **asdict(several or self.accuracy),
            **({} if apart is None else {"background": asdict(apart)}),
            **asdict(self.calibration),
            **({} if rejected is None else {"rejection": asdict(rejected)}),
            **({} if open_set is None else {"open_set": asdict(open_set)}),
            "labels": "several" if several else "one",
            "classes": [asdict(each) for each in class_scores(self.scores)],
            "too_small": list(too_small(self.class_sizes)),
            "scores": self.scores_path,
            "unreadable": [video.to_dict() for video in self.unreadable],
        }


def evaluate_model(
    model: str | Path,
    data: str | Path | DataSource,
    *,
    settings: EvaluationSettings | None = None,
    scores_path: str | Path | None = None,
    open_set: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a model file on labelled videos.

    Processes that torchrun or Slurm started shard the videos; all of them get the result.

    Args:
        model: a model file, the folder of one, or `hf:owner/name[@revision]`.
        data: a folder of class folders, a CSV of path and label, or a known dataset; every label
            must be one of the model's classes.
        settings: which of the videos, by which protocol, on which device. Where the data have no
            splits, the split `val` is the part that the model's training held out.
        scores_path: file for the scores of every video, as `mixtconv fuse` takes them.
        open_set: whether the data may have videos of other classes than the model's, which are
            scored apart: how well they are told from those of its own.
        progress: called with the number of videos scored by this process, and of its shard.

    Raises:
        ValueError: a model, data or settings that cannot be used, or scores that are not finite.
        OSError: the scores cannot be written, which is checked before any video is read.
    """
    settings = settings or EvaluationSettings()
    protocol = Protocol.parse(settings.protocol)
    if scores_path is not None:
        refuse_scores_path(scores_path)
    launch = find_launch()
    device = resolve_device(local_device(settings.device, launch))
    trained = load_model(model, device=device)
    description = protocol.describe(trained.spec)
    mirroring = model_mirroring(trained)
    if any(protocol.mirrored):
        _log_mirroring(mirroring)
    others: tuple[VideoSample, ...] = ()
    if open_set:
        others, names = load_other_videos(data, classes=trained.spec.classes, split=settings.split)
        source = as_source(data)
        data = replace(source, without=[*(source.without or ()), *names])
    samples = held_out_videos(trained.spec, trained.notes, data, settings.split)
    with process_group(launch):
        scored = score_videos(
            optimize_for_inference(trained),
            (*samples, *others),
            settings,
            mirroring=mirroring,
            launch=launch,
            progress=progress,
        )
    refuse_diverged(scored, model)
    scores, apart = scored.divided(len(samples))
    score_source = ScoreSource(
        model=str(model),
        modality=trained.spec.modality,
        data=data.data if isinstance(data, DataSource) else str(data),
        protocol=str(protocol),
        protocol_description=description,
    )
    values = scores.logits
    if protocol.averaging == "probabilities":  # the logits are their logarithms
        values = scores.probabilities(several=trained.spec.several_labels)
        values = values * scores.readable[:, None]  # unreadable videos stay zero
    saved = SavedScores(
        classes=trained.spec.classes,
        keys=tuple(sample.key for sample in samples),
        labels=scores.labels.long(),
        scores=values,
        kind=protocol.averaging,
        sources=(score_source,),
        unreadable={samples[place].key: video.reason for place, video in scores.unreadable.items()},
        thresholds=trained.spec.label_thresholds,
    )
    if scores_path is not None and is_rank_zero():
        save_scores(saved, scores_path)
    return Evaluation(
        **vars(score_source),
        num_videos=len(samples),
        accuracy=Accuracy(*[math.nan] * 3) if saved.several else scores.accuracy(),
        unreadable=tuple(scored.unreadable.values()),
        samples=samples,
        scores=saved,
        scores_path=None if scores_path is None else str(scores_path),
        rejection_thresholds=trained.spec.rejection_thresholds,
        open_set=_open_set_score(trained.spec, scores, apart, names) if open_set else None,
    )


def _open_set_score(
    spec: ModelSpec, known: VideoScores, others: VideoScores, classes: tuple[str, ...]
) -> OpenSetScore:
    return open_set_score(
        known.probabilities()[known.readable],
        others.probabilities()[others.readable],
        classes=classes,
        num_videos=len(others.labels),
        thresholds=spec.rejection_thresholds,
    )


def refuse_diverged(scores: VideoScores, model: str | Path) -> None:
    """Raise a ValueError for scores that are not finite."""
    if not scores.logits.isfinite().all():
        raise ValueError(
            f"{model} gives scores that are no finite numbers: it has diverged in training; train "
            "it with a smaller --lr, or --clip-gradient"
        )


def common_videos(
    models: Sequence[str | Path], data: str | Path | DataSource, *, split: SplitChoice | None = None
) -> tuple[VideoSample, ...]:
    """The labelled videos that several models are compared on; see `evaluate_model`.

    Raises:
        ValueError: a file that is no model, data that cannot be used, labels that are not among the
            models' classes, or the models hold out different videos.
    """
    descriptions = [read_metadata(model) for model in models]
    first, *others = (
        held_out_videos(ModelSpec.from_dict(about["spec"]), about["notes"], data, split)
        for about in descriptions
    )
    for model, samples in zip(models[1:], others, strict=True):
        if samples != first:
            raise ValueError(
                f"{models[0]} and {model} hold out different videos of the data, or have their "
                "classes in another order; give data with a val/ of their own, or --split all, and "
                "models of the same classes"
            )
    return first


def held_out_videos(
    spec: ModelSpec,
    notes: dict[str, Any],
    data: str | Path | DataSource,
    split: SplitChoice | None,
) -> tuple[VideoSample, ...]:
    """The labelled videos of data to score a model on; the split `val` is what training held out.

    Args:
        spec: of the model.
        notes: of its file, which say how its training divided the data.
        data, split: as for `load_labelled_videos`.
    """
    return load_labelled_videos(
        data,
        classes=spec.classes,
        split=split,
        val_fraction=notes.get("val_fraction", DEFAULT_VAL_FRACTION),
        group=notes.get("group"),
        background=notes.get("background"),
        several=spec.several_labels,
        keep_missing=True,  # counted as wrong, like unreadable ones
    )


def _log_mirroring(mirroring: MirrorLabels) -> None:
    pairs = [" / ".join(pair) for pair in mirroring.pairs]
    if pairs:
        logger.info("mirrored views exchange %d pairs: %s", len(pairs), first_few(pairs))
    if mirroring.unpaired:
        logger.warning(
            "mirrored views harm classes that name a side and have no partner (%d: %s): 5 crops "
            "mirror nothing",
            len(mirroring.unpaired),
            first_few(mirroring.unpaired),
        )
