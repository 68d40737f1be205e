"""Neighbourhood accuracy: whether clips that lie near each other are of one class.

Leave-one-out k-nearest-neighbour accuracy. Each clip is given the class that most of its k nearest
other clips have (of classes that are equally frequent, the one whose clip is nearest); the accuracy
is the share of clips for which it is their own.
"""

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Metric = Literal["cosine", "euclidean"]

NUM_NEIGHBOURS = 5


def neighbourhood_accuracy(
    features: NDArray[Any],
    labels: NDArray[Any],
    *,
    neighbours: int = NUM_NEIGHBOURS,
    metric: Metric = "cosine",
) -> float:
    """Leave-one-out accuracy of the nearest neighbours, in percent.

    Args:
        features: (N, D).
        labels: (N,) whole numbers.
        neighbours: k; where there are fewer other clips, all of them vote.
        metric: `cosine` looks at directions alone, as suits the features of a network.

    Returns:
        0 to 100; NaN for fewer than two clips or fewer than two classes, where it says nothing.

    >>> features = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [5.2]])
    >>> neighbourhood_accuracy(
    ...     features, np.array([0, 0, 0, 1, 1, 1]), neighbours=2, metric="euclidean"
    ... )
    100.0
    """
    if neighbours < 1:
        raise ValueError(f"neighbours is {neighbours}; give 1 or more")
    if len(np.unique(labels)) < 2:
        return math.nan
    from sklearn.neighbors import NearestNeighbors  # noqa: PLC0415

    search = NearestNeighbors(n_neighbors=min(neighbours, len(features) - 1), metric=metric)
    nearest = search.fit(features).kneighbors(return_distance=False)  # (N, k), itself left out
    votes = labels[nearest]  # (N, k), nearest first
    frequency = (votes[:, :, None] == votes[:, None, :]).sum(axis=2)  # (N, k)
    chosen = votes[
        np.arange(len(votes)), frequency.argmax(axis=1)
    ]  # the first of the most frequent
    return 100 * float((chosen == labels).mean())
