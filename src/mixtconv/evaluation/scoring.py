"""Scoring videos by a protocol: the one path that validation, testing and prediction share."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor

from mixtconv.data.catalog import VideoSample
from mixtconv.data.dataset import Unreadable, VideoBatch
from mixtconv.data.loading import scoring_loader
from mixtconv.data.views import Protocol
from mixtconv.evaluation.metrics import Accuracy, accuracy
from mixtconv.models import VideoClassifier
from mixtconv.ops import fold_time


@dataclass(frozen=True)
class VideoScores:
    """Logits of videos, in their order."""

    logits: Tensor
    """float32 (N, K), averaged over the views; zeros for a video that could not be read."""
    labels: Tensor
    """int64 (N,)."""
    unreadable: tuple[Unreadable, ...]
    """The videos that could not be read."""

    @property
    def readable(self) -> Tensor:
        """bool (N,)."""
        mask = torch.ones_like(self.labels, dtype=torch.bool)
        mask[[item.number for item in self.unreadable]] = False
        return mask

    def accuracy(self) -> Accuracy:
        """Accuracies over all videos; one that could not be read counts as wrong."""
        return accuracy(self.logits, self.labels, self.readable)


def view_logits(model: VideoClassifier, views: Tensor) -> Tensor:
    """Logits of videos, averaged over their views.

    Args:
        model: in evaluation mode.
        views: uint8 (B, V, T, 3, S, S).

    Returns:
        float32 (B, K).
    """
    logits = model(model.normalize(fold_time(views)))  # (B * V, K)
    return logits.float().unflatten(0, views.shape[:2]).mean(dim=1)  # (B, K)


def score_videos(
    model: VideoClassifier,
    samples: Sequence[VideoSample],
    *,
    protocol: Protocol,
    batch_size: int = 8,
    workers: int = 0,
    autocast: AbstractContextManager | None = None,
    progress: Callable[[Iterable[VideoBatch]], Iterable[VideoBatch]] = iter,
) -> VideoScores:
    """Score every video; the result does not depend on `batch_size` and `workers`.

    Args:
        model: the recogniser, in evaluation mode, on the device to use.
        samples: videos and their labels.
        protocol: clips and crops.
        batch_size: views that pass the network together.
        workers: processes that read; 0 reads in this one.
        autocast: context of mixed precision, if any.
        progress: wraps the batches, to show how far it is.
    """
    loader = scoring_loader(samples, model.spec, protocol, batch_size=batch_size, workers=workers)
    with torch.inference_mode(), autocast or nullcontext():
        parts = [
            (batch.indices, view_logits(model, batch.frames).cpu(), batch.unreadable)
            if len(batch.indices)
            else (batch.indices, torch.empty(0, model.spec.num_classes), batch.unreadable)
            for batch in progress(loader)
        ]
    return gather_scores(parts, samples, model.spec.num_classes)


def gather_scores(
    parts: Iterable[tuple[Tensor, Tensor, tuple[Unreadable, ...]]],
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
    unreadable: list[Unreadable] = []
    for indices, batch_logits, batch_unreadable in parts:
        logits[indices] = batch_logits
        unreadable += batch_unreadable
    labels = torch.tensor([sample.label for sample in samples])
    return VideoScores(logits, labels, tuple(sorted(unreadable)))
