"""Scores of several seeds: their mean and spread, and which differences exceed the spread.

Two variants differ beyond the spread of their seeds if the confidence interval of their difference,
by Tukey's range test over all variants, does not contain zero. With many variants some pair always
looks different by chance; the test accounts for that: of 100 comparisons without any difference, it
finds none in 95. It assumes the same variance over seeds for all variants.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np

CONFIDENCE = 0.95
"""Probability that all intervals contain their true differences."""


@dataclass(frozen=True)
class Spread:
    """The scores of one variant."""

    mean: float
    std: float | None
    """Standard deviation of a seed's score (n - 1); None for one seed."""


@dataclass(frozen=True)
class Difference:
    """The difference of the mean scores of two variants."""

    higher: str
    """Name of the variant with the higher mean."""
    lower: str
    """Name of the other variant."""
    points: float
    """Difference of the means, not negative."""
    low: float
    """Lower end of its confidence interval; all intervals together have `CONFIDENCE`."""
    high: float
    """Upper end."""

    @property
    def beyond_spread(self) -> bool:
        """Whether the difference exceeds the seeds' spread."""
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
        scores: name of a variant -> the scores of its seeds.

    Returns:
        One for each pair; none if a variant has a single score, as its spread is unknown.

    >>> [pair.beyond_spread for pair in differences({"a": [50.0, 51.0], "b": [80.0, 81.0]})]
    [True]
    """
    if len(scores) < 2 or min(map(len, scores.values())) < 2:
        return ()
    names, samples = list(scores), [np.asarray(values, float) for values in scores.values()]
    means = [float(values.mean()) for values in samples]
    if all(
        np.ptp(values) == 0 for values in samples
    ):  # without any spread every difference exceeds it
        low = high = np.subtract.outer(means, means)
    else:
        half = _half_intervals(samples)
        low, high = (np.subtract.outer(means, means) + each for each in (-half, half))
    pairs = []
    for i, j in combinations(range(len(names)), 2):
        first, second = (i, j) if means[i] >= means[j] else (j, i)
        pairs.append(
            Difference(
                names[first],
                names[second],
                means[first] - means[second],
                float(low[first, second]),
                float(high[first, second]),
            )
        )
    return tuple(sorted(pairs, key=lambda pair: -pair.points))


def _half_intervals(samples: Sequence[np.ndarray]) -> np.ndarray:
    """Half the width of each pair's interval (n, n), as Tukey and Kramer have it."""
    sizes = np.array([len(values) for values in samples])
    freedom = int(sizes.sum()) - len(samples)
    squares = sum(float(((values - values.mean()) ** 2).sum()) for values in samples)
    variance = squares / freedom  # of all samples together
    return _critical_range(len(samples), freedom) * np.sqrt(
        variance / 2 * np.add.outer(1 / sizes, 1 / sizes)
    )


@cache
def _critical_range(num_samples: int, freedom: int) -> float:
    """The studentized range that samples without any difference stay below in 95 of 100 cases.

    An integral that takes a tenth of a second, without the p-values of `scipy.stats.tukey_hsd`,
    each of which is another one.
    """
    from scipy.stats import studentized_range  # noqa: PLC0415 (takes a second to import)

    return float(studentized_range.ppf(CONFIDENCE, num_samples, freedom))
