"""The Lightning module: what a step of training and of validation does."""

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from mixtconv.data.dataset import Unreadable, VideoBatch
from mixtconv.evaluation.scoring import view_logits
from mixtconv.models import VideoClassifier
from mixtconv.training.optimizer import make_optimizer, make_schedule
from mixtconv.training.settings import TrainingSettings


class ScoredBatch(NamedTuple):
    """What validation says of a batch, on the CPU."""

    indices: Tensor
    logits: Tensor
    unreadable: tuple[Unreadable, ...]


class ClassifierModule(LightningModule):
    """Trains a recogniser with cross entropy.

    Args:
        model: the recogniser; clips arrive as uint8 and are normalised on its device.
        settings: the recipe.
        steps_per_epoch: optimiser steps of an epoch.
        clips_per_step: clips of a step over all processes.
    """

    def __init__(
        self,
        model: VideoClassifier,
        settings: TrainingSettings,
        *,
        steps_per_epoch: int,
        clips_per_step: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        self.steps_per_epoch = steps_per_epoch
        self.clips_per_step = clips_per_step
        self.mix = _make_mix(settings, model.spec.num_classes)

    def training_step(self, batch: VideoBatch, batch_index: int) -> Tensor | None:
        if len(batch.labels) == 0:
            return self._nothing_to_learn()
        # Chance of a step depends on seed, step and process alone, so a resumed run repeats it.
        chance = np.random.SeedSequence([self.settings.seed, self.global_step, self.global_rank])
        torch.manual_seed(int(chance.generate_state(1, np.uint64)[0]))
        video, target = self.model.normalize(batch.frames), batch.labels
        if self.mix is not None:
            video, target = self.mix(tv_tensors.Video(video), target)
            video = video.as_subclass(Tensor)
        logits = self.model(video)  # (B, K)
        return F.cross_entropy(
            logits.float(), target, label_smoothing=self.settings.label_smoothing
        )

    def _nothing_to_learn(self) -> Tensor | None:
        """A step of which nothing could be read; the run's record names the videos.

        Alone, the step is left out. Among several processes it takes part with a loss of zero,
        since the others wait for its gradients.
        """
        if self.trainer.world_size == 1:
            return None
        return torch.stack([parameter.sum() for parameter in self.model.parameters()]).sum() * 0

    def validation_step(self, batch: VideoBatch, batch_index: int) -> ScoredBatch:
        if len(batch.labels) == 0:
            empty = torch.empty(0, self.model.spec.num_classes)
            return ScoredBatch(batch.indices.cpu(), empty, batch.unreadable)
        logits = view_logits(self.model, batch.frames)
        return ScoredBatch(batch.indices.cpu(), logits.cpu(), batch.unreadable)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = make_optimizer(self.model, self.settings, clips_per_step=self.clips_per_step)
        schedule = make_schedule(optimizer, self.settings, steps_per_epoch=self.steps_per_epoch)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def _make_mix(settings: TrainingSettings, num_classes: int) -> Any:
    """Mixup and cutmix as asked for; a batch gets one of them where both are on."""
    mixes: list[Any] = []
    if settings.mixup:
        mixes.append(v2.MixUp(alpha=settings.mixup, num_classes=num_classes))
    if settings.cutmix:
        mixes.append(v2.CutMix(alpha=settings.cutmix, num_classes=num_classes))
    return v2.RandomChoice(mixes) if mixes else None
