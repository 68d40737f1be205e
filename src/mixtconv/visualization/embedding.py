"""Features on a plane, and how well classes separate in them.

The plane is t-SNE's ("Visualizing Data using t-SNE", van der Maaten and Hinton 2008), as
scikit-learn computes it from the first 50 principal components.

Neighbourhood accuracy is leave-one-out k-nearest-neighbour accuracy: each clip is given the class
that most of its k nearest other clips have, of equally frequent ones that of the nearest clip.
"""

import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mixtconv._optional import import_needed

PERPLEXITY = 30.0
MAX_CLIPS = 5000
"""Clips of a map: t-SNE of 5000 takes about a minute, and more points hide each other."""
NUM_COMPONENTS = 50
NUM_NEIGHBOURS = 5


def choose_clips(
    labels: Sequence[int] | NDArray[Any], *, limit: int = MAX_CLIPS, seed: int = 0
) -> NDArray[np.intp]:
    """Choose clips for a map by chance, of every class in proportion, in their order.

    The clips are shuffled within their classes and then taken evenly over all classes laid end to
    end, so a class loses at most one clip against its share.

    >>> choose_clips([0] * 6 + [1] * 2, limit=4).tolist()
    [1, 4, 5, 7]
    """
    if limit < 1:
        raise ValueError(f"--max-clips is {limit}; give 1 or more")
    labels = np.asarray(labels)
    if len(labels) <= limit:
        return np.arange(len(labels))
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    by_class = shuffled[np.argsort(labels[shuffled], kind="stable")]
    places = (np.arange(limit) + 0.5) * len(labels) / limit
    return np.sort(by_class[places.astype(int)])


def fitting_perplexity(num_clips: int, perplexity: float = PERPLEXITY) -> float:
    """The perplexity, or a third of the other clips where it is larger, as van der Maaten advises.

    >>> fitting_perplexity(1000), fitting_perplexity(31)
    (30.0, 10.0)
    """
    return min(perplexity, max(num_clips - 1, 1) / 3)


def embed(
    features: NDArray[Any], *, perplexity: float = PERPLEXITY, seed: int = 0
) -> NDArray[np.float64]:
    """Lay features out on a plane: (N, D) -> (N, 2). The same seed gives the same map.

    Args:
        features: finite.
        perplexity: about how many neighbours a clip keeps near; see `fitting_perplexity`.
        seed: seed of chance.

    Raises:
        ValueError: features that are not finite, a perplexity that is not above 0, or scikit-learn
            is not installed.
    """
    if not np.isfinite(features).all():
        raise ValueError(
            "the features hold values that are not finite, so they have no map: the model has "
            "diverged in training; train it with a smaller --lr"
        )
    if perplexity <= 0:
        raise ValueError(f"--perplexity is {perplexity}; give a number above 0")
    sklearn = require_sklearn()
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    if len(centred) < 2 or not centred.any():
        return np.zeros((len(centred), 2))  # all clips at one point
    components = min(NUM_COMPONENTS, *centred.shape)
    reduced = sklearn.decomposition.PCA(components, random_state=seed).fit_transform(centred)
    if components == 1:
        reduced = np.pad(reduced, ((0, 0), (0, 1)))  # t-SNE is initialised with two components
    reduced /= np.abs(reduced).max()  # t-SNE's learning rate is not scaled to the data
    tsne = sklearn.manifold.TSNE(
        perplexity=fitting_perplexity(len(reduced), perplexity),
        init=1e-4 * reduced[:, :2] / reduced[:, 0].std(),
        random_state=seed,
    )
    return tsne.fit_transform(reduced).astype(np.float64)


def require_sklearn() -> ModuleType:
    """scikit-learn with the parts that are used here.

    Raises:
        ValueError: it is not installed.
    """
    return import_needed(
        "sklearn.decomposition", "sklearn.manifold", "sklearn.neighbors", why="t-SNE needs"
    )


def neighbourhood_accuracy(
    features: NDArray[Any],
    labels: NDArray[Any],
    *,
    neighbours: int = NUM_NEIGHBOURS,
    metric: Literal["cosine", "euclidean"] = "cosine",
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
    most_frequent = frequency.argmax(axis=1)  # (N,), the nearest of them where there are several
    predicted = votes[np.arange(len(votes)), most_frequent]
    return 100 * float((predicted == labels).mean())
