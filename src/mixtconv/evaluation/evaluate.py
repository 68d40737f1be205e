"""Scoring a model file on labelled videos."""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixtconv._names import first_few
from mixtconv._processes import find_launch, is_rank_zero
from mixtconv._types import Precision, Progress
from mixtconv.data.dataset import VideoBatch, default_workers
from mixtconv.data.datasets.catalog import load_labelled_videos
from mixtconv.data.labels import MirrorLabels
from mixtconv.data.listing import DataSource, VideoSample
from mixtconv.data.protocol import Averaging, Protocol
from mixtconv.evaluation.distributed import meeting, own_device
from mixtconv.evaluation.metrics import Accuracy
from mixtconv.evaluation.scores_file import (
    SavedScores,
    ScoreSource,
    refuse_scores_path,
    save_scores,
)
from mixtconv.evaluation.scoring import VideoScores, model_mirroring, score_videos
from mixtconv.evaluation.settings import Reading, SplitChoice
from mixtconv.models import load_model, optimize_for_inference, read_metadata
from mixtconv.models.device import autocast, resolve_device
from mixtconv.video.pictures import Unreadable

logger = logging.getLogger(__name__)


DEFAULT_VAL_FRACTION = 0.2
"""Part of the videos held out by rule for a model that does not say what its training held out."""


@dataclass(frozen=True)
class Evaluation:
    """The score of a model on data, with the protocol that it was made by."""

    model: str
    """Path of the model file."""
    data: str
    """The data as the user named them."""
    protocol: str
    """Its name."""
    protocol_description: str
    """The protocol in words."""
    num_videos: int
    """All videos, those that could not be read among them."""
    accuracy: Accuracy
    """Percentages of all videos; a video that could not be read counts as wrong."""
    unreadable: tuple[Unreadable, ...]
    """The videos that could not be read."""
    samples: tuple[VideoSample, ...]
    """The videos, in the order of the scores."""
    scores: SavedScores
    """The scores of every video."""
    scores_path: str | None
    """The file that holds them, if any."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv evaluate --format json` prints them."""
        return {
            "model": self.model,
            "data": self.data,
            "protocol": self.protocol,
            "protocol_description": self.protocol_description,
            "num_videos": self.num_videos,
            "top1": self.accuracy.top1,
            "top5": self.accuracy.top5,
            "mean_class_accuracy": self.accuracy.mean_class_accuracy,
            "scores": self.scores_path,
            "unreadable": [video.to_dict() for video in self.unreadable],
        }


def evaluate_model(
    model: str | Path,
    data: str | Path | DataSource,
    *,
    split: SplitChoice | None = None,
    protocol: str = "1x1",
    batch_size: int = 8,
    workers: int | None = None,
    device: str = "auto",
    precision: Precision = "auto",
    scores_path: str | Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Score a model file on labelled videos.

    Processes that torchrun or Slurm started score together, each video once; all get the result.

    Args:
        model: a model file, the folder of one, or `hf:owner/name[@revision]`.
        data: a folder of class folders, a CSV of path and label, or a known dataset; every label
            must be one of the model's classes.
        split: which videos; by default `val` where the data have splits, else all. Where they have
            none, `val` is the part that the model's training held out.
        protocol: its name: clips x crops, or one of `data.protocol.PROTOCOLS`.
        batch_size: views that pass the network together; does not change the score.
        workers: processes that read; does not change the score.
        device, precision: where and how the model runs.
        scores_path: file for the scores of every video, as `mixtconv fuse` takes them.
        progress: called with the videos done and all of them.

    Raises:
        ValueError: a model or data that cannot be used, or settings out of range.
        OSError: the scores cannot be written, which is said before the work starts.
    """
    Reading(split, protocol, batch_size, workers, device, precision)  # refuses what cannot be
    views = Protocol.parse(protocol)
    if scores_path is not None:
        refuse_scores_path(scores_path)
    launch = find_launch()
    target = resolve_device(own_device(device, launch))
    trained = load_model(model, device=target)
    views_description = views.describe(trained.spec)
    mirroring = model_mirroring(trained)
    if any(views.mirrored):
        _say_what_is_mirrored(mirroring)
    recognizer = optimize_for_inference(trained)
    samples = _videos_for(trained.spec.classes, trained.notes, data, split)
    own_share = samples[launch.rank :: launch.num_processes] if launch else samples
    with meeting(launch):
        scores = score_videos(
            recognizer,
            samples,
            protocol=views,
            mirroring=mirroring,
            batch_size=batch_size,
            workers=default_workers() if workers is None else workers,
            autocast=autocast(precision, target),
            launch=launch,
            progress=lambda batches: counted(batches, len(own_share), progress),
        )
    if not scores.logits.isfinite().all():
        raise ValueError(
            f"{model} gives scores that are no finite numbers: it has diverged in training; train "
            "it with a smaller --lr, or --clip-gradient"
        )
    source = ScoreSource(
        model=str(model),
        modality=recognizer.spec.modality,
        data=data.data if isinstance(data, DataSource) else str(data),
        protocol=str(views),
        protocol_description=views_description,
    )
    saved = _saved(scores, samples, recognizer.spec.classes, source, views.averaging)
    if scores_path is not None and is_rank_zero():
        save_scores(saved, scores_path)
    return Evaluation(
        model=source.model,
        data=source.data,
        protocol=source.protocol,
        protocol_description=source.protocol_description,
        num_videos=len(samples),
        accuracy=scores.accuracy(),
        unreadable=tuple(scores.unreadable.values()),
        samples=samples,
        scores=saved,
        scores_path=None if scores_path is None else str(scores_path),
    )


def videos_for(
    model: str | Path, data: str | Path | DataSource, *, split: SplitChoice | None = None
) -> tuple[VideoSample, ...]:
    """The labelled videos that a model is looked at with; see `evaluate_model`.

    Raises:
        ValueError: a file that is no model, data that cannot be used, or labels that are not among
            the model's classes.
    """
    about = read_metadata(model)
    return _videos_for(about["spec"]["classes"], about["notes"], data, split)


def common_videos(
    models: Sequence[str | Path], data: str | Path | DataSource, *, split: SplitChoice | None = None
) -> tuple[VideoSample, ...]:
    """The labelled videos that several models are compared on.

    Raises:
        ValueError: as `videos_for`, or the models do not look at the same videos.
    """
    first, *others = (videos_for(model, data, split=split) for model in models)
    for model, samples in zip(models[1:], others, strict=True):
        if samples != first:
            raise ValueError(
                f"{models[0]} and {model} hold out other videos of the data, or number their "
                "classes otherwise; give data with a val/ of their own, or --split all, and "
                "models of the same classes"
            )
    return first


def _videos_for(
    classes: Sequence[str],
    notes: dict[str, Any],
    data: str | Path | DataSource,
    split: SplitChoice | None,
) -> tuple[VideoSample, ...]:
    return load_labelled_videos(
        data,
        classes=classes,
        split=split,
        val_fraction=notes.get("val_fraction", DEFAULT_VAL_FRACTION),
        keep_missing=True,  # they count as wrong, as unreadable ones do
    )


def _saved(
    scores: VideoScores,
    samples: Sequence[VideoSample],
    classes: tuple[str, ...],
    source: ScoreSource,
    averaging: Averaging,
) -> SavedScores:
    values = scores.logits  # of averaged probabilities, their logarithms
    if averaging == "probabilities":
        values = values.softmax(dim=1) * scores.readable[:, None]
    return SavedScores(
        classes=classes,
        keys=tuple(sample.key for sample in samples),
        labels=scores.labels,
        scores=values,
        kind=averaging,
        sources=(source,),
        unreadable={samples[place].key: video.reason for place, video in scores.unreadable.items()},
    )


def _say_what_is_mirrored(mirroring: MirrorLabels) -> None:
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


def counted(
    batches: Iterable[VideoBatch], num_videos: int, progress: Progress | None
) -> Iterator[VideoBatch]:
    """The batches, while `progress` is told the videos done and all of them."""
    done = 0
    for batch in batches:
        yield batch
        done += len(batch.labels) + len(batch.unreadable)
        if progress is not None:
            progress(done, num_videos)
