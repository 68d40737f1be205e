"""Scores of recognizers that give a video several labels: average precision, F1, thresholds.

Average precision is the area under the precision-recall curve as a sum of steps, without
interpolation: the mean of the precisions at the places of the true videos in the ranking. Videos of
equal scores are taken together.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

DEFAULT_THRESHOLD = 0.5
"""Of a class without videos to choose one by."""


@dataclass(frozen=True)
class MultiLabelScore:
    """Scores in percent; NaN where no video has a label."""

    mean_average_precision: float
    """Average precision of every class that has videos, averaged over those classes."""
    micro_average_precision: float
    """Average precision of all pairs of a video and a class in one ranking."""
    macro_f1: float
    """F1 at the thresholds, averaged over the classes that have videos."""
    micro_f1: float
    """F1 at the thresholds over all pairs of a video and a class."""


def multi_label_score(
    scores: Tensor,
    labels: Tensor,
    thresholds: Sequence[float],
    readable: Tensor | bool = True,
) -> MultiLabelScore:
    """Score videos.

    Args:
        scores: (N, K), of 0 to 1, each class for itself.
        labels: (N, K), 1 where a video has the label of a class, else 0.
        thresholds: (K,); a label holds from this score on.
        readable: bool (N,); an unreadable video has no label and the lowest scores of all.

    Raises:
        ValueError: there are no videos.

    >>> scores = torch.tensor([[0.9, 0.1], [0.8, 0.7], [0.2, 0.6]])
    >>> score = multi_label_score(scores, torch.tensor([[1, 0], [0, 1], [1, 1]]), [0.5, 0.5])
    >>> round(score.mean_average_precision, 1), score.macro_f1
    (91.7, 75.0)
    """
    if len(labels) == 0:
        raise ValueError("there are no videos to score; give at least one")
    ranked = _unreadable_last(scores, readable)
    found = class_f1(scores, labels, thresholds, readable)
    predicted = decided(scores, thresholds, readable)
    return MultiLabelScore(
        mean_average_precision=class_average_precisions(scores, labels, readable).nanmean().item(),
        micro_average_precision=100 * average_precision(ranked.flatten(), labels.flatten()),
        macro_f1=found.nanmean().item(),
        micro_f1=100 * f1(predicted.flatten(), labels.flatten()),
    )


def decided(scores: Tensor, thresholds: Sequence[float], readable: Tensor | bool = True) -> Tensor:
    """Which labels hold: (N, K) -> bool (N, K)."""
    limits = torch.tensor(thresholds, dtype=torch.float64)
    return (scores.double() >= limits) & torch.as_tensor(readable)[..., None]


def class_average_precisions(
    scores: Tensor, labels: Tensor, readable: Tensor | bool = True
) -> Tensor:
    """Average precision of every class in percent, float64 (K,); NaN where it has no videos."""
    ranked = _unreadable_last(scores, readable)
    columns = zip(ranked.unbind(1), labels.unbind(1), strict=True)
    values = [100 * average_precision(column, truth) for column, truth in columns]
    return torch.tensor(values, dtype=torch.float64)


def class_f1(
    scores: Tensor, labels: Tensor, thresholds: Sequence[float], readable: Tensor | bool = True
) -> Tensor:
    """F1 of every class in percent, float64 (K,); NaN where it has no videos."""
    predicted = decided(scores, thresholds, readable)
    columns = zip(predicted.unbind(1), labels.unbind(1), strict=True)
    values = [100 * f1(column, truth) if truth.any() else torch.nan for column, truth in columns]
    return torch.tensor(values, dtype=torch.float64)


def average_precision(scores: Tensor, truth: Tensor) -> float:
    """Average precision of a ranking, 0 to 1; NaN without a true one.

    Args:
        scores: (N,).
        truth: (N,), 1 or 0.

    >>> average_precision(torch.tensor([0.9, 0.8, 0.2]), torch.tensor([1, 0, 1]))
    0.8333333333333333
    """
    _, hits, places = _ranking(scores, truth)
    steps = hits.diff(prepend=hits.new_zeros(1))
    return float((steps * hits / places).sum() / hits[-1])


def _ranking(scores: Tensor, truth: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Each level of the scores (N,) from the highest on, and how many true and all reach it: (L,).

    Equal scores are one level.
    """
    order = scores.argsort(descending=True, stable=True)
    ranked, hits = scores[order], truth[order].double().cumsum(0)  # (N,)
    is_last = torch.ones_like(ranked, dtype=torch.bool)  # of equal scores
    is_last[:-1] = ranked[1:] != ranked[:-1]
    return ranked[is_last], hits[is_last], is_last.nonzero().flatten() + 1


def f1(predicted: Tensor, truth: Tensor) -> float:
    """The harmonic mean of precision and recall of decisions (N,); NaN if nothing is either.

    >>> f1(torch.tensor([1, 1, 0]), torch.tensor([1, 0, 1]))
    0.5
    """
    both = (predicted.bool() & truth.bool()).sum().double()
    return float(2 * both / (predicted.bool().sum() + truth.bool().sum()))


def best_thresholds(
    scores: Tensor, labels: Tensor, readable: Tensor | bool = True
) -> tuple[float, ...]:
    """For each class the threshold with the best F1, K values of 0 to 1.

    It is halfway between the lowest score that it takes and the highest that it leaves; of equally
    good ones the highest. A class without videos has `DEFAULT_THRESHOLD`.

    Args:
        scores: (N, K), of 0 to 1.
        labels: (N, K), 1 or 0.
        readable: bool (N,); unreadable videos are left out.

    >>> best_thresholds(torch.tensor([[0.9], [0.75], [0.25]]), torch.tensor([[1], [1], [0]]))
    (0.5,)
    """
    rows = torch.as_tensor(readable).expand(len(scores))
    columns = zip(scores[rows].double().unbind(1), labels[rows].unbind(1), strict=True)
    return tuple(_best_threshold(column, truth.double()) for column, truth in columns)


def _best_threshold(scores: Tensor, truth: Tensor) -> float:
    if not truth.any():
        return DEFAULT_THRESHOLD
    levels, hits, num_taken = _ranking(scores, truth)
    values = 2 * hits / (num_taken + truth.sum())  # (L,)
    best = int(values.argmax())  # the first of equal ones
    below = float(levels[best + 1]) if best + 1 < len(levels) else 0.0
    return (float(levels[best]) + below) / 2


def cooccurrence(predicted: Tensor, labels: Tensor) -> Tensor:
    """Videos with the true label of a row that were given the label of a column.

    Args:
        predicted: bool (N, K).
        labels: (N, K), 1 or 0.

    Returns:
        int64 (K, K); unlike in a confusion a video is counted in several places, or in none.

    >>> cooccurrence(torch.tensor([[True, True]]), torch.tensor([[1, 0]]))
    tensor([[1, 1],
            [0, 0]])
    """
    return labels.long().T @ predicted.long()


def _unreadable_last(scores: Tensor, readable: Tensor | bool) -> Tensor:
    """Scores (N, K) with those of unreadable videos below all others."""
    return scores.double().masked_fill(~torch.as_tensor(readable)[..., None], -torch.inf)
