"""Data loaders: worker processes that read videos ahead of the network."""

import gc
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from mixtconv.data.catalog import VideoSample
from mixtconv.data.cores import usable_cores
from mixtconv.data.dataset import (
    EpochSampler,
    ScoringViews,
    TrainingClips,
    VideoBatch,
    collate,
)
from mixtconv.data.protocol import Protocol
from mixtconv.models.spec import ModelSpec

MAX_DEFAULT_WORKERS = 8


def default_workers() -> int:
    """Worker processes unless the user says otherwise: one a core, at most eight."""
    return min(usable_cores(), MAX_DEFAULT_WORKERS)


def training_loader(
    dataset: TrainingClips, sampler: EpochSampler, *, batch_size: int, workers: int
) -> "DataLoader[VideoBatch]":
    """Batches of random clips in the sampler's order, the last one perhaps smaller."""
    return _loader(dataset, sampler, batch_size=batch_size, workers=workers)


def scoring_loader(
    samples: Sequence[VideoSample],
    spec: ModelSpec,
    protocol: Protocol,
    *,
    batch_size: int,
    workers: int,
    rank: int = 0,
    world_size: int = 1,
) -> "DataLoader[VideoBatch]":
    """Batches of views, every video once over all processes.

    Args:
        samples: the videos.
        spec: the clips that the model takes.
        protocol: clips and crops; a batch holds about `batch_size` views, and at least one video.
        batch_size: views of a batch.
        workers: processes that read; 0 reads in this one.
        rank, world_size: number of this process and of all.
    """
    dataset = ScoringViews(samples, spec, protocol)
    indices = list(range(rank, len(samples), world_size))
    videos = max(1, batch_size // protocol.num_views)
    return _loader(dataset, indices, batch_size=videos, workers=workers)


class _ForkingLoader(DataLoader):
    """A loader whose workers do not inherit garbage that owns threads.

    A worker is a fork of this process without its threads. Where it inherits an unreachable video
    decoder and happens to free it, it waits for threads that are not there, for ever.
    """

    def __iter__(self) -> Any:
        if self.num_workers:
            gc.collect()
        return super().__iter__()


def _loader(
    dataset: Any, sampler: Sampler | Sequence[int], *, batch_size: int, workers: int
) -> "DataLoader[VideoBatch]":
    return _ForkingLoader(
        dataset,
        sampler=sampler,
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )
