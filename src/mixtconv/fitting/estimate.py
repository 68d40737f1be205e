"""What held-out clips say: the score to expect, how sure it is, and which clips need a look.

Every clip is scored once, by the model that was trained on the other folds.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from mixtconv._names import count_of, first_few
from mixtconv.data.class_sizes import wilson_interval

COVERED = 0.95
"""Probability with which the score lies within the margin."""
_DEVIATIONS = float(ndtri((1 + COVERED) / 2))
"""Standard deviations of a normal distribution on either side that hold so much of it."""
SUSPICIOUS = 0.8
"""Probability of another class than the given one, from which a label is doubted."""
MAX_LISTED = 20
"""Clips of a kind that are listed."""


@dataclass(frozen=True)
class Estimate:
    """The score on clips of groups that the model has not seen."""

    top1: float
    """Percent of all clips."""
    by_fold: tuple[float, ...]
    """Percent of each fold."""
    num_clips: int
    num_independent: float
    """Clips that would say as much if each were of a session of its own."""
    groups: str
    """What is kept together in the folds."""
    part: float
    """Percent of the clips that the models of the folds were trained on, in the mean."""
    recall: dict[str, float]
    """Percent of each class's clips, of those that were held out."""
    unscored: tuple[str, ...]
    """Classes of which no clip was held out."""

    @property
    def margin(self) -> float:
        """How far the score on new clips may be off by chance, in points: in `COVERED` of all."""
        return 100 * _farthest(self.top1 / 100, self.num_independent, _DEVIATIONS)

    @property
    def standard_error(self) -> float:
        """As the margin, for one standard deviation."""
        return 100 * _farthest(self.top1 / 100, self.num_independent, 1.0)

    @property
    def spread(self) -> float:
        """Standard deviation over the folds, in points; NaN of a single one."""
        return float(np.std(self.by_fold, ddof=1)) if len(self.by_fold) > 1 else math.nan

    def __str__(self) -> str:
        folds = ", ".join(f"{score:.0f}" for score in self.by_fold)
        spread = "" if math.isnan(self.spread) else f", spread over folds {self.spread:.1f}"
        without = f"; without clips of {first_few(self.unscored)}" if self.unscored else ""
        tested = f"{count_of(self.num_clips, 'clip')}, {count_of(len(self.by_fold), 'fold')}"
        return (
            f"{self.top1:.1f} % top-1 expected on new clips, give or take {self.margin:.0f} (on "
            f"{tested}: {folds}{spread}; kept together: {self.groups}{without}); these models saw "
            f"{self.part:.0f} % of the clips, the model of all of them may be better"
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `fit.json` holds them."""
        return {
            "top1": self.top1,
            "margin": self.margin,
            "standard_error": self.standard_error,
            "spread": None if math.isnan(self.spread) else self.spread,
            "by_fold": list(self.by_fold),
            "num_clips": self.num_clips,
            "groups": self.groups,
            "part": self.part,
            "recall": self.recall,
            "unscored": list(self.unscored),
        }


@dataclass(frozen=True)
class HeldOut:
    """Clips of one fold, scored by a model that was not trained on them."""

    fold: int
    """Which."""
    keys: tuple[str, ...]
    """Their names."""
    labels: NDArray[np.int64]
    """(N,)."""
    probabilities: NDArray[np.float32]
    """(N, K); all 0 for a clip that could not be read, which counts as wrong."""
    groups: tuple[str, ...]
    """Names of the groups that they are of."""

    @property
    def is_right(self) -> NDArray[np.bool_]:
        """(N,)."""
        readable = self.probabilities.sum(axis=1) > 0
        return (self.probabilities.argmax(axis=1) == self.labels) & readable


def estimate(
    folds: Sequence[HeldOut], *, classes: Sequence[str], groups: str, num_clips: int
) -> Estimate:
    """The score to expect, from clips held out of the folds.

    Args:
        folds: those that were scored.
        classes: their names.
        groups: what was kept together.
        num_clips: all clips; the model of a fold was trained on those that it does not hold out.
    """
    labels = np.concatenate([fold.labels for fold in folds])
    is_right = np.concatenate([fold.is_right for fold in folds])
    names = [name for fold in folds for name in fold.groups]
    return Estimate(
        100 * float(is_right.mean()),
        tuple(100 * float(fold.is_right.mean()) for fold in folds),
        len(labels),
        _num_independent(is_right, names),
        groups,
        100 * (1 - len(labels) / len(folds) / num_clips),
        {
            name: 100 * float(is_right[labels == label].mean())
            for label, name in enumerate(classes)
            if (labels == label).any()
        },
        tuple(name for label, name in enumerate(classes) if not (labels == label).any()),
    )


def _farthest(share: float, number: float, z: float) -> float:
    """The farther bound of Wilson's interval from the share, at most 1."""
    low, high = wilson_interval(share, number, z=z)
    return max(share - low, high - share)


def _num_independent(is_right: NDArray[np.bool_], groups: Sequence[str]) -> float:
    """Single clips that say as much as clips in groups, by the scatter between the groups.

    Clips of a session are right or wrong together, so that they say less than as many of different
    ones; at worst no more than as many clips as there are sessions.
    """
    _, group_of = np.unique(groups, return_inverse=True)
    num_groups, share = int(group_of.max()) + 1, float(is_right.mean())
    # The variance of a ratio of sums over groups, of which few are known badly: Student's t.
    excess = np.bincount(group_of, weights=is_right - share)
    if num_groups == len(is_right) or num_groups < 2 or not excess.any():
        return num_groups
    variance = num_groups / (num_groups - 1) * (excess**2).sum() / len(is_right) ** 2
    variance *= (stdtrit(num_groups - 1, (1 + COVERED) / 2) / _DEVIATIONS) ** 2
    return float(np.clip(share * (1 - share) / variance, num_groups, len(is_right)))


@dataclass(frozen=True)
class Doubt:
    """A clip whose label may be wrong."""

    key: str
    label: str
    """The class that it is given."""
    predicted: str
    """The class that a model sees which was not trained on it."""
    probability: float
    """Of that class."""


@dataclass(frozen=True)
class Advice:
    """What would make the clips better."""

    doubts: tuple[Doubt, ...]
    """Labels to look at, the most doubtful first."""
    weak: tuple[tuple[str, float, int], ...]
    """Classes whose clips are recognized least, with percent and number of clips."""
    nearly_same: tuple[tuple[str, str], ...]
    """Clips so alike that they should not be on both sides of a split."""
    curve: tuple[tuple[float, float], ...] = ()
    """Part of the training clips, and percent of the first fold recognized with them."""

    def sentences(self) -> list[str]:
        """For the user, one a line."""
        text = []
        if self.curve:
            points = ", ".join(
                f"{score:.0f} % with {100 * part:.0f} %" for part, score in self.curve
            )
            gain = self.curve[-1][1] - self.curve[-2][1]
            verdict = "more clips would still help" if gain >= 2 else "more of the same add little"
            text.append(f"by how many of the clips were trained on: {points}; {verdict}")
        if self.weak:
            names = [f"{name} ({score:.0f} % of {n})" for name, score, n in self.weak]
            text.append(f"recognized least, more clips of these first: {first_few(names, count=5)}")
        if self.doubts:
            listed = [f"{d.key} ({d.label}, or {d.predicted}?)" for d in self.doubts]
            text.append(f"labels to look at: {first_few(listed, count=5, separator='; ')}")
        if self.nearly_same:
            pairs = [f"{first} and {second}" for first, second in self.nearly_same]
            text.append(
                f"nearly the same clips, keep them on one side: {first_few(pairs, separator='; ')}"
            )
        return text

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `fit.json` holds them."""
        return {
            "doubts": [vars(doubt) for doubt in self.doubts],
            "weak": [{"class": name, "recall": r, "clips": n} for name, r, n in self.weak],
            "nearly_same": [list(pair) for pair in self.nearly_same],
            "curve": [{"part": part, "top1": score} for part, score in self.curve],
        }


def give_advice(
    folds: Sequence[HeldOut],
    *,
    classes: Sequence[str],
    nearly_same: Sequence[tuple[str, str]],
    curve: Sequence[tuple[float, float]] = (),
) -> Advice:
    """Advice from clips held out of the folds.

    A class is weak if it is recognized less than the mean by over one standard error of its own.
    """
    doubts = []
    right: dict[int, list[bool]] = {}
    for fold in folds:
        for key, label, row, is_right in zip(
            fold.keys, fold.labels.tolist(), fold.probabilities, fold.is_right, strict=True
        ):
            right.setdefault(label, []).append(bool(is_right))
            best = int(row.argmax())
            if best != label and row[best] >= SUSPICIOUS:
                doubts.append(Doubt(key, classes[label], classes[best], float(row[best])))
    recall = {label: float(np.mean(hits)) for label, hits in right.items()}
    mean = float(np.mean(list(recall.values()))) if recall else 0.0
    weak = [
        (classes[label], 100 * share, len(right[label]))
        for label, share in sorted(recall.items(), key=lambda item: item[1])
        if share < mean - math.sqrt(max(mean * (1 - mean), 0.01) / len(right[label]))
    ]
    doubts.sort(key=lambda doubt: -doubt.probability)
    return Advice(
        tuple(doubts[:MAX_LISTED]),
        tuple(weak[:MAX_LISTED]),
        tuple(nearly_same[:MAX_LISTED]),
        tuple(curve),
    )
