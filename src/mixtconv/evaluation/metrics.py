"""Accuracies and confusions of video classification, as the field defines them."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix


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


def class_accuracies(logits: Tensor, labels: Tensor, readable: Tensor | bool = True) -> Tensor:
    """Top-1 of every class in percent, float64 (K,); NaN where a class has no videos.

    >>> class_accuracies(torch.eye(3), torch.tensor([0, 0, 2]))
    tensor([ 50.,  nan, 100.], dtype=torch.float64)
    """
    hits = ((logits.topk(1, dim=1).indices[:, 0] == labels) & readable).double()  # (N,)
    num_classes = logits.shape[1]
    return (
        100
        * hits.new_zeros(num_classes).index_add(0, labels, hits)
        / labels.bincount(minlength=num_classes)
    )


def confusion(logits: Tensor, labels: Tensor) -> Tensor:
    """Videos by true class (rows) and predicted class (columns): (N, K), (N,) -> int64 (K, K)."""
    return multiclass_confusion_matrix(
        logits.argmax(dim=1), labels, num_classes=logits.shape[1], validate_args=False
    )
