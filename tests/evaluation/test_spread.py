"""Means, spreads and differences beyond them, against numpy, permutations and simulated scores."""

import numpy as np
import pytest
from scipy.stats import tukey_hsd

from mixtconv.evaluation.spread import differences, spread


def test_the_deviation_is_that_of_a_sample() -> None:
    scores = [61.0, 64.5, 60.2]
    mean = sum(scores) / 3
    assert spread(scores).mean == pytest.approx(mean)
    assert spread(scores).std == pytest.approx((sum((s - mean) ** 2 for s in scores) / 2) ** 0.5)
    assert spread([3.0]).std is None


def test_the_higher_one_comes_first_and_larger_differences_before_smaller() -> None:
    pairs = differences({"low": [10, 11], "high": [90, 91], "middle": [49, 50]})
    assert [(pair.higher, pair.lower) for pair in pairs] == [
        ("high", "low"),
        ("high", "middle"),
        ("middle", "low"),
    ]
    assert [pair.points for pair in pairs] == [80, 41, 39]
    assert all(pair.low < pair.points < pair.high for pair in pairs)


def test_two_ways_of_training_give_the_interval_of_the_t_test() -> None:
    """With two, Tukey's interval is Student's with the pooled variance: 4 degrees of freedom."""
    a, b = np.array([70.0, 73.0, 71.0]), np.array([75.0, 78.0, 80.0])
    (pair,) = differences({"a": a.tolist(), "b": b.tolist()})
    pooled = (a.var(ddof=1) + b.var(ddof=1)) / 2
    half = 2.776445 * np.sqrt(pooled * 2 / 3)  # t at 97.5 %, from a printed table
    assert pair.high - pair.points == pytest.approx(half, rel=1e-4)
    assert pair.low == pytest.approx(b.mean() - a.mean() - half, rel=1e-4)


def test_the_intervals_are_those_of_tukeys_test_by_scipy() -> None:
    scores = {"a": [61.0, 64.5, 60.2], "b": [70.1, 70.9], "c": [66.0, 61.3, 68.4, 65.0]}
    interval = tukey_hsd(*scores.values()).confidence_interval(0.95)
    names = list(scores)
    for pair in differences(scores):
        place = names.index(pair.higher), names.index(pair.lower)
        assert (pair.low, pair.high) == pytest.approx((interval.low[place], interval.high[place]))


def test_where_nothing_differs_few_comparisons_find_a_difference() -> None:
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(100):
        scores = {str(name): rng.normal(60, 2, size=3).tolist() for name in range(6)}
        found += any(pair.beyond_spread for pair in differences(scores))
    assert found <= 13  # 5 % of 100 are 5; 13 would be four deviations more


def test_without_any_spread_every_difference_counts() -> None:
    pairs = differences({"a": [50, 50], "b": [60, 60], "c": [60, 60]})
    assert [pair.beyond_spread for pair in pairs] == [True, True, False]


@pytest.mark.parametrize("scores", [{}, {"a": [1.0, 2.0]}, {"a": [1.0], "b": [2.0, 3.0]}])
def test_one_score_tells_nothing_of_the_spread(scores: dict[str, list[float]]) -> None:
    assert differences(scores) == ()
