"""Neighbourhood accuracy, against plain loops."""

import math
from collections import Counter

import numpy as np
import pytest

from mixtconv.visualization.embedding import neighbourhood_accuracy


def plain_accuracy(features: np.ndarray, labels: np.ndarray, k: int, distance) -> float:
    right = 0
    for i in range(len(features)):
        others = sorted(
            (distance(features[i], features[j]), j) for j in range(len(features)) if j != i
        )
        votes = [int(labels[j]) for _, j in others[:k]]
        most = max(Counter(votes).values())
        right += next(vote for vote in votes if votes.count(vote) == most) == labels[i]
    return 100 * right / len(features)


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return 1 - float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))


def euclidean(a: np.ndarray, b: np.ndarray) -> float:
    return math.dist(a, b)


@pytest.mark.parametrize("metric", [cosine, euclidean], ids=["cosine", "euclidean"])
@pytest.mark.parametrize("k", [1, 4, 5, 60])
def test_it_is_the_vote_of_the_nearest_others(metric, k: int) -> None:
    rng = np.random.default_rng(k)
    labels = rng.integers(0, 4, 40)
    features = rng.normal(0, 1, (40, 6)) + np.eye(6)[labels]
    expected = plain_accuracy(features, labels, k, metric)
    measured = neighbourhood_accuracy(features, labels, neighbours=k, metric=metric.__name__)
    assert measured == pytest.approx(expected)
    assert k == 60 or 20 < expected < 100


def test_a_clip_does_not_vote_for_itself() -> None:
    twins = np.repeat(np.arange(10.0), 2)[:, None]  # each lies where one of another class does
    labels = np.tile([0, 1], 10)
    assert neighbourhood_accuracy(twins, labels, neighbours=1, metric="euclidean") == 0


@pytest.mark.parametrize("labels", [[0], [3, 3, 3]])
def test_it_is_not_given_where_it_says_nothing(labels: list[int]) -> None:
    assert math.isnan(neighbourhood_accuracy(np.ones((len(labels), 2)), np.array(labels)))
