"""The videos of a run as Lightning wants them: loaders for this process among all."""

from typing import Any

from lightning.pytorch import LightningDataModule

from mixtconv.data.dataset import (
    EpochSampler,
    TrainingClips,
    default_workers,
    scoring_loader,
    training_loader,
)
from mixtconv.data.datasets.catalog import VideoCatalog, load_catalog
from mixtconv.data.labels import choose_pairs
from mixtconv.data.protocol import Protocol
from mixtconv.data.transforms import CROP_SCALES
from mixtconv.models import ModelSpec
from mixtconv.training.settings import TrainingSettings


def training_catalog(settings: TrainingSettings) -> VideoCatalog:
    """The videos of a run; one that is not there is refused, or later left out as unreadable.

    Raises:
        ValueError: the data cannot be used.
    """
    return load_catalog(
        settings, val_fraction=settings.val_fraction, keep_missing=settings.skip_unreadable
    )


def training_clips(
    catalog: VideoCatalog, spec: ModelSpec, settings: TrainingSettings
) -> TrainingClips:
    """The random clips that a run trains on."""
    return TrainingClips(
        catalog.train,
        spec,
        mirroring=choose_pairs(catalog.classes, settings.flip_pairs) if settings.flip else None,
        crop_scales=settings.crop_scales or CROP_SCALES,
        seed=settings.seed,
    )


class VideoDataModule(LightningDataModule):
    """Training clips and validation views of a catalog.

    Args:
        catalog: the videos.
        spec: the clips that the model takes.
        settings: batch size, workers, seed, mirroring, protocol.
    """

    def __init__(self, catalog: VideoCatalog, spec: ModelSpec, settings: TrainingSettings) -> None:
        super().__init__()
        self.catalog = catalog
        self.spec = spec
        self.settings = settings
        self.protocol = Protocol.parse(settings.protocol)
        self.workers = settings.workers if settings.workers is not None else default_workers()
        self._resume_at = (0, 0)

    def resume_at(self, epoch: int, num_batches: int) -> None:
        """Begin the given epoch after its first `num_batches` batches."""
        self._resume_at = (epoch, num_batches * self.settings.batch_size)

    def train_dataloader(self) -> Any:
        trainer = self.trainer
        assert trainer is not None
        sampler = EpochSampler(
            len(self.catalog.train),
            seed=self.settings.seed,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
        sampler.set_epoch(trainer.current_epoch)  # workers ask before Lightning sets it
        sampler.resume_at(*self._resume_at)
        dataset = training_clips(self.catalog, self.spec, self.settings)
        return training_loader(
            dataset, sampler, batch_size=self.settings.batch_size, workers=self.workers
        )

    def val_dataloader(self) -> Any:
        trainer = self.trainer
        assert trainer is not None
        return scoring_loader(
            self.catalog.val,
            self.spec,
            self.protocol,
            batch_size=self.settings.batch_size,
            workers=self.workers,
            rank=trainer.global_rank,
            world_size=trainer.world_size,
        )
