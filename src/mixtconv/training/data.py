"""The videos of a run as Lightning takes them: loaders for one process of all."""

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningDataModule

from mixtconv._types import Progress
from mixtconv.data.dataset import default_workers, scoring_loader, video_loader
from mixtconv.data.datasets.catalog import VideoCatalog
from mixtconv.data.epoch_sampler import EpochSampler
from mixtconv.data.frame_cache import (
    CachedForm,
    FrameCache,
    cache_pays,
    cached_form,
    default_folder,
    fill_cache,
)
from mixtconv.data.labels import MirrorLabels
from mixtconv.data.listing import VideoSample, one_label
from mixtconv.data.same_clip import reads_the_same
from mixtconv.data.training_clips import RepeatedClips, TrainingClips, Transform
from mixtconv.data.transforms import (
    CROP_SCALES,
    RAND_MAGNITUDE,
    Jitter,
    least_training_side,
)
from mixtconv.models import ModelSpec
from mixtconv.training.plan import RunPlan
from mixtconv.training.settings import TrainingSettings

logger = logging.getLogger(__name__)

LARGEST_CACHED_IMAGE = 128
"""Pixels of an image up to which `--cache auto` keeps frames."""


FRAMES_OF_VIDEOS = "read from the videos"
"""`frames_in_words` without a cache, also what older checkpoints mean, which say nothing."""
SECONDS_BETWEEN_LINES = 10.0
"""Between two lines of the log that say how far the cache is filled."""


def cache_frames(
    plan: RunPlan, spec: ModelSpec, *, as_before: str | None, others: Sequence[ModelSpec] = ()
) -> FrameCache | None:
    """Decode and shrink the videos of a run once, as `settings.cache` says.

    Args:
        plan: the run; its videos.
        spec: the clips that the model takes.
        as_before: `frames_in_words` of the run that is resumed, which `auto` follows.
        others: clips that other models take of the same videos.

    Returns:
        None where videos are read.

    Raises:
        ValueError: a modality that is not cached, or other frames than those of the resumed run.
        OSError: a given folder cannot be written, or its disk is full.
    """
    settings, catalog = plan.settings, plan.catalog
    cache = None
    if settings.cache != "off" and as_before != FRAMES_OF_VIDEOS:
        cache = _cached(plan, spec, others, must=as_before is not None)
    frames = frames_in_words(cache)
    if as_before not in (None, frames):
        remedy = "--cache off" if as_before == FRAMES_OF_VIDEOS else "--cache DIR"
        raise ValueError(
            f"the run in {settings.out} was begun with frames {as_before}, now they are {frames}: "
            f"resume it with {remedy}, or start another --out"
        )
    if cache is not None:
        logger.info(
            "%d of %d videos are kept as frames (%s) in %s, %.0f MB: remove the folder to clear it",
            len(cache.keys),
            len({sample.video for sample in (*catalog.train, *catalog.val)}),
            cache.form,
            cache.folder,
            cache.size() / 1e6,
        )
    return cache


def form_of_run(
    plan: RunPlan, spec: ModelSpec, others: Sequence[ModelSpec] = ()
) -> CachedForm | None:
    """The form of the frames that a run takes, also for other models; None for optical flow."""
    clips = [spec, *(other for other in others if reads_the_same(spec, other))]
    spec = replace(
        spec,
        image_size=max(each.image_size for each in clips),
        num_frames=max(each.num_frames for each in clips),
    )
    side = least_training_side(spec.image_size, plan.settings.crop_scales or CROP_SCALES)
    return cached_form(spec, plan.protocol, training_side=side)


def _cached(
    plan: RunPlan, spec: ModelSpec, others: Sequence[ModelSpec], *, must: bool
) -> FrameCache | None:
    """The filled cache; with `auto` None where it does not pay or cannot be, unless it must."""
    settings = plan.settings
    is_auto = settings.cache == "auto"
    form = form_of_run(plan, spec, others)
    size = max(each.image_size for each in (spec, *others))
    if form is None and not is_auto:
        raise ValueError(
            f"--cache is {settings.cache} and the modality {spec.modality}, of which nothing is "
            "cached: leave it out, or give another --modality"
        )
    if form is None or (is_auto and not must and size > LARGEST_CACHED_IMAGE):
        return None
    folder = default_folder() if is_auto else Path(settings.cache)
    samples = (*plan.catalog.train, *plan.catalog.val)
    videos = [sample.video for sample in samples]
    if plan.launch is not None:  # each process begins elsewhere, and finds what others have made
        start = len(videos) * plan.launch.rank // plan.launch.num_processes
        videos = [*videos[start:], *videos[:start]]
    if is_auto and not must and not cache_pays(videos, form, folder):
        return None
    try:
        return fill_cache(videos, folder, form, progress=_log_progress())
    except OSError as error:
        if must or not is_auto:
            raise
        logger.warning("videos are read, not cached: %s (%s)", error.strerror, error.filename)
        return None


def _log_progress() -> Progress:
    """Logs how far the cache is filled, now and then."""
    last = time.monotonic()

    def log(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            logger.info("videos decoded and shrunk: %d of %d", done, total)

    return log


def frames_in_words(cache: FrameCache | None) -> str:
    """Which frames a run sees, for its record."""
    return FRAMES_OF_VIDEOS if cache is None else f"cached ({cache.form})"


def training_clips(
    catalog: VideoCatalog,
    spec: ModelSpec,
    settings: TrainingSettings,
    *,
    mirroring: MirrorLabels,
    cache: FrameCache | None = None,
    transform: Transform | None = None,
    others: Sequence[ModelSpec] = (),
) -> TrainingClips:
    """The random clips that a run trains on, one of each video."""
    magnitude = settings.rand_magnitude
    return TrainingClips(
        catalog.train,
        spec,
        mirroring=mirroring if settings.flip else None,
        crop_scales=settings.crop_scales or CROP_SCALES,
        crop_places=settings.crop_places,
        jitter=Jitter(
            time=settings.time_jitter,
            color=settings.color_jitter,
            degrees=settings.rotate,
            operations=settings.rand_augment,
            magnitude=RAND_MAGNITUDE if magnitude is None else magnitude,
            erasing=settings.random_erasing,
        ),
        seed=settings.seed,
        cache=cache,
        transform=transform,
        others=others,
    )


def epoch_sampler(
    samples: Sequence[VideoSample],
    settings: TrainingSettings,
    *,
    rank: int = 0,
    world_size: int = 1,
) -> EpochSampler:
    """Which of the samples each epoch of a run takes, by --balance."""
    labels = None
    if settings.balance == "sampler":
        labels = [one_label(sample.label, "--balance sampler") for sample in samples]
    return EpochSampler(
        len(samples), seed=settings.seed, rank=rank, world_size=world_size, labels=labels
    )


class VideoDataModule(LightningDataModule):
    """Training clips and validation views of a run.

    Args:
        plan: the videos, how they are batched and what a mirror does to their labels.
        spec: the clips that the model takes.
        cache: shrunk frames of the videos, read in place of them.
        transform: a change of training clips, as for `fit.train`.
        others: clips that other models, such as teachers, take of the same videos.
    """

    def __init__(
        self,
        plan: RunPlan,
        spec: ModelSpec,
        cache: FrameCache | None = None,
        *,
        transform: Transform | None = None,
        others: Sequence[ModelSpec] = (),
    ) -> None:
        super().__init__()
        self.others = tuple(others)
        self.cache, self.transform = cache, transform
        self.plan = plan
        self.spec = spec
        workers = plan.settings.workers
        self.workers = default_workers() if workers is None else workers
        self._resume_at = (0, 0)

    def resume_at(self, epoch: int, num_batches: int) -> None:
        """Start the given epoch after its first `num_batches` batches."""
        self._resume_at = (epoch, num_batches * self.plan.settings.batch_size)

    def begin_at(self, sampler: EpochSampler) -> None:
        """Set the epoch that a sampler begins with, and the place in it.

        Workers prefetch before Lightning sets the epoch; and of a run that is resumed at the end of
        an epoch, Lightning still has that one here.
        """
        assert self.trainer is not None
        sampler.set_epoch(max(self.trainer.current_epoch, self._resume_at[0]))
        sampler.resume_at(*self._resume_at)

    def train_dataloader(self) -> Any:
        trainer, settings = self.trainer, self.plan.settings
        assert trainer is not None
        sampler = epoch_sampler(
            self.plan.catalog.train,
            settings,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        self.begin_at(sampler)
        clips = training_clips(
            self.plan.catalog,
            self.spec,
            settings,
            mirroring=self.plan.mirroring,
            cache=self.cache,
            transform=self.transform,
            others=self.others,
        )
        copies = settings.repeated_augmentation
        dataset = clips if copies == 1 else RepeatedClips(clips, copies)
        return video_loader(dataset, sampler, batch_size=settings.batch_size, workers=self.workers)

    def val_dataloader(self) -> Any:
        trainer = self.trainer
        assert trainer is not None
        return scoring_loader(
            self.plan.catalog.val,
            self.spec,
            self.plan.protocol,
            batch_size=self.plan.settings.batch_size,
            workers=self.workers,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
            cache=self.cache,
        )
