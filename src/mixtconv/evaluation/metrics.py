"""Accuracy of video classification, by the definitions that the field reports.

Features of videos before the last layer, read by the protocol that scores them.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from mixtconv.data.dataset import VideoBatch, scoring_loader
from mixtconv.data.listing import VideoSample
from mixtconv.data.protocol import Protocol
from mixtconv.models import VideoClassifier
from mixtconv.ops import fold_time
from mixtconv.video.pictures import Unreadable


@dataclass(frozen=True)
class Accuracy:
    """Accuracies in percent."""

    top1: float
    """Videos whose best class is the right one."""
    top5: float
    """Videos whose right class is among the best five (of all classes where there are fewer)."""
    mean_class_accuracy: float
    """Top-1 of every class that has videos, averaged over those classes."""


def accuracy(logits: Tensor, labels: Tensor, readable: Tensor | None = None) -> Accuracy:
    """Score videos.

    Args:
        logits: (N, K).
        labels: (N,), classes 0 to K - 1.
        readable: (N,) bool; a video that could not be read counts as wrong, whatever its logits.

    Raises:
        ValueError: there are no videos.

    >>> accuracy(torch.eye(4), torch.tensor([0, 0, 2, 2]))
    Accuracy(top1=50.0, top5=100.0, mean_class_accuracy=50.0)
    """
    if len(labels) == 0:
        raise ValueError("there are no videos to score; give at least one")
    readable = _all_if_none(readable, labels)
    ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices  # (N, 5)
    hits = (ranked == labels[:, None]) & readable[:, None]  # (N, 5)
    by_class = class_accuracies(logits, labels, readable)
    return Accuracy(
        top1=100 * hits[:, 0].double().mean().item(),
        top5=100 * hits.any(dim=1).double().mean().item(),
        mean_class_accuracy=by_class.nanmean().item(),
    )


def class_accuracies(logits: Tensor, labels: Tensor, readable: Tensor | None = None) -> Tensor:
    """Top-1 of every class in percent, float64 (K,); NaN where a class has no videos.

    >>> class_accuracies(torch.eye(3), torch.tensor([0, 0, 2]))
    tensor([ 50.,  nan, 100.], dtype=torch.float64)
    """
    readable = _all_if_none(readable, labels)
    hits = ((logits.topk(1, dim=1).indices[:, 0] == labels) & readable).double()  # (N,)
    num_classes = logits.shape[1]
    return (
        100
        * hits.new_zeros(num_classes).index_add(0, labels, hits)
        / labels.bincount(minlength=num_classes)
    )


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """Videos by true class (rows) and best class (columns): (N, K), (N,) -> int64 (K, K)."""
    return multiclass_confusion_matrix(
        logits.argmax(dim=1), labels, num_classes=logits.shape[1], validate_args=False
    )


def _all_if_none(readable: Tensor | None, labels: Tensor) -> Tensor:
    return torch.ones_like(labels, dtype=torch.bool) if readable is None else readable


@dataclass(frozen=True)
class VideoFeatures:
    """Features of the videos that could be read, in their order."""

    features: Tensor
    """float32 (N, D): the globally pooled features that the last layer takes, averaged over the
    frames and the views. Where logits are averaged over views that are not mirrored, the last layer
    makes of them those that `score_videos` gives."""
    indices: Tensor
    """int64 (N,), places of the videos among those asked for."""
    unreadable: dict[int, Unreadable]
    """The videos that could not be read, by their places."""


def view_features(
    model: VideoClassifier, views: Tensor, protocol: Protocol, *, batch_size: int = 8
) -> Tensor:
    """Features of videos, averaged over their frames and views.

    Mirrored views are left out, as they may show another class.

    Args:
        model: in evaluation mode.
        views: uint8 (B, V, T, C, S, S).
        protocol: what the views are.
        batch_size: views that pass the network together.

    Returns:
        float32 (B, D).
    """
    upright = views[:, [not mirrored for mirrored in protocol.mirrored]]
    parts = fold_time(upright).split(batch_size)  # of (B * V, T, C, S, S)
    features = torch.cat([_clip_features(model, part).float() for part in parts])  # (B * V, D)
    return features.unflatten(0, upright.shape[:2]).mean(dim=1)  # (B, D)


def _clip_features(model: VideoClassifier, clips: Tensor) -> Tensor:
    """Features of clips as they are read, or of single snippets: (N, T, C, S, S) -> (N, D)."""
    video = model.normalize(clips)
    if clips.shape[1] == model.num_frames:
        return model.forward_features(video).mean(dim=1)
    features: Tensor = model.backbone(fold_time(video))
    return features


def video_features(
    model: VideoClassifier,
    samples: Sequence[VideoSample],
    *,
    protocol: Protocol,
    batch_size: int = 8,
    workers: int = 0,
    autocast: AbstractContextManager | None = None,
    progress: Callable[[Iterable[VideoBatch]], Iterable[VideoBatch]] = iter,
) -> VideoFeatures:
    """Compute the features of every video; the arguments are those of `score_videos`."""
    protocol.check_model(model.spec)
    loader = scoring_loader(samples, model.spec, protocol, batch_size=batch_size, workers=workers)
    parts: list[Tensor] = []
    indices = [torch.empty(0, dtype=torch.long)]
    unreadable: dict[int, Unreadable] = {}
    with torch.inference_mode(), autocast or nullcontext():
        for batch in progress(loader):
            unreadable |= batch.unreadable
            if len(batch.indices):
                parts.append(
                    view_features(model, batch.frames, protocol, batch_size=batch_size).cpu()
                )
                indices.append(batch.indices)
    values = torch.cat(parts) if parts else torch.empty(0, 0)
    return VideoFeatures(values, torch.cat(indices), dict(sorted(unreadable.items())))
