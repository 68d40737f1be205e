"""Accuracies and confusions of video classification, as the field defines them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix


def probabilities_of(logits: Tensor, *, several: bool) -> Tensor:
    """Scores of 0 to 1, (N, K) -> same: the softmax, or of several labels the sigmoid of each.

    >>> probabilities_of(torch.zeros(1, 4), several=False)
    tensor([[0.2500, 0.2500, 0.2500, 0.2500]])
    """
    return logits.sigmoid() if several else logits.softmax(dim=1)


@dataclass(frozen=True)
class Accuracy:
    """Accuracies in percent."""

    top1: float
    """Videos whose highest score is that of their class."""
    top5: float
    """Videos whose class has one of the five highest scores."""
    mean_class_accuracy: float
    """Top-1 of every class that has videos, averaged over those classes."""


def accuracy(logits: Tensor, labels: Tensor, readable: Tensor | bool = True) -> Accuracy:
    """Score videos.

    Args:
        logits: (N, K).
        labels: int64 (N,), classes 0 to K - 1.
        readable: bool (N,); an unreadable video counts as wrong, whatever its logits.

    Raises:
        ValueError: there are no videos.

    >>> accuracy(torch.eye(4), torch.tensor([0, 0, 2, 2]))
    Accuracy(top1=50.0, top5=100.0, mean_class_accuracy=50.0)
    """
    if len(labels) == 0:
        raise ValueError("there are no videos to score; give at least one")
    readable = torch.as_tensor(readable)
    ranked = logits.topk(min(5, logits.shape[1]), dim=1).indices  # (N, 5)
    hits = (ranked == labels[:, None]) & readable[..., None]  # (N, 5)
    by_class = class_accuracies(logits, labels, readable)
    return Accuracy(
        top1=100 * hits[:, 0].double().mean().item(),
        top5=100 * hits.any(dim=1).double().mean().item(),
        mean_class_accuracy=by_class.nanmean().item(),
    )


@dataclass(frozen=True)
class BackgroundScore:
    """How a class of nothing of interest is told from all others; in percent, NaN without clips."""

    recall: float
    """Clips of background that are recognised as such; the others are false alarms."""
    missed: float
    """Clips of the other classes that are taken for background."""
    top1_without: float
    """Top-1 of the clips of the other classes, among these alone."""


def background_score(
    logits: Tensor, labels: Tensor, readable: Tensor, *, background: int
) -> BackgroundScore:
    """Score the class of background apart from the others.

    Args:
        logits: (N, K).
        labels: int64 (N,).
        readable: bool (N,); an unreadable video counts as wrong.
        background: the class.

    >>> logits = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [2.0, 0.0, 1.0]])
    >>> background_score(logits, torch.tensor([0, 1, 1]), torch.ones(3, dtype=bool), background=0)
    BackgroundScore(recall=100.0, missed=50.0, top1_without=0.0)
    """

    def percent(hits: Tensor) -> float:
        return 100 * hits.double().mean().item()

    best = logits.argmax(dim=1)  # (N,)
    others = logits.clone()
    others[:, background] = -torch.inf
    is_background = labels == background
    right = readable & (others.argmax(dim=1) == labels)
    return BackgroundScore(
        recall=percent((readable & (best == background))[is_background]),
        missed=percent(((best == background) | ~readable)[~is_background]),
        top1_without=percent(right[~is_background]),
    )


def class_accuracies(logits: Tensor, labels: Tensor, readable: Tensor | bool = True) -> Tensor:
    """Top-1 of every class in percent, float64 (K,); NaN where a class has no videos.

    >>> class_accuracies(torch.eye(3), torch.tensor([0, 0, 2]))
    tensor([ 50.,  nan, 100.], dtype=torch.float64)
    """
    hits = (logits.topk(1, dim=1).indices[:, 0] == labels) & readable  # (N,)
    return 100 * _means_of_classes(hits.double(), labels, num_classes=logits.shape[1])


def mean_of_classes(hits: Tensor, labels: Tensor) -> float:
    """The mean over the classes that have videos of the means of each: (N,), (N,).

    >>> mean_of_classes(torch.tensor([1.0, 0.0, 0.0]), torch.tensor([0, 1, 1]))
    0.5
    """
    num_classes = int(labels.max()) + 1
    return _means_of_classes(hits.double(), labels, num_classes=num_classes).nanmean().item()


def _means_of_classes(values: Tensor, labels: Tensor, *, num_classes: int) -> Tensor:
    sums = values.new_zeros(num_classes).index_add(0, labels, values)
    return sums / labels.bincount(minlength=num_classes)  # (K,)


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """Videos by true class (rows) and predicted class (columns): (N, K), (N,) -> int64 (K, K)."""
    return multiclass_confusion_matrix(
        logits.argmax(dim=1), labels, num_classes=logits.shape[1], validate_args=False
    )
