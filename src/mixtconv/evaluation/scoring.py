"""What a mirror does to the classes of a model.

Scoring videos by a protocol: the one path that validation, testing and prediction share.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from mixtconv._processes import Launch
from mixtconv.data.dataset import VideoBatch, scoring_loader
from mixtconv.data.labels import MirrorLabels, choose_pairs, mirror_labels
from mixtconv.data.listing import VideoSample
from mixtconv.data.protocol import Averaging, Protocol
from mixtconv.evaluation.distributed import gather
from mixtconv.evaluation.metrics import Accuracy, accuracy
from mixtconv.models import VideoClassifier
from mixtconv.ops import fold_time
from mixtconv.video.pictures import Unreadable


def model_mirroring(model: VideoClassifier) -> MirrorLabels:
    """The pairs of classes that the model's training took for mirror images of each other.

    A model whose file does not say, such as one of imported weights, has those that the class names
    tell.
    """
    return choose_pairs(model.spec.classes, model.notes.get("flip_pairs", "auto"))


@dataclass(frozen=True)
class VideoScores:
    """Logits of videos, in their order."""

    logits: Tensor
    """float32 (N, K), averaged over the views (see `view_logits`); zeros for a video that could not
    be read."""
    labels: Tensor
    """int64 (N,)."""
    unreadable: dict[int, Unreadable]
    """The videos that could not be read, by their places."""

    @property
    def readable(self) -> Tensor:
        """bool (N,)."""
        mask = torch.ones_like(self.labels, dtype=torch.bool)
        mask[list(self.unreadable)] = False
        return mask

    def accuracy(self) -> Accuracy:
        """Accuracies over all videos; one that could not be read counts as wrong."""
        return accuracy(self.logits, self.labels, self.readable)


def view_logits(
    model: VideoClassifier,
    views: Tensor,
    protocol: Protocol,
    *,
    mirroring: MirrorLabels | None = None,
    batch_size: int = 8,
) -> Tensor:
    """Logits of videos, averaged over their views.

    In a mirrored view the classes of each pair that a mirror exchanges change places. Where the
    protocol averages probabilities, the result is the logarithm of their mean, which softmax turns
    into it.

    Args:
        model: in evaluation mode.
        views: uint8 (B, V, T, C, S, S).
        protocol: what the views are.
        mirroring: what a mirror does to the classes; by default as their names say.
        batch_size: views that pass the network together.

    Returns:
        float32 (B, K).
    """
    parts = fold_time(views).split(batch_size)  # of (B * V, T, C, S, S)
    logits = torch.cat([_clip_logits(model, part).float() for part in parts])  # (B * V, K)
    logits = logits.unflatten(0, views.shape[:2])  # (B, V, K)
    mirrored = torch.tensor(protocol.mirrored)
    if mirrored.any():
        target = list((mirroring or mirror_labels(model.spec.classes)).target)
        logits[:, mirrored] = logits[:, mirrored][..., target]
    return _AVERAGES[protocol.averaging](logits)  # (B, K)


def _clip_logits(model: VideoClassifier, clips: Tensor) -> Tensor:
    """Logits of clips as they are read, or of single snippets: (N, T, C, S, S) -> (N, K)."""
    video = model.normalize(clips)
    if clips.shape[1] == model.num_frames:
        return model(video)
    return model.forward_snippets(fold_time(video))


def _mean_logits(logits: Tensor) -> Tensor:
    return logits.mean(dim=1)


def _mean_probabilities(logits: Tensor) -> Tensor:
    return logits.log_softmax(dim=2).logsumexp(dim=1) - math.log(logits.shape[1])


_AVERAGES: dict[Averaging, Callable[[Tensor], Tensor]] = {
    "logits": _mean_logits,
    "probabilities": _mean_probabilities,
}
"""(B, V, K) -> (B, K)."""


def score_videos(
    model: VideoClassifier,
    samples: Sequence[VideoSample],
    *,
    protocol: Protocol,
    mirroring: MirrorLabels | None = None,
    batch_size: int = 8,
    workers: int = 0,
    autocast: AbstractContextManager | None = None,
    launch: Launch | None = None,
    progress: Callable[[Iterable[VideoBatch]], Iterable[VideoBatch]] = iter,
) -> VideoScores:
    """Score every video; the result does not depend on `batch_size` and `workers`.

    Args:
        model: the recognizer, in evaluation mode, on the device to use.
        samples: videos and their labels.
        protocol: clips and crops.
        mirroring: what a mirror does to the classes; by default as their names say.
        batch_size: views that pass the network together.
        workers: processes that read; 0 reads in this one.
        autocast: context of mixed precision, if any.
        launch: processes that score together and meet, each its share of the videos; all of them
            get all scores.
        progress: wraps the batches, to show how far it is.
    """
    protocol.check_model(model.spec)

    def logits(frames: Tensor) -> Tensor:
        return view_logits(model, frames, protocol, mirroring=mirroring, batch_size=batch_size)

    loader = scoring_loader(
        samples,
        model.spec,
        protocol,
        batch_size=batch_size,
        workers=workers,
        rank=launch.rank if launch else 0,
        world_size=launch.num_processes if launch else 1,
    )
    with torch.inference_mode(), autocast or nullcontext():
        parts = [
            (batch.indices, logits(batch.frames).cpu(), batch.unreadable)
            if len(batch.indices)
            else (batch.indices, torch.empty(0, model.spec.num_classes), batch.unreadable)
            for batch in progress(loader)
        ]
    if launch is not None:
        parts = [part for process in gather(parts) for part in process]
    return gather_scores(parts, samples, model.spec.num_classes)


def gather_scores(
    parts: Iterable[tuple[Tensor, Tensor, dict[int, Unreadable]]],
    samples: Sequence[VideoSample],
    num_classes: int,
) -> VideoScores:
    """Put the scores of batches in the order of the videos.

    Args:
        parts: of every batch the indices (B,), the logits (B, K) and what could not be read.
        samples: all videos.
        num_classes: K.
    """
    logits = torch.zeros(len(samples), num_classes)
    unreadable: dict[int, Unreadable] = {}
    for indices, batch_logits, batch_unreadable in parts:
        logits[indices] = batch_logits
        unreadable |= batch_unreadable
    labels = torch.tensor([sample.label for sample in samples])
    return VideoScores(logits, labels, dict(sorted(unreadable.items())))
