"""The videos of a run as Lightning takes them: loaders for one process of all."""

from typing import Any

from lightning.pytorch import LightningDataModule

from mixtconv.data.dataset import (
    EpochSampler,
    TrainingClips,
    default_workers,
    scoring_loader,
    video_loader,
)
from mixtconv.data.datasets.catalog import VideoCatalog
from mixtconv.data.labels import MirrorLabels
from mixtconv.data.transforms import CROP_SCALES
from mixtconv.models import ModelSpec
from mixtconv.training.plan import RunPlan
from mixtconv.training.settings import TrainingSettings


def training_clips(
    catalog: VideoCatalog, spec: ModelSpec, settings: TrainingSettings, *, mirroring: MirrorLabels
) -> TrainingClips:
    """The random clips that a run trains on."""
    return TrainingClips(
        catalog.train,
        spec,
        mirroring=mirroring if settings.flip else None,
        crop_scales=settings.crop_scales or CROP_SCALES,
        seed=settings.seed,
    )


class VideoDataModule(LightningDataModule):
    """Training clips and validation views of a run.

    Args:
        plan: the videos, how they are batched and what a mirror does to their labels.
        spec: the clips that the model takes.
    """

    def __init__(self, plan: RunPlan, spec: ModelSpec) -> None:
        super().__init__()
        self.plan = plan
        self.spec = spec
        workers = plan.settings.workers
        self.workers = default_workers() if workers is None else workers
        self._resume_at = (0, 0)

    def resume_at(self, epoch: int, num_batches: int) -> None:
        """Start the given epoch after its first `num_batches` batches."""
        self._resume_at = (epoch, num_batches * self.plan.settings.batch_size)

    def train_dataloader(self) -> Any:
        trainer, settings = self.trainer, self.plan.settings
        assert trainer is not None
        sampler = EpochSampler(
            len(self.plan.catalog.train),
            seed=settings.seed,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        # Workers prefetch before Lightning sets the epoch.
        sampler.set_epoch(trainer.current_epoch)
        sampler.resume_at(*self._resume_at)
        clips = training_clips(
            self.plan.catalog, self.spec, settings, mirroring=self.plan.mirroring
        )
        return video_loader(clips, sampler, batch_size=settings.batch_size, workers=self.workers)

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
        )
