"""t-SNE maps of the features of model files, side by side on the same clips."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixtconv.data.catalog import VideoSample
from mixtconv.data.dataset import Unreadable
from mixtconv.data.loading import default_workers
from mixtconv.data.protocol import Protocol
from mixtconv.data.source import DataSource
from mixtconv.evaluation.evaluate import Progress, counted, videos_for
from mixtconv.evaluation.features import VideoFeatures, video_features
from mixtconv.evaluation.reading import Reading
from mixtconv.models import load_model, read_metadata
from mixtconv.models.device import autocast, resolve_device
from mixtconv.visualization.drawing import Drawing
from mixtconv.visualization.embedding import (
    MAX_CLIPS,
    PERPLEXITY,
    choose_clips,
    embed,
    fitting_perplexity,
    require_sklearn,
)
from mixtconv.visualization.feature_map import FeatureMap, feature_maps, point_places
from mixtconv.visualization.hover_page import Spot
from mixtconv.visualization.neighbours import NUM_NEIGHBOURS, neighbourhood_accuracy

SPOT = 3.0
"""Half the side of a point of the map, in pixels."""


def draw_tsne(
    models: Sequence[str | Path],
    data: str | Path | DataSource,
    *,
    reading: Reading | None = None,
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
    reading = reading or Reading()
    if perplexity <= 0:
        raise ValueError(f"--perplexity is {perplexity}; give a number above 0")
    samples = [videos_for(path, data, split=reading.split) for path in models]
    labels = np.array([sample.label for sample in samples[0]])
    chosen = choose_clips(labels, limit=max_clips, seed=seed)
    found = []
    for index, path in enumerate(models):
        own = [samples[index][place] for place in chosen]
        found.append(_features(path, own, reading, _part(progress, index, len(models))))
    common = sorted(set.intersection(*(set(item.indices.tolist()) for item in found)))
    if not common:
        first = next(video for item in found for video in item.unreadable)
        raise ValueError(
            f"none of the {len(chosen)} videos can be read by all models: {first.path}: "
            f"{first.reason}"
        )
    shown = [samples[0][chosen[index]] for index in common]
    matrices = [item.features[np.isin(item.indices, common)].numpy() for item in found]
    unreadable = {video.path: video for item in found for video in item.unreadable}
    classes = read_metadata(models[0])["spec"]["classes"]
    return drawing_of_features(
        dict(zip(_names(models), matrices, strict=True)),
        np.array([sample.label for sample in shown]),
        classes,
        clips=[str(sample.path) for sample in shown],
        perplexity=perplexity,
        seed=seed,
        left_out=len(labels) - len(chosen),
        unreadable=tuple(unreadable.values()),
    )


def drawing_of_features(
    features: dict[str, NDArray[np.float32]],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    *,
    clips: Sequence[str],
    perplexity: float = PERPLEXITY,
    max_clips: int = MAX_CLIPS,
    seed: int = 0,
    left_out: int = 0,
    unreadable: tuple[Unreadable, ...] = (),
) -> Drawing:
    """Draw features that are there already.

    Args:
        features: (N, D) of each model, by the name that is shown.
        labels: (N,).
        classes: names.
        clips: what each clip is called.
        perplexity, max_clips, seed: as for `draw_tsne`.
        left_out: clips that were left out before.
        unreadable: videos that could not be read.
    """
    chosen = choose_clips(labels, limit=max_clips, seed=seed)
    left_out += len(labels) - len(chosen)
    labels, clips = labels[chosen], [clips[index] for index in chosen]
    maps = []
    for name, matrix in features.items():
        points = embed(matrix[chosen], perplexity=perplexity, seed=seed)
        accuracy = neighbourhood_accuracy(matrix[chosen], labels)
        on_map = neighbourhood_accuracy(points, labels, metric="euclidean")
        maps.append(FeatureMap(name, points, accuracy, on_map))
    figure = feature_maps(maps, labels, classes)
    spots = [
        Spot(x, y, SPOT, SPOT, f"{classes[label]}\n{clip}", classes[label])
        for index, item in enumerate(maps)
        for (x, y), label, clip in zip(
            point_places(figure, index, item.points), labels, clips, strict=True
        )
    ]
    used = fitting_perplexity(len(labels), perplexity)
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
            "num_left_out": left_out,
            "num_classes": num_classes,
            "perplexity": used,
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
        notes=_notes(len(labels), num_classes, left_out, used, perplexity),
        spots=tuple(spots),
        unreadable=unreadable,
    )


def _notes(
    num_clips: int, num_classes: int, left_out: int, used: float, perplexity: float
) -> tuple[str, ...]:
    notes = []
    if left_out:
        notes.append(
            f"{num_clips} of {num_clips + left_out} clips are shown, chosen by chance, each class "
            "in proportion; the neighbourhood accuracy is that of these"
        )
    if used < perplexity:
        notes.append(f"perplexity {used:.3g} instead of {perplexity:g}, as there are few clips")
    if num_clips == 1:
        notes.append("one clip only: it has no neighbours")
    elif num_classes == 1:
        notes.append("one class only: neighbourhood accuracy says nothing and is not given")
    return tuple(notes)


def _features(
    path: str | Path, samples: Sequence[VideoSample], reading: Reading, progress: Progress | None
) -> VideoFeatures:
    device = resolve_device(reading.device)
    return video_features(
        load_model(path, device=device),
        samples,
        protocol=Protocol.parse(reading.protocol),
        batch_size=reading.batch_size,
        workers=default_workers() if reading.workers is None else reading.workers,
        autocast=autocast(reading.precision, device),
        progress=lambda batches: counted(batches, len(samples), progress),
    )


def _names(models: Sequence[str | Path]) -> list[str]:
    """What the models are called: as they are, or with their file where two are called the same."""
    names = [read_metadata(path)["spec"]["name"] for path in models]
    return [
        f"{name} ({path})" if names.count(name) > 1 else name
        for name, path in zip(names, models, strict=True)
    ]


def _part(progress: Progress | None, index: int, number: int) -> Progress | None:
    """Progress of one model of several, told as progress of all."""

    def tell(done: int, total: int) -> None:
        assert progress is not None
        progress(index * total + done, number * total)

    return None if progress is None else tell


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
