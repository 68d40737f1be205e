"""Scores of several seeds: their mean and spread, and which differences go beyond the spread.

Two ways of training differ beyond the spread of their seeds if the interval of their difference, by
Tukey's range test over all that are compared, does not hold zero. With many compared, some pair
always looks different by chance; the test allows for that: in 95 of 100 comparisons in which
nothing differs, it finds nothing. It takes the seeds' variance for the same in all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

CONFIDENCE = 0.95
"""Probability that all intervals hold their true differences."""


@dataclass(frozen=True)
class Spread:
    """Scores of one way of training."""

    mean: float
    std: float | None
    """Standard deviation of a seed's score (n - 1); None for one seed."""


@dataclass(frozen=True)
class Difference:
    """How much higher the first of two scores is than the second."""

    higher: str
    lower: str
    points: float
    """Difference of the means, not negative."""
    low: float
    high: float
    """Interval of the difference, all intervals together at `CONFIDENCE`."""

    @property
    def beyond_spread(self) -> bool:
        """Whether the seeds' spread leaves no doubt which one is higher."""
        return self.low > 0


def spread(scores: Sequence[float]) -> Spread:
    """Mean and standard deviation of the scores of several seeds.

    >>> spread([70.0, 72.0, 74.0])
    Spread(mean=72.0, std=2.0)
    """
    std = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
    return Spread(float(np.mean(scores)), std)


def differences(scores: Mapping[str, Sequence[float]]) -> tuple[Difference, ...]:
    """Compare all pairs, the larger differences first.

    Args:
        scores: name -> the scores of its seeds.

    Returns:
        One for each pair; none where a name has one score alone, since its spread is not known.

    >>> [pair.beyond_spread for pair in differences({"a": [50.0, 51.0], "b": [80.0, 81.0]})]
    [True]
    """
    if len(scores) < 2 or min(map(len, scores.values())) < 2:
        return ()
    from scipy.stats import tukey_hsd  # noqa: PLC0415 (takes a second to import)

    names, samples = list(scores), [np.asarray(values, float) for values in scores.values()]
    means = [float(values.mean()) for values in samples]
    if all(np.ptp(values) == 0 for values in samples):  # no spread: every difference is beyond it
        low = high = np.subtract.outer(means, means)
    else:
        interval = tukey_hsd(*samples).confidence_interval(CONFIDENCE)
        low, high = interval.low, interval.high
    pairs = [
        _difference(names, means, low, high, *((i, j) if means[i] >= means[j] else (j, i)))
        for i, j in combinations(range(len(names)), 2)
    ]
    return tuple(sorted(pairs, key=lambda pair: -pair.points))


def _difference(
    names: Sequence[str], means: Sequence[float], low: np.ndarray, high: np.ndarray, i: int, j: int
) -> Difference:
    return Difference(names[i], names[j], means[i] - means[j], float(low[i, j]), float(high[i, j]))
