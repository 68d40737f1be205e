"""Features of the same clips in several model files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mixtconv.data.catalog import VideoSample
from mixtconv.data.dataset import Unreadable
from mixtconv.data.loading import default_workers
from mixtconv.data.protocol import Protocol
from mixtconv.data.source import DataSource
from mixtconv.evaluation.evaluate import Progress, common_videos, counted
from mixtconv.evaluation.features import VideoFeatures, video_features
from mixtconv.evaluation.reading import Reading
from mixtconv.models import load_model
from mixtconv.models.device import autocast, resolve_device
from mixtconv.visualization.embedding import MAX_CLIPS, choose_clips


@dataclass(frozen=True)
class ClipFeatures:
    """Features before the last layer, of the clips that all models could read."""

    features: dict[str, NDArray[np.float32]]
    """(N, D) of each model, by its name."""
    labels: NDArray[np.int64]
    """(N,)."""
    clips: tuple[str, ...]
    """The videos' paths."""
    num_left_out: int
    """Videos that were not read."""
    unreadable: tuple[Unreadable, ...]
    """Videos that could not be read."""


def clip_features(
    models: Mapping[str, str | Path],
    data: str | Path | DataSource,
    *,
    reading: Reading,
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
    chosen = choose_clips([sample.label for sample in samples], limit=max_clips, seed=seed)
    own = [samples[place] for place in chosen]
    found = [
        _features(path, own, reading, _part(progress, index, len(models)))
        for index, path in enumerate(models.values())
    ]
    common = sorted(set.intersection(*(set(item.indices.tolist()) for item in found)))
    if not common:
        first = next(video for item in found for video in item.unreadable)
        raise ValueError(
            f"none of the {len(own)} videos can be read by all models: {first.path}: {first.reason}"
        )
    matrices = [item.features[np.isin(item.indices, common)].numpy() for item in found]
    unreadable = {video.path: video for item in found for video in item.unreadable}
    return ClipFeatures(
        features=dict(zip(models, matrices, strict=True)),
        labels=np.array([own[index].label for index in common]),
        clips=tuple(str(own[index].path) for index in common),
        num_left_out=len(samples) - len(own),
        unreadable=tuple(unreadable.values()),
    )


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


def _part(progress: Progress | None, index: int, number: int) -> Progress | None:
    """Progress of one model of several, told as progress of all."""

    def tell(done: int, total: int) -> None:
        assert progress is not None
        progress(index * total + done, number * total)

    return None if progress is None else tell
