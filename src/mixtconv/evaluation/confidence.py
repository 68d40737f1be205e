"""How far scores can be trusted: their calibration, and the videos that show none of the classes.

Calibrated scores are right as often as they say: of the videos with a score of 0.8, four of five.
Temperature scaling ("On Calibration of Modern Neural Networks", Guo et al., arXiv 1706.04599)
divides the logits by one number, which changes no ranking. Videos of other classes than a model
knows are told by their best score ("A Baseline for Detecting Misclassified and Out-of-Distribution
Examples", Hendrycks and Gimpel, arXiv 1610.02136): below a threshold they are rejected.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_calibration_error,
    multiclass_calibration_error,
)

from mixtconv.evaluation.metrics import probabilities_of

NUM_BINS = 15
"""Of the calibration error, as in Guo et al."""

TEMPERATURES = (0.05, 20.0)
"""Least and largest."""


def best_temperature(logits: Tensor, labels: Tensor) -> float:
    """What to divide logits by, so that the labels are most likely.

    Each label counts as if one more video had been seen of which nothing is known (as in Platt,
    "Probabilistic outputs for support vector machines"), or else videos without one error would ask
    for a temperature of 0.

    Args:
        logits: (N, K), of readable videos.
        labels: int64 (N,), or of several labels (N, K), 1 and 0.

    Returns:
        A number in `TEMPERATURES`.

    Raises:
        ValueError: there are no videos.

    >>> logits = torch.tensor([[9.0, 0.0]] * 30)  # sure of 100 %, and right in 90 %
    >>> labels = torch.tensor([0] * 27 + [1] * 3)
    >>> temperature = best_temperature(logits, labels)
    >>> round(torch.softmax(logits[0] / temperature, dim=0)[0].item(), 2)
    0.89
    """
    count = len(labels)
    if count == 0:
        raise ValueError("there are no videos to calibrate on; give at least one")
    several = labels.ndim == 2
    values = logits.double()
    truth = labels if several else torch.nn.functional.one_hot(labels, values.shape[1])
    unknown = 0.5 if several else 1 / values.shape[1]
    targets = (truth * (count + 1) + unknown) / (count + 2)  # (N, K)

    def slope(inverse: float) -> float:
        """The derivative of the negative log-likelihood by the inverse of the temperature."""
        scores = probabilities_of(inverse * values, several=several)
        return float(((scores - targets) * values).sum())

    # The likelihood is convex in the inverse, so its slope rises: halve where its zero lies.
    least, most = (math.log(1 / each) for each in reversed(TEMPERATURES))
    for _ in range(50):
        middle = (least + most) / 2
        if slope(math.exp(middle)) > 0:
            most = middle
        else:
            least = middle
    return math.exp(-(least + most) / 2)


@dataclass(frozen=True)
class Calibration:
    """How well scores say how often they are right."""

    calibration_error: float
    """Expected calibration error in percent: the mean distance of score and accuracy over
    `NUM_BINS` bins of the best score, weighted by their videos; of several labels over all pairs of
    a video and a class. 0 is best; NaN without readable videos."""
    negative_log_likelihood: float
    """Mean of the negative logarithm of the score of the true class; of several labels the binary
    cross entropy. 0 is best."""


def calibration(probabilities: Tensor, labels: Tensor, readable: Tensor) -> Calibration:
    """Score the confidence of scores.

    Args:
        probabilities: (N, K).
        labels: int64 (N,), or of several labels (N, K), 1 and 0.
        readable: bool (N,); unreadable videos are left out.

    >>> scores = torch.tensor([[0.75, 0.25], [0.75, 0.25]])
    >>> calibration(scores, torch.tensor([0, 1]), torch.ones(2, dtype=bool)).calibration_error
    25.0
    """
    scores, truth = probabilities[readable].double(), labels[readable].long()
    if len(truth) == 0:
        return Calibration(math.nan, math.nan)
    if truth.ndim == 2:
        error = binary_calibration_error(scores.flatten(), truth.flatten(), n_bins=NUM_BINS)
        likely = torch.where(truth.bool(), scores, 1 - scores)
    else:
        error = multiclass_calibration_error(
            scores, truth, num_classes=scores.shape[1], n_bins=NUM_BINS, validate_args=False
        )
        likely = scores.gather(1, truth[:, None])
    surprise = -likely.clamp(min=torch.finfo(torch.float32).tiny).log()
    return Calibration(100 * float(error), float(surprise.mean()))


def rejection_thresholds(
    probabilities: Tensor, labels: Tensor, *, keep: float
) -> tuple[float, ...]:
    """For each class the score below which a video shows none of the classes, K values.

    They keep a share of the videos that are recognized: each class that of its own, or with too few
    to tell such a share, that of all classes.

    Args:
        probabilities: (N, K), of readable videos.
        labels: int64 (N,).
        keep: the share, above 0, at most 1.

    Raises:
        ValueError: no video is recognized.

    >>> scores = torch.tensor([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.6, 0.4]])
    >>> thresholds = rejection_thresholds(scores, torch.tensor([0, 0, 1, 1]), keep=1)
    >>> [round(each, 2) for each in thresholds]
    [0.7, 0.7]
    """
    best, predicted = probabilities.double().max(dim=1)
    right = predicted == labels
    if not right.any():
        raise ValueError(
            "no video is recognized, so there are no scores to tell 'none of these' by; train the "
            "model longer, or leave --keep out"
        )
    of_all = _keeping(best[right], keep)
    groups = (best[right & (labels == number)] for number in range(probabilities.shape[1]))
    return tuple(_keeping(own, keep) if len(own) * (1 - keep) >= 1 else of_all for own in groups)


def _keeping(scores: Tensor, keep: float) -> float:
    """The largest threshold that a share of the scores reach; just below the least of these."""
    ranked = scores.sort().values
    num_dropped = int(len(ranked) * (1 - keep) + 1e-9)  # 20 * (1 - 0.95) is not quite 1
    return float(ranked[num_dropped]) * (1 - 1e-6)


def are_rejected(probabilities: Tensor, thresholds: Sequence[float]) -> Tensor:
    """Which videos show none of the classes: (N, K) -> bool (N,)."""
    best, predicted = probabilities.double().max(dim=1)
    return best < torch.tensor(thresholds, dtype=torch.float64)[predicted]


@dataclass(frozen=True)
class Rejection:
    """What thresholds do to videos of the classes that a model knows, in percent."""

    rejected: float
    """Readable videos that are rejected."""
    right_rejected: float
    """Of the videos that would have been recognized, those that are rejected."""
    top1_of_kept: float
    """Top-1 of the readable videos that are kept."""


def rejection(
    probabilities: Tensor, labels: Tensor, readable: Tensor, thresholds: Sequence[float]
) -> Rejection:
    """Score thresholds on videos of known classes.

    Args:
        probabilities: (N, K).
        labels: int64 (N,).
        readable: bool (N,); unreadable videos are left out.
        thresholds: (K,).
    """
    scores, truth = probabilities[readable], labels[readable]
    out, right = are_rejected(scores, thresholds), scores.argmax(dim=1) == truth

    def percent(values: Tensor) -> float:
        return 100 * values.double().mean().item()

    return Rejection(percent(out), percent(out[right]), percent(right[~out]))


@dataclass(frozen=True)
class OpenSetScore:
    """How videos of other classes are told from those of the classes that a model knows."""

    num_videos: int
    """Videos of other classes, unreadable ones among them."""
    classes: tuple[str, ...]
    """Their classes."""
    auroc: float
    """Area under the receiver operating characteristic of the best score, in percent: how often a
    video of a known class has a higher one than one of another class. 50 is chance."""
    fpr95: float
    """Of the other classes, the videos in percent with a score that 95 % of those of known classes
    reach."""
    rejected: float | None
    """Of the other classes, those in percent that the model's thresholds reject; None without
    thresholds."""


def open_set_score(
    known: Tensor,
    unknown: Tensor,
    *,
    classes: Sequence[str],
    num_videos: int,
    thresholds: Sequence[float] | None = None,
) -> OpenSetScore:
    """Score the readable videos of known and of other classes.

    Args:
        known: (N, K), probabilities of videos of the classes that a model knows.
        unknown: (M, K), those of other classes.
        classes: their names.
        num_videos: theirs, with the unreadable ones.
        thresholds: (K,), of the model.

    Raises:
        ValueError: either has no videos.

    >>> known, unknown = torch.tensor([[0.9, 0.1], [0.3, 0.7]]), torch.tensor([[0.6, 0.4]])
    >>> open_set_score(known, unknown, classes=["other"], num_videos=1).auroc
    100.0
    """
    if len(known) == 0 or len(unknown) == 0:
        raise ValueError(
            f"there are {len(known)} readable videos of known classes and {len(unknown)} of "
            "others; give at least one of each"
        )
    best = torch.cat([known.max(dim=1).values, unknown.max(dim=1).values]).double()
    is_known = torch.cat([torch.ones(len(known)), torch.zeros(len(unknown))]).long()
    level = best[: len(known)].sort().values[int(len(known) * 0.05 + 1e-9)]
    is_rejected = None if thresholds is None else are_rejected(unknown, thresholds)
    return OpenSetScore(
        num_videos=num_videos,
        classes=tuple(classes),
        auroc=100 * float(binary_auroc(best, is_known)),
        fpr95=100 * (best[len(known) :] >= level).double().mean().item(),
        rejected=None if is_rejected is None else 100 * is_rejected.double().mean().item(),
    )
