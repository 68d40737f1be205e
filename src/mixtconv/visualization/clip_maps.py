"""The features of clips as maps of several models, with what is to be said of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixtconv.visualization.embedding import (
    MAX_CLIPS,
    PERPLEXITY,
    choose_clips,
    embed,
    fitting_perplexity,
)
from mixtconv.visualization.feature_map import FeatureMap
from mixtconv.visualization.neighbours import neighbourhood_accuracy


@dataclass(frozen=True)
class ClipMaps:
    """The same clips on one plane a model."""

    labels: NDArray[np.int64]
    """(N,), classes of the clips."""
    clips: tuple[str, ...]
    """What each clip is called."""
    maps: tuple[FeatureMap, ...]
    """One a model; none where they cannot be made, which the notes then say."""
    perplexity: float
    num_left_out: int = 0
    """Clips that are not shown."""
    notes: tuple[str, ...] = ()
    """Sentences about what was left out or could not be done."""


def clip_maps(
    features: Mapping[str, NDArray[np.float32]],
    labels: NDArray[np.int64],
    clips: Sequence[str],
    *,
    perplexity: float = PERPLEXITY,
    max_clips: int = MAX_CLIPS,
    seed: int = 0,
    num_left_out: int = 0,
) -> ClipMaps:
    """Lay the features of every model out by t-SNE, and measure their neighbourhoods.

    Args:
        features: (N, D) of each model, by the name that is shown.
        labels: (N,).
        clips: what each clip is called.
        perplexity: of t-SNE; less where the clips are few.
        max_clips: of more clips so many are chosen by chance, each class in proportion.
        seed: seed of the choice and of t-SNE.
        num_left_out: clips that were left out before.

    Raises:
        ValueError: features that are not finite, or scikit-learn is missing.

    >>> features = {"TSN": np.eye(6, dtype=np.float32)}
    >>> maps = clip_maps(features, np.array([0, 0, 0, 1, 1, 1]), list("abcdef"))
    >>> maps.maps[0].points.shape
    (6, 2)
    """
    chosen = choose_clips(labels, limit=max_clips, seed=seed)
    num_left_out += len(labels) - len(chosen)
    labels = labels[chosen]
    maps = []
    for name, matrix in features.items():
        points = embed(matrix[chosen], perplexity=perplexity, seed=seed)
        accuracy = neighbourhood_accuracy(matrix[chosen], labels)
        on_map = neighbourhood_accuracy(points, labels, metric="euclidean")
        maps.append(FeatureMap(name, points, accuracy, on_map))
    used = fitting_perplexity(len(labels), perplexity)
    return ClipMaps(
        labels=labels,
        clips=tuple(clips[index] for index in chosen),
        maps=tuple(maps),
        perplexity=used,
        num_left_out=num_left_out,
        notes=_notes(labels, num_left_out, used, perplexity),
    )


def _notes(
    labels: NDArray[np.int64], num_left_out: int, used: float, perplexity: float
) -> tuple[str, ...]:
    notes = []
    num_clips = len(labels)
    if num_left_out:
        notes.append(
            f"{num_clips} of {num_clips + num_left_out} clips are shown, chosen by chance, each "
            "class in proportion; the neighbourhood accuracy is that of these"
        )
    if used < perplexity:
        notes.append(f"perplexity {used:.3g} instead of {perplexity:g}, as there are few clips")
    if num_clips == 1:
        notes.append("one clip only: it has no neighbours")
    elif len(np.unique(labels)) == 1:
        notes.append("one class only: neighbourhood accuracy says nothing and is not given")
    return tuple(notes)
