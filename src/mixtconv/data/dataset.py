"""Datasets and loaders: random clips for training, fixed views for scoring.

A sample depends only on the seed, the epoch and its number, so it is the same in every worker and
order, and after a training run was resumed. A video that cannot be read is neither replaced nor
dropped: it is passed on to the main process as `Unreadable`, which decides.
"""

import gc
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from mixtconv._processes import begin_loading
from mixtconv.data.clip_labels import label_of, label_tensor
from mixtconv.data.frame_cache import FrameCache
from mixtconv.data.listing import Label, VideoSample
from mixtconv.data.parallel import usable_cores
from mixtconv.data.protocol import Protocol
from mixtconv.data.views import TensorViewReader
from mixtconv.models.spec import ModelSpec
from mixtconv.video.pictures import Unreadable, UnreadableVideoError
from mixtconv.video.segment import named


class VideoItem(NamedTuple):
    """A video as one sample: frames uint8 (T, C, S, S), or (V, T, C, S, S) for views."""

    frames: Tensor
    label: Label | Tensor
    """Its class, of several labels 1 or 0 of each, or the labels of each frame, float32 (T, K)."""
    number: int
    mirrored: bool = False
    """Whether left and right were exchanged, and the label with them."""
    others: tuple[Tensor, ...] = ()
    """The same clip as other models take it, each uint8 (T, C, S, S)."""


UnreadableItem = tuple[int, Unreadable]
"""The place in the dataset of a video without a usable frame, and the video."""


class VideoBatch(NamedTuple):
    """Samples of a batch; B counts the readable ones."""

    frames: Tensor
    """uint8 (B, T, C, S, S), or (B, V, T, C, S, S) for views."""
    labels: Tensor
    """int64 (B,), or of several labels float32 (B, K), 1 and 0; where frames have labels of their
    own, the shares of the classes in each, float32 (B, T, K)."""
    indices: Tensor
    """int64 (B,), places of the samples in the dataset."""
    unreadable: dict[int, Unreadable]
    """The samples that could not be read, by their places in the dataset."""
    mirrored: Tensor
    """bool (B,), whether left and right were exchanged, and the labels with them."""
    others: tuple[Tensor, ...]
    """The same clips as other models take them, each uint8 (B, T, C, S, S)."""


class ScoringViews(Dataset):
    """All views of a video by a protocol, deterministic.

    Args:
        samples: the videos.
        spec: the clips that the model takes.
        protocol: clips and crops.
        cache: shrunk frames of the videos, read in place of them.
    """

    def __init__(
        self,
        samples: Sequence[VideoSample],
        spec: ModelSpec,
        protocol: Protocol,
        *,
        cache: FrameCache | None = None,
    ) -> None:
        self.samples = samples
        self.reader = TensorViewReader(spec, protocol, cache)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> VideoItem | UnreadableItem:
        sample = self.samples[index]
        try:
            views = self.reader.read(sample.video)
        except UnreadableVideoError as error:
            return index, Unreadable(named(sample.video), error.reason_in(sample.video))
        return VideoItem(views.frames, label_of(sample, views.indices, self.reader.spec), index)


def collate(items: Sequence[VideoItem | list[VideoItem] | UnreadableItem]) -> VideoBatch:
    """Make a batch of samples, with a list of those that could not be read.

    In a worker the frames are written directly into memory shared with the main process. Of samples
    with several copies the first copies of all come first, then the second ones: mixing, which
    takes neighbours, so mixes different videos.
    """
    copies = [_copies_of(item) for item in items if isinstance(item, VideoItem | list)]
    read = [item for nth in zip(*copies, strict=True) for item in nth]
    frames = default_collate([item.frames for item in read]) if read else torch.empty(0)
    return VideoBatch(
        frames=frames,
        labels=label_tensor([item.label for item in read]),
        indices=torch.tensor([item.number for item in read], dtype=torch.long),
        unreadable=dict(item for item in items if not isinstance(item, VideoItem | list)),
        mirrored=torch.tensor([item.mirrored for item in read], dtype=torch.bool),
        others=tuple(
            default_collate(list(each))
            for each in zip(*(item.others for item in read), strict=True)
        ),
    )


def _copies_of(item: VideoItem | list[VideoItem]) -> list[VideoItem]:
    return item if isinstance(item, list) else [item]


MAX_DEFAULT_WORKERS = 8


def default_workers() -> int:
    """Default number of worker processes: one per core, at most eight."""
    return min(usable_cores(), MAX_DEFAULT_WORKERS)


class _ForkingLoader(DataLoader):
    """A loader whose workers do not inherit garbage that owns threads.

    A worker is a fork of this process without its threads. If its garbage collector frees an
    inherited video decoder, it deadlocks: the decoder joins threads that do not exist.
    """

    def __iter__(self) -> Any:
        if self.num_workers:
            gc.collect()
        return super().__iter__()


def video_loader(
    dataset: Dataset, sampler: Sampler | Sequence[int], *, batch_size: int | None, workers: int
) -> "DataLoader[VideoBatch]":
    """Batches in the sampler's order, the last one perhaps smaller; single items without a size."""
    return _ForkingLoader(
        dataset,
        sampler=sampler,
        batch_size=batch_size,
        num_workers=workers,
        collate_fn=_as_it_is if batch_size is None else collate,
        worker_init_fn=begin_loading,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def scoring_loader(
    samples: Sequence[VideoSample],
    spec: ModelSpec,
    protocol: Protocol,
    *,
    batch_size: int,
    workers: int,
    rank: int = 0,
    world_size: int = 1,
    cache: FrameCache | None = None,
) -> "DataLoader[VideoBatch]":
    """Batches of views, every video in one of the processes.

    Args:
        samples: the videos.
        spec: the clips that the model takes.
        protocol: clips and crops; a batch holds about `batch_size` views, and at least one video.
        batch_size: views of a batch.
        workers: processes that read; 0 reads in the current one.
        rank, world_size: number of this process and of all.
        cache: shrunk frames of the videos, read in place of them.
    """
    dataset = ScoringViews(samples, spec, protocol, cache=cache)
    indices = list(range(rank, len(samples), world_size))
    videos = max(1, batch_size // protocol.num_views)
    return video_loader(dataset, indices, batch_size=videos, workers=workers)


def item_loader(dataset: Dataset, indices: Sequence[int], *, workers: int) -> "DataLoader[Any]":
    """The items of a dataset one by one, as they are."""
    return video_loader(dataset, indices, batch_size=None, workers=workers)


def _as_it_is(item: Any) -> Any:
    return item
