"""Datasets and loaders: random clips for training, fixed views for scoring.

A sample depends only on the seed, the epoch and its number, so it is the same in every worker and
order, and after a training run was resumed. A video that cannot be read is neither replaced nor
dropped: it is passed on to the main process as `Unreadable`, which decides.
"""

import copy
import gc
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, default_collate

from mixtconv._processes import begin_loading
from mixtconv.data.clip_labels import classes_in, label_of, label_tensor, mirrored_label
from mixtconv.data.epoch_sampler import SampleKey
from mixtconv.data.frame_cache import FrameCache
from mixtconv.data.labels import MirrorLabels
from mixtconv.data.listing import Label, VideoSample
from mixtconv.data.modality import join_snippets, read_model_clip
from mixtconv.data.parallel import usable_cores
from mixtconv.data.protocol import Protocol
from mixtconv.data.rand_augment import erase_box, rand_augment
from mixtconv.data.transforms import (
    CROP_SCALES,
    RANDOM_CROPS,
    CropPlaces,
    Jitter,
    jitter_pictures,
    least_training_side,
    mirror,
)
from mixtconv.data.views import TensorViewReader
from mixtconv.models.spec import ModelSpec
from mixtconv.video.pictures import Unreadable, UnreadableVideoError
from mixtconv.video.sampling import training_clip
from mixtconv.video.segment import named

MIRROR_PROBABILITY = 0.5

Transform = Callable[[Tensor], Tensor]
"""A change of a clip that a user gives: uint8 (T, C, S, S) -> the same shape."""


class VideoItem(NamedTuple):
    """A video as one sample: frames uint8 (T, C, S, S), or (V, T, C, S, S) for views."""

    frames: Tensor
    label: Label | Tensor
    """Its class, of several labels 1 or 0 of each, or the labels of each frame, float32 (T, K)."""
    number: int
    mirrored: bool = False
    """Whether left and right were exchanged, and the label with them."""


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


class TrainingClips(Dataset):
    """One random clip of a video, cropped at a random scale, perhaps mirrored.

    Args:
        samples: the videos.
        spec: the clips that the model takes.
        mirroring: how mirroring changes the labels; None never mirrors.
        crop_scales: sides of the crops, as fractions of the short side.
        crop_places: where they lie, see `transforms.RANDOM_CROPS`.
        jitter: changes of time, colour, angle and shape.
        seed: seed of all random choices.
        cache: shrunk frames of the videos, read in place of them.
        transform: a change of one's own, after all others.
    """

    def __init__(
        self,
        samples: Sequence[VideoSample],
        spec: ModelSpec,
        *,
        mirroring: MirrorLabels | None = None,
        crop_scales: Sequence[float] = CROP_SCALES,
        crop_places: CropPlaces = "anywhere",
        jitter: Jitter | None = None,
        seed: int = 0,
        cache: FrameCache | None = None,
        transform: Transform | None = None,
    ) -> None:
        self.samples = samples
        self.spec = spec
        self.mirroring = mirroring
        self.crop_scales = tuple(crop_scales)
        self.crop = RANDOM_CROPS[crop_places]
        self.jitter = jitter or Jitter()
        self.seed = seed
        self.cache = cache
        self.transform = transform
        unpaired = set(mirroring.unpaired) if mirroring else set()
        self._never_mirrored = {
            label for label, name in enumerate(spec.classes) if name in unpaired
        }

    def of(self, sample: VideoSample, *, seed: int) -> "TrainingClips":
        """The clips of one video, which do not depend on its place among others.

        Args:
            sample: the video, number 0 of the result.
            seed: its own, beside the common one.
        """
        alone = copy.copy(self)
        alone.samples, alone.seed = (sample,), self.seed + seed
        return alone

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: SampleKey) -> VideoItem | UnreadableItem:
        items = self.copies(key, 1)
        return items[0] if isinstance(items, list) else items

    def copies(self, key: SampleKey, count: int) -> list[VideoItem] | UnreadableItem:
        """The same frames of a video, read once, and cropped, changed and mirrored several times.

        Args:
            key: the sample; the first copy is what it is without others.
            count: copies.
        """
        sample = self.samples[key.number]
        try:
            clip = read_model_clip(
                sample.video,
                lambda num_frames: training_clip(
                    self.spec, num_frames, self._rng(key, 0), time_jitter=self.jitter.time
                ),
                self.spec,
                least_short_side=least_training_side(self.spec.image_size, self.crop_scales),
                cache=self.cache,
            )
        except UnreadableVideoError as error:
            return key.number, Unreadable(named(sample.video), error.reason_in(sample.video))
        label = label_of(sample, clip.indices, self.spec)
        return [self._copy(clip.frames, label, key, number) for number in range(count)]

    def _rng(self, key: SampleKey, stream: int, copy: int = 0) -> np.random.Generator:
        """Chance of one kind for one copy of a sample."""
        seed = [self.seed, key.epoch, key.number, stream]
        if key.draw:
            seed += [copy, key.draw]
        elif copy:
            seed += [copy]
        return np.random.default_rng(seed)

    def _copy(self, frames: Tensor, label: Label | Tensor, key: SampleKey, copy: int) -> VideoItem:
        def rng(stream: int) -> np.random.Generator:
            return self._rng(key, stream, copy)

        chance = rng(1)
        frames = self.crop(
            frames, self.spec.image_size, chance, scales=self.crop_scales
        )  # (T, 3, S, S), or (T, L, C / L, S, S)
        frames = self._changed(frames, rng)
        mirrored = (
            self.mirroring is not None
            and self._never_mirrored.isdisjoint(classes_in(label))
            and chance.random() < MIRROR_PROBABILITY
        )
        if mirrored and self.mirroring is not None:
            frames = mirror(frames, self.spec.modality)
            label = mirrored_label(label, self.mirroring)
        frames = join_snippets(frames, self.spec)
        if self.transform is not None:
            frames = self._transformed(frames, self.transform, rng(5))
        return VideoItem(frames, label, key.number, mirrored)

    @staticmethod
    def _transformed(frames: Tensor, transform: Transform, chance: np.random.Generator) -> Tensor:
        """Frames (T, C, S, S) after a change of one's own, which draws from torch's generator."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(chance.integers(2**62)))
            result = transform(frames)
        if result.shape != frames.shape or result.dtype != frames.dtype:
            raise ValueError(
                f"transform made {result.dtype} of shape {tuple(result.shape)} of "
                f"{frames.dtype} of shape {tuple(frames.shape)}; type and shape must stay"
            )
        return result

    def _changed(self, frames: Tensor, rng: Callable[[int], np.random.Generator]) -> Tensor:
        """Frames (..., 3, S, S) with the changes of `jitter` that are not of time."""
        jitter = self.jitter
        frames = jitter_pictures(frames, jitter, rng(2))
        if jitter.operations:
            frames = rand_augment(
                frames, rng(3), num_operations=jitter.operations, magnitude=jitter.magnitude
            )
        if jitter.erasing and (chance := rng(4)).random() < jitter.erasing:
            frames = erase_box(frames, chance)
        return frames


class RepeatedClips(Dataset):
    """Several copies of each random clip, read once and augmented each on its own.

    "Augment Your Batch" (arXiv 1901.09335). Different here: labels may differ between copies, as a
    mirror exchanges those that name a side.

    Args:
        clips: the random clips.
        count: copies of each.
    """

    def __init__(self, clips: TrainingClips, count: int) -> None:
        self.clips, self.count = clips, count

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, key: SampleKey) -> list[VideoItem] | UnreadableItem:
        return self.clips.copies(key, self.count)


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
