"""Random clips for training: cropped, changed and mirrored by the sample's own chance.

A sample depends only on the seed, the epoch and its number, so it is the same in every worker and
order, and after a training run was resumed. What other models take of it is made by the same
chance: the draws are fractions of a picture, so that crops and boxes lie alike in pictures of
another size.
"""

import copy
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mixtconv.data.clip_labels import classes_in, label_of, mirrored_label
from mixtconv.data.dataset import UnreadableItem, VideoItem
from mixtconv.data.epoch_sampler import SampleKey
from mixtconv.data.frame_cache import FrameCache
from mixtconv.data.labels import MirrorLabels
from mixtconv.data.listing import Label, VideoSample
from mixtconv.data.modality import join_snippets, num_snippets, read_model_clip
from mixtconv.data.rand_augment import erase_box, rand_augment
from mixtconv.data.same_clip import places_in_span, reads_the_same
from mixtconv.data.transforms import (
    CROP_SCALES,
    RANDOM_CROPS,
    CropPlaces,
    Jitter,
    jitter_pictures,
    least_training_side,
    mirror,
)
from mixtconv.models.spec import ModelSpec
from mixtconv.video.pictures import Clip, Unreadable, UnreadableVideoError
from mixtconv.video.sampling import training_clip
from mixtconv.video.segment import named

MIRROR_PROBABILITY = 0.5

Transform = Callable[[Tensor], Tensor]
"""A change of a clip that a user gives: uint8 (T, C, S, S) -> the same shape."""


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
        others: clips that other models take of the same videos, at the same time, and cropped,
            changed and mirrored alike; those of another kind, as flow beside pictures, without
            `transform`.
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
        others: Sequence[ModelSpec] = (),
    ) -> None:
        self.samples = samples
        self.spec = spec
        self.others = tuple(others)
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
            clip, others = self._read(sample, key)
        except UnreadableVideoError as error:
            return key.number, Unreadable(named(sample.video), error.reason_in(sample.video))
        label = label_of(sample, clip.indices, self.spec)
        return [self._copy(clip.frames, others, label, key, number) for number in range(count)]

    def _read(self, sample: VideoSample, key: SampleKey) -> tuple[Clip[Tensor], list[Tensor]]:
        """The clip of a sample, and what other models take of it, in one pass where they can.

        Raises:
            UnreadableVideoError: the video has no readable frame, or does not fit a modality.
        """
        spec, length = self.spec, self.spec.num_frames
        together = [other for other in self.others if reads_the_same(spec, other)]
        side = max(each.image_size for each in (spec, *self.others))

        def choose(num_places: int) -> list[int]:
            own = training_clip(spec, num_places, self._rng(key, 0), time_jitter=self.jitter.time)
            spans = (places_in_span(own, other.num_frames, num_places) for other in together)
            return [*own, *(place for span in spans for place in span)]

        read = partial(
            read_model_clip,
            sample.video,
            least_short_side=least_training_side(side, self.crop_scales),
        )
        clip = read(choose, spec, cache=self.cache)
        own = Clip(clip.frames[:length], clip.indices[:length], clip.num_frames)
        parts = iter(clip.frames[length:].split([other.num_frames for other in together]))
        frames = []
        for other in self.others:
            if other in together:
                frames.append(next(parts))
                continue
            of_clip = num_snippets(clip.num_frames, spec.snippet.num_frames)
            span = partial(places_in_span, own.indices, other.num_frames, of_clip=of_clip)
            frames.append(read(span, other).frames)
        return own, frames

    def _rng(self, key: SampleKey, stream: int, copy: int = 0) -> np.random.Generator:
        """Chance of one kind for one copy of a sample."""
        seed = [self.seed, key.epoch, key.number, stream]
        if key.draw:
            seed += [copy, key.draw]
        elif copy:
            seed += [copy]
        return np.random.default_rng(seed)

    def _copy(
        self,
        frames: Tensor,
        others: Sequence[Tensor],
        label: Label | Tensor,
        key: SampleKey,
        copy: int,
    ) -> VideoItem:
        """One copy of the clip, and of what other models take of it by the same chance."""

        def rng(stream: int) -> np.random.Generator:
            return self._rng(key, stream, copy)

        may_mirror = self.mirroring is not None and self._never_mirrored.isdisjoint(
            classes_in(label)
        )
        clip, mirrored = self._augmented(frames, self.spec, rng, may_mirror=may_mirror)
        also = tuple(
            self._augmented(each, spec, rng, may_mirror=may_mirror)[0]
            for each, spec in zip(others, self.others, strict=True)
        )
        if mirrored and self.mirroring is not None:
            label = mirrored_label(label, self.mirroring)
        return VideoItem(clip, label, key.number, mirrored, also)

    def _augmented(
        self,
        frames: Tensor,
        spec: ModelSpec,
        rng: Callable[[int], np.random.Generator],
        *,
        may_mirror: bool,
    ) -> tuple[Tensor, bool]:
        """Frames as a model takes them, (T, C, S, S), and whether they are mirrored."""
        chance = rng(1)
        frames = self.crop(
            frames, spec.image_size, chance, scales=self.crop_scales
        )  # (T, 3, S, S), or (T, L, C / L, S, S)
        if spec.modality not in ("flow", "rgbflow"):
            frames = self._changed(frames, rng)
        mirrored = may_mirror and chance.random() < MIRROR_PROBABILITY
        if mirrored:
            frames = mirror(frames, spec.modality)
        frames = join_snippets(frames, spec)
        if self.transform is not None and reads_the_same(self.spec, spec):
            frames = self._transformed(frames, self.transform, rng(5))
        return frames, mirrored

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
