"""Running a model over the views of videos, by a protocol: their logits, or their features.

Validation, testing and prediction share `view_logits`, so their scores are comparable.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mixtconv._processes import Launch
from mixtconv._types import Progress
from mixtconv.data.clip_labels import label_tensor
from mixtconv.data.dataset import VideoBatch, default_workers, scoring_loader
from mixtconv.data.labels import MirrorLabels, choose_pairs, mirror_labels
from mixtconv.data.listing import VideoSample
from mixtconv.data.protocol import Protocol
from mixtconv.evaluation.distributed import gather_items
from mixtconv.evaluation.metrics import Accuracy, accuracy, probabilities_of
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.models import VideoClassifier
from mixtconv.models.device import autocast
from mixtconv.ops import fold_time
from mixtconv.video.pictures import Unreadable


def model_mirroring(model: VideoClassifier) -> MirrorLabels:
    """The flip pairs of the model's training.

    For a model file without them, such as one of imported weights, the class names give them.
    """
    return choose_pairs(model.spec.classes, model.notes.get("flip_pairs", "auto"))


def view_logits(
    model: VideoClassifier,
    views: Tensor,
    protocol: Protocol,
    *,
    mirroring: MirrorLabels | None = None,
    batch_size: int = 8,
) -> Tensor:
    """Logits of videos, averaged over their views.

    In a mirrored view the two classes of each flip pair are exchanged. If the protocol averages
    probabilities, the result is the logarithm of their mean, whose softmax is the mean again; of
    several labels the logit of the mean, whose sigmoid is.

    Args:
        model: in evaluation mode.
        views: uint8 (B, V, T, C, S, S).
        protocol: clips and crops of the views.
        mirroring: what a mirror does to the classes; by default found by their names.
        batch_size: views in one pass of the network.

    Returns:
        float32 (B, K).
    """
    clips = fold_time(views).split(batch_size)  # of (B * V, T, C, S, S)
    logits = torch.cat([_clip_logits(model, part).float() for part in clips])  # (B * V, K)
    logits = logits.unflatten(0, views.shape[:2])  # (B, V, K)
    mirrored = torch.tensor(protocol.mirrored)
    if mirrored.any():
        target = list((mirroring or mirror_labels(model.spec.classes)).target)
        logits[:, mirrored] = logits[:, mirrored][..., target]
    if protocol.averaging == "logits":
        return logits.mean(dim=1)  # (B, K)
    if model.spec.several_labels:
        return logits.sigmoid().mean(dim=1).logit(eps=1e-6)  # (B, K)
    return logits.log_softmax(dim=2).logsumexp(dim=1) - math.log(logits.shape[1])  # (B, K)


def _clip_logits(model: VideoClassifier, clips: Tensor) -> Tensor:
    """Logits of clips as they are read, or of single snippets: (N, T, C, S, S) -> (N, K)."""
    video = model.normalize(clips)
    if clips.shape[1] == model.num_frames:
        return model(video)
    return model.forward_snippets(fold_time(video))


class ScoredBatch(NamedTuple):
    """The scores of some videos, on the CPU."""

    indices: Tensor
    """int64 (B,), places of the videos among all."""
    logits: Tensor
    """float32 (B, K)."""
    unreadable: dict[int, Unreadable]
    """The videos of the batch that could not be read, by their places."""


def score_batch(
    model: VideoClassifier,
    batch: VideoBatch,
    protocol: Protocol,
    *,
    mirroring: MirrorLabels | None = None,
    batch_size: int = 8,
) -> ScoredBatch:
    """Score a batch of views; the arguments are those of `view_logits`."""
    logits = torch.empty(0, model.spec.num_classes)
    if len(batch.indices):
        logits = view_logits(
            model, batch.frames, protocol, mirroring=mirroring, batch_size=batch_size
        )
    return ScoredBatch(batch.indices.cpu(), logits.cpu(), batch.unreadable)


class ScoredFrames(NamedTuple):
    """The scores of the frames of some videos, on the CPU."""

    indices: Tensor
    """int64 (B,), places of the videos among all."""
    logits: Tensor
    """float32 (B, T, K)."""
    labels: Tensor
    """int64 (B, T), classes of the frames, of equal shares the first; or of several labels float32
    (B, T, K), 1 and 0."""
    unreadable: dict[int, Unreadable]
    """The videos of the batch that could not be read, by their places."""


def score_frames(model: VideoClassifier, batch: VideoBatch) -> ScoredFrames:
    """Score each frame of a batch of one view a video, whose frames have labels of their own."""
    num_classes = model.spec.num_classes
    logits, labels = torch.empty(0, 1, num_classes), torch.empty(0, 1, dtype=torch.int64)
    if len(batch.indices):
        logits = model.forward_frames(model.normalize(batch.frames[:, 0])).float()  # (B, T, K)
        labels = batch.labels if model.spec.several_labels else batch.labels.argmax(dim=2)
    return ScoredFrames(batch.indices.cpu(), logits.cpu(), labels.cpu(), batch.unreadable)


def join_frames(
    batches: Iterable[ScoredFrames], samples: Sequence[VideoSample], num_classes: int
) -> "VideoScores":
    """The frames of videos, each as if it were a video; one that cannot be read is one frame."""
    rows: dict[int, tuple[Tensor, Tensor]] = {}
    lost: dict[int, Unreadable] = {}
    for batch in batches:
        lost |= batch.unreadable
        pairs = zip(batch.logits, batch.labels, strict=True)
        rows |= dict(zip(batch.indices.tolist(), pairs, strict=True))
    unreadable: dict[int, Unreadable] = {}
    logits: list[Tensor] = []
    labels: list[Tensor] = []
    count = 0
    for number, sample in enumerate(samples):
        if number in lost:
            unreadable[count] = lost[number]
        missing = torch.zeros(1, num_classes), label_tensor([sample.label])
        for values, part in zip(rows.get(number, missing), (logits, labels), strict=True):
            part.append(values)
        count += len(labels[-1])
    return VideoScores(torch.cat(logits), torch.cat(labels), unreadable)


@dataclass(frozen=True)
class VideoScores:
    """Logits of videos, in their order."""

    logits: Tensor
    """float32 (N, K), averaged over the views (see `view_logits`); zeros for an unreadable
    video."""
    labels: Tensor
    """int64 (N,), or of several labels float32 (N, K), 1 and 0."""
    unreadable: dict[int, Unreadable]
    """The videos that could not be read, by their places."""

    @property
    def readable(self) -> Tensor:
        """bool (N,)."""
        mask = torch.ones(len(self.labels), dtype=torch.bool)
        mask[list(self.unreadable)] = False
        return mask

    def probabilities(self, *, several: bool = False) -> Tensor:
        """float32 (N, K): the softmax of the logits, or of several labels the sigmoid."""
        return probabilities_of(self.logits, several=several)

    def divided(self, count: int) -> tuple["VideoScores", "VideoScores"]:
        """The scores of the first `count` videos, and those of the others."""
        first = {place: why for place, why in self.unreadable.items() if place < count}
        others = {p - count: why for p, why in self.unreadable.items() if p >= count}
        return (
            VideoScores(self.logits[:count], self.labels[:count], first),
            VideoScores(self.logits[count:], self.labels[count:], others),
        )

    def accuracy(self) -> Accuracy:
        """Accuracies over all videos; an unreadable one counts as wrong."""
        return accuracy(self.logits, self.labels, self.readable)


def score_videos(
    model: VideoClassifier,
    samples: Sequence[VideoSample],
    settings: EvaluationSettings,
    *,
    mirroring: MirrorLabels | None = None,
    launch: Launch | None = None,
    progress: Progress | None = None,
) -> VideoScores:
    """Score every video; the result does not depend on the batch size and the workers.

    Args:
        model: the recognizer, in evaluation mode, on the device to use.
        samples: videos and their labels.
        settings: protocol, batches, workers and precision.
        mirroring: what a mirror does to the classes; by default found by their names.
        launch: processes in a `process_group` that shard the videos; each gets all scores.
        progress: called with the number of videos scored by this process, and of its shard.

    Raises:
        ValueError: the protocol scores single snippets, and the model needs whole clips.
    """
    protocol, size = Protocol.parse(settings.protocol), settings.batch_size
    with torch.inference_mode(), autocast(settings.precision, model.get_buffer("mean").device):
        batches = [
            score_batch(model, batch, protocol, mirroring=mirroring, batch_size=size)
            for batch in _read_batches(model, samples, settings, launch, progress)
        ]
    if launch is not None:
        batches = gather_items(batches)
    return join_scores(batches, samples, model.spec.num_classes)


def join_scores(
    batches: Iterable[ScoredBatch], samples: Sequence[VideoSample], num_classes: int
) -> VideoScores:
    """Put the scores of batches in the order of the videos."""
    logits = torch.zeros(len(samples), num_classes)
    unreadable: dict[int, Unreadable] = {}
    for batch in batches:
        logits[batch.indices] = batch.logits
        unreadable |= batch.unreadable
    labels = label_tensor([sample.label for sample in samples])
    return VideoScores(logits, labels, dict(sorted(unreadable.items())))


@dataclass(frozen=True)
class VideoFeatures:
    """Features of the readable videos, in their order."""

    features: Tensor
    """float32 (N, D): the globally pooled input of the last layer, averaged over frames and views.
    Where a protocol averages logits and mirrors nothing, the last layer maps them to the logits of
    `score_videos`."""
    indices: Tensor
    """int64 (N,), places of the videos among all."""
    unreadable: dict[int, Unreadable]
    """The videos that could not be read, by their places."""


def video_features(
    model: VideoClassifier,
    samples: Sequence[VideoSample],
    settings: EvaluationSettings,
    *,
    progress: Progress | None = None,
) -> VideoFeatures:
    """Compute the features of every video; the arguments are those of `score_videos`.

    Mirrored views are left out, as they may show another class.
    """
    protocol = Protocol.parse(settings.protocol)
    features: list[Tensor] = []
    indices = [torch.empty(0, dtype=torch.long)]
    unreadable: dict[int, Unreadable] = {}
    with torch.inference_mode(), autocast(settings.precision, model.get_buffer("mean").device):
        for batch in _read_batches(model, samples, settings, None, progress):
            unreadable |= batch.unreadable
            if len(batch.indices):
                size = settings.batch_size
                rows = view_features(model, batch.frames, protocol, batch_size=size)
                features.append(rows.cpu())  # (B, D)
                indices.append(batch.indices)
    values = torch.cat(features) if features else torch.empty(0, 0)
    return VideoFeatures(values, torch.cat(indices), dict(sorted(unreadable.items())))


def view_features(
    model: VideoClassifier, views: Tensor, protocol: Protocol, *, batch_size: int = 8
) -> Tensor:
    """Features of videos, averaged over frames and views: uint8 (B, V, T, C, S, S) -> (B, D).

    Mirrored views are left out, as they may show another class.
    """
    views = views[:, [not mirrored for mirrored in protocol.mirrored]]
    clips = fold_time(views).split(batch_size)  # of (B * V, T, C, S, S)
    rows = torch.cat([_clip_features(model, part).float() for part in clips])
    return rows.unflatten(0, views.shape[:2]).mean(dim=1)


def _clip_features(model: VideoClassifier, clips: Tensor) -> Tensor:
    """Features of clips as they are read, or of single snippets: (N, T, C, S, S) -> (N, D)."""
    video = model.normalize(clips)
    if clips.shape[1] == model.num_frames:
        return model.forward_features(video).mean(dim=1)
    features: Tensor = model.backbone(fold_time(video))
    return features


def check_protocol(protocol: Protocol, model: VideoClassifier) -> None:
    """Refuse a model that cannot be scored with a protocol.

    Raises:
        ValueError: clips that it does not take, or crops of another size than it runs on.
    """
    protocol.check_model(model.spec)
    side = protocol.crop_side(model.spec.image_size)
    try:
        model.check_image_size(side)
    except ValueError as error:
        raise ValueError(
            f"protocol {protocol} scores crops of {side} pixels, and {model.spec.name} takes "
            f"{model.spec.image_size} alone: choose another, such as stadapter-1x3 or 1x1"
        ) from error


def _read_batches(
    model: VideoClassifier,
    samples: Sequence[VideoSample],
    settings: EvaluationSettings,
    launch: Launch | None,
    progress: Progress | None,
) -> Iterator[VideoBatch]:
    """Batches of views, of this process's shard; `progress` is called when each was worked on."""
    protocol = Protocol.parse(settings.protocol)
    check_protocol(protocol, model)
    rank, world_size = (launch.rank, launch.num_processes) if launch else (0, 1)
    loader = scoring_loader(
        samples,
        model.spec,
        protocol,
        batch_size=settings.batch_size,
        workers=default_workers() if settings.workers is None else settings.workers,
        rank=rank,
        world_size=world_size,
    )
    num_done, num_videos = 0, len(samples[rank::world_size])
    for batch in loader:
        yield batch
        num_done += len(batch.labels) + len(batch.unreadable)
        if progress is not None:
            progress(num_done, num_videos)
