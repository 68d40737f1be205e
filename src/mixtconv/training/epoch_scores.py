"""What the validation of an epoch says: its loss, its scores, and the thresholds of labels."""

import math
from dataclasses import asdict, dataclass

from mixtconv.evaluation.metrics import Accuracy
from mixtconv.evaluation.multi_label import best_thresholds, multi_label_score
from mixtconv.evaluation.scoring import VideoScores
from mixtconv.training.loss import multi_label_loss, weighted_cross_entropy

NO_ACCURACY = Accuracy(*[math.nan] * 3)
"""Of an epoch that is not scored, and of several labels a video."""


@dataclass(frozen=True)
class EpochScores:
    """The scores of an epoch."""

    loss: float
    """Mean over the readable videos, without weights and smoothing; NaN of none."""
    values: dict[str, float]
    """Fields of `EpochRecord`, in percent."""
    thresholds: tuple[float, ...] | None = None
    """Of several labels, those with the best F1 on the validation videos."""

    @property
    def notes(self) -> dict[str, float]:
        """The scores that there are, for the model file."""
        return {name: value for name, value in self.values.items() if not math.isnan(value)}


def score_epoch(scores: VideoScores | None, *, several: bool) -> EpochScores:
    """The scores of an epoch from those of its validation videos.

    Args:
        scores: None of an epoch without validation.
        several: whether a video may have several labels.
    """
    if scores is None:
        return EpochScores(math.nan, asdict(NO_ACCURACY))
    readable = scores.readable
    logits, labels = scores.logits, scores.labels
    if not several:
        loss = float(weighted_cross_entropy(logits[readable], labels[readable]))
        return EpochScores(loss, asdict(scores.accuracy()))
    loss = float(multi_label_loss(logits[readable], labels[readable]))
    probabilities = logits.sigmoid()
    thresholds = best_thresholds(probabilities, labels, readable)
    found = multi_label_score(probabilities, labels, thresholds, readable)
    values = {"mean_average_precision": found.mean_average_precision, "macro_f1": found.macro_f1}
    return EpochScores(loss, asdict(NO_ACCURACY) | values, thresholds)
