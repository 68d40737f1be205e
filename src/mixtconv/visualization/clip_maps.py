"""Features of the same clips in several models, and their maps with notes on what was left out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixtconv._types import Progress
from mixtconv.data.listing import DataSource, one_label
from mixtconv.evaluation.evaluate import common_videos
from mixtconv.evaluation.scoring import video_features
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.models import load_model
from mixtconv.models.device import resolve_device
from mixtconv.video.pictures import Unreadable
from mixtconv.visualization.embedding import (
    MAX_CLIPS,
    PERPLEXITY,
    choose_clips,
    embed,
    fitting_perplexity,
    neighbourhood_accuracy,
)
from mixtconv.visualization.feature_map import FeatureMap


@dataclass(frozen=True)
class ClipFeatures:
    """Features before the last layer, of the clips that all models could read."""

    features: dict[str, NDArray[np.float32]]
    """(N, D) of each model, by its name."""
    labels: NDArray[np.int64]
    """(N,)."""
    clips: tuple[str, ...]
    """The videos' paths, of segments with their times."""
    num_left_out: int = 0
    """Videos that were not read."""
    unreadable: tuple[Unreadable, ...] = ()
    """Videos that could not be read."""


def clip_features(
    models: Mapping[str, str | Path],
    data: str | Path | DataSource,
    *,
    reading: EvaluationSettings,
    max_clips: int = MAX_CLIPS,
    seed: int = 0,
    progress: Progress | None = None,
) -> ClipFeatures:
    """Compute the features of labelled videos in model files.

    Args:
        models: model files by the names that are shown, all of which have the classes of the data.
        data: labelled videos, as for `evaluate_model`.
        reading: which videos, and how they are read.
        max_clips: of more videos so many are chosen by chance, each class in proportion, and only
            they are read.
        seed: seed of the choice.
        progress: called with the videos done and all of them.

    Raises:
        ValueError: models or data that cannot be used, or none of the videos can be read by all.
    """
    samples = common_videos(list(models.values()), data, split=reading.split)
    labels = [
        one_label(sample.label, "a map of features, coloured by class,") for sample in samples
    ]
    chosen = choose_clips(labels, limit=max_clips, seed=seed)
    samples_shown = [samples[place] for place in chosen]
    device = resolve_device(reading.device)
    found = [
        video_features(
            load_model(path, device=device),
            samples_shown,
            reading,
            progress=_part(progress, index, len(models)),
        )
        for index, path in enumerate(models.values())
    ]
    common = sorted(set.intersection(*(set(item.indices.tolist()) for item in found)))
    if not common:
        first = next(video for item in found for video in item.unreadable.values())
        raise ValueError(
            f"none of the {len(samples_shown)} videos can be read by all models: {first}"
        )
    matrices = [item.features[np.isin(item.indices, common)].numpy() for item in found]
    unreadable = {video.path: video for item in found for video in item.unreadable.values()}
    return ClipFeatures(
        features=dict(zip(models, matrices, strict=True)),
        labels=np.array([labels[chosen[index]] for index in common]),
        clips=tuple(str(samples_shown[index].video) for index in common),
        num_left_out=len(samples) - len(samples_shown),
        unreadable=tuple(unreadable.values()),
    )


def _part(progress: Progress | None, index: int, number: int) -> Progress | None:
    """Progress of one model out of several, reported as progress of all."""

    def report(done: int, total: int) -> None:
        assert progress is not None
        progress(index * total + done, number * total)

    return None if progress is None else report


@dataclass(frozen=True)
class ClipMaps:
    """The same clips on one plane a model."""

    labels: NDArray[np.int64]
    """(N,), classes of the clips."""
    maps: tuple[FeatureMap, ...]
    """One a model; empty where none can be made, with the reason in the notes."""
    perplexity: float
    notes: tuple[str, ...] = ()
    """Sentences about what was left out or could not be done."""


def clip_maps(found: ClipFeatures, *, perplexity: float = PERPLEXITY, seed: int = 0) -> ClipMaps:
    """Lay the features of every model out by t-SNE, and measure their neighbourhoods.

    Args:
        found: what is laid out.
        perplexity: of t-SNE; less where the clips are few.
        seed: seed of t-SNE.

    Raises:
        ValueError: features that are not finite, or scikit-learn is missing.

    >>> features = {"TSN": np.eye(6, dtype=np.float32)}
    >>> maps = clip_maps(ClipFeatures(features, np.array([0, 0, 0, 1, 1, 1]), tuple("abcdef")))
    >>> maps.maps[0].points.shape
    (6, 2)
    """
    maps = []
    for name, matrix in found.features.items():
        points = embed(matrix, perplexity=perplexity, seed=seed)
        accuracy = neighbourhood_accuracy(matrix, found.labels)
        on_map = neighbourhood_accuracy(points, found.labels, metric="euclidean")
        maps.append(FeatureMap(name, points, accuracy, on_map))
    used = fitting_perplexity(len(found.labels), perplexity)
    notes = []
    num_clips = len(found.labels)
    if found.num_left_out:
        notes.append(
            f"{num_clips} of {num_clips + found.num_left_out} clips are shown, chosen by chance, "
            "each class in proportion; the neighbourhood accuracy is that of these"
        )
    if used < perplexity:
        notes.append(f"perplexity {used:.3g} instead of {perplexity:g}, as there are few clips")
    if num_clips == 1:
        notes.append("one clip only: it has no neighbours")
    elif len(np.unique(found.labels)) == 1:
        notes.append("one class only: neighbourhood accuracy says nothing and is not given")
    return ClipMaps(found.labels, tuple(maps), used, tuple(notes))
