"""t-SNE maps of the features of model files, side by side on the same clips."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mixtconv._types import Progress
from mixtconv.data.listing import DataSource
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.models import read_metadata
from mixtconv.models.location import find_model_file
from mixtconv.visualization.clip_maps import ClipFeatures, clip_features, clip_maps
from mixtconv.visualization.drawing import Drawing
from mixtconv.visualization.embedding import MAX_CLIPS, NUM_NEIGHBOURS, PERPLEXITY, require_sklearn
from mixtconv.visualization.feature_map import feature_maps
from mixtconv.visualization.inline_svg import Spot
from mixtconv.visualization.style import point_places

SPOT = 3.0
"""Half the side of a point of the map, in pixels."""


def draw_tsne(
    models: Sequence[str | Path],
    data: str | Path | DataSource,
    *,
    reading: EvaluationSettings | None = None,
    perplexity: float = PERPLEXITY,
    max_clips: int = MAX_CLIPS,
    seed: int = 0,
    progress: Progress | None = None,
) -> Drawing:
    """Draw the features before the last layer: a point a clip, a panel a model.

    Args:
        models: model files, all of which have the classes of the data.
        data: labelled videos, as for `evaluate_model`.
        reading: which videos, and how they are read.
        perplexity: of t-SNE; less where the clips are few.
        max_clips: clips of the map; of more videos so many are chosen by chance, each class in
            proportion, and only they are read.
        seed: seed of the choice and of t-SNE.
        progress: called with the videos done and all of them.

    Raises:
        ValueError: models or data that cannot be used, none of the videos can be read, or
            scikit-learn is missing.
    """
    require_sklearn()
    reading = reading or EvaluationSettings()
    if perplexity <= 0:
        raise ValueError(f"--perplexity is {perplexity}; give a number above 0")
    names = _names(models)
    found = clip_features(
        dict(zip(names, models, strict=True)), data,
        reading=reading, max_clips=max_clips, seed=seed, progress=progress,
    )  # fmt: skip
    classes = read_metadata(models[0])["spec"]["classes"]
    return drawing_of_features(found, classes, perplexity=perplexity, seed=seed)


def drawing_of_features(
    features: ClipFeatures,
    classes: Sequence[str],
    *,
    perplexity: float = PERPLEXITY,
    seed: int = 0,
) -> Drawing:
    """Draw features that are there already, of clips of the named classes."""
    found = clip_maps(features, perplexity=perplexity, seed=seed)
    maps, labels = found.maps, found.labels
    figure = feature_maps(maps, labels, classes)
    spots = [
        Spot(x, y, SPOT, SPOT, f"{classes[label]}\n{clip}", classes[label])
        for index, item in enumerate(maps)
        for (x, y), label, clip in zip(
            point_places(figure, index, item.points), labels, features.clips, strict=True
        )
    ]
    num_classes = len(np.unique(labels))
    return Drawing(
        title="t-SNE of the features before the last layer",
        description=(
            f"Each point is one of {len(labels)} clips of {num_classes} classes. Neighbourhood "
            f"accuracy: share of clips whose {NUM_NEIGHBOURS} nearest other clips are mostly of "
            "its own class."
        ),
        figure=figure,
        numbers={
            "num_clips": len(labels),
            "num_left_out": features.num_left_out,
            "num_classes": num_classes,
            "perplexity": found.perplexity,
            "neighbours": NUM_NEIGHBOURS,
            "models": [
                {
                    "model": item.name,
                    "neighbourhood_accuracy": _or_none(item.accuracy),
                    "map_neighbourhood_accuracy": _or_none(item.map_accuracy),
                }
                for item in maps
            ],
        },
        columns=("model", "clips", "neighbourhood accuracy %", "of the map %"),
        rows=tuple((item.name, len(labels), item.accuracy, item.map_accuracy) for item in maps),
        notes=found.notes,
        spots=tuple(spots),
        unreadable=features.unreadable,
    )


def _names(models: Sequence[str | Path]) -> list[str]:
    """What the models are called: as they are, or with their file where two are called the same.

    Raises:
        ValueError: one model is given twice.
    """
    files = [find_model_file(path).resolve() for path in models]
    for path, file in zip(models, files, strict=True):
        if files.count(file) > 1:
            raise ValueError(f"{path} is given twice; give each model once")
    names = [read_metadata(path)["spec"]["name"] for path in models]
    return [
        f"{name} ({path})" if names.count(name) > 1 else name
        for name, path in zip(names, models, strict=True)
    ]


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
