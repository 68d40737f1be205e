"""The Lightning module: what a step of training and of validation does."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision import tv_tensors
from torchvision.transforms import v2

from mixtconv.data.dataset import VideoBatch
from mixtconv.data.labels import choose_pairs
from mixtconv.data.protocol import Protocol
from mixtconv.evaluation.scoring import view_logits
from mixtconv.models import VideoClassifier
from mixtconv.training.optimizer import make_optimizer, make_schedule
from mixtconv.training.settings import TrainingSettings
from mixtconv.video.pictures import Unreadable


class ScoredBatch(NamedTuple):
    """What validation says of a batch, on the CPU."""

    indices: Tensor
    logits: Tensor
    unreadable: dict[int, Unreadable]


class ClassifierModule(LightningModule):
    """Trains a recognizer with cross entropy.

    Args:
        model: the recognizer; clips arrive as uint8 and are normalised on its device.
        settings: the recipe.
        clips_per_epoch: clips of an epoch in this process.
    """

    def __init__(
        self,
        model: VideoClassifier,
        settings: TrainingSettings,
        *,
        clips_per_epoch: int,
    ) -> None:
        super().__init__()
        self.model = model
        self.settings = settings
        self.batches = BatchPlan(clips_per_epoch, settings.batch_size, settings.accumulate)
        self.protocol = Protocol.parse(settings.protocol)
        self.mirroring = choose_pairs(model.spec.classes, settings.flip_pairs)
        self.mix = _make_mix(settings, model.spec.num_classes)
        if settings.partial_bn:
            freeze_batch_norm(model)

    def train(self, mode: bool = True) -> "ClassifierModule":
        super().train(mode)
        if mode and self.settings.partial_bn:
            freeze_batch_norm(self.model)
        return self

    def on_train_start(self) -> None:
        self.train()  # Lightning leaves every layer as it found it

    def training_step(self, batch: VideoBatch, batch_index: int) -> dict[str, Tensor] | None:
        if len(batch.labels) == 0:
            return self._nothing_to_learn()
        # Chance of a batch depends on seed, step, process and its place in the step alone, so a
        # resumed run repeats it.
        place = batch_index % self.settings.accumulate
        chance = np.random.SeedSequence(
            [self.settings.seed, self.global_step, self.global_rank, place]
        )
        torch.manual_seed(int(chance.generate_state(1, np.uint64)[0]))
        video, target = self.model.normalize(batch.frames), batch.labels
        if self.mix is not None:
            video, target = self.mix(tv_tensors.Video(video), target)
            video = video.as_subclass(Tensor)
        logits = self.model(video)  # (B, K)
        loss = F.cross_entropy(
            logits.float(), target, label_smoothing=self.settings.label_smoothing
        )
        # Lightning divides by the batches of a step; a clip shall count as in one large batch.
        share = self.batches.share_of_step(batch_index)
        return {"loss": loss * (share * self.settings.accumulate), "mean_loss": loss.detach()}

    def _nothing_to_learn(self) -> dict[str, Tensor] | None:
        """A step of which nothing could be read; the run's record names the videos.

        Alone, the step is left out. Among several processes it takes part with a loss of zero,
        since the others wait for its gradients.
        """
        if self.trainer.world_size == 1:
            return None
        zero = torch.stack([parameter.sum() for parameter in self.model.parameters()]).sum() * 0
        return {"loss": zero, "mean_loss": zero.detach()}

    def validation_step(self, batch: VideoBatch, batch_index: int) -> ScoredBatch:
        if len(batch.labels) == 0:
            empty = torch.empty(0, self.model.spec.num_classes)
            return ScoredBatch(batch.indices.cpu(), empty, batch.unreadable)
        logits = view_logits(
            self.model,
            batch.frames,
            self.protocol,
            mirroring=self.mirroring,
            batch_size=self.settings.batch_size,
        )
        return ScoredBatch(batch.indices.cpu(), logits.cpu(), batch.unreadable)

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        clips_per_step = self.settings.clips_per_step
        optimizer = make_optimizer(self.model, self.settings, clips_per_step=clips_per_step)
        steps_per_epoch = self.batches.steps_per_epoch
        schedule = make_schedule(optimizer, self.settings, steps_per_epoch=steps_per_epoch)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


@dataclass(frozen=True)
class BatchPlan:
    """How the clips of an epoch are divided into batches, and batches into steps."""

    clips_per_epoch: int
    """Clips of an epoch in this process."""
    batch_size: int
    """Clips of a batch."""
    batches_per_step: int
    """Batches whose gradients are summed before a step."""

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch; the last may have fewer clips."""
        return -(-self.clips_per_epoch // (self.batch_size * self.batches_per_step))

    def share_of_step(self, batch_index: int) -> float:
        """The clips of a batch as a part of those of its step.

        >>> plan = BatchPlan(clips_per_epoch=11, batch_size=4, batches_per_step=2)
        >>> plan.steps_per_epoch, [plan.share_of_step(index) for index in range(3)]
        (2, [0.5, 0.5, 1.0])
        """
        first = batch_index - batch_index % self.batches_per_step
        in_step = self._clips(first, first + self.batches_per_step)
        return self._clips(batch_index, batch_index + 1) / in_step

    def _clips(self, start: int, stop: int) -> int:
        return min(stop * self.batch_size, self.clips_per_epoch) - start * self.batch_size


def freeze_batch_norm(model: nn.Module) -> None:
    """Keep the statistics and the scale of every batch normalisation but the first as they are.

    "Partial BN" of TSN (arXiv 1608.00859): with few videos, statistics that change overfit. The
    first one adapts to the new pictures.
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for layer in layers[1:]:
        layer.eval()
        layer.requires_grad_(False)


def _make_mix(settings: TrainingSettings, num_classes: int) -> Any:
    """Mixup and cutmix as asked for; a batch gets one of them where both are on."""
    mixes: list[Any] = []
    if settings.mixup:
        mixes.append(v2.MixUp(alpha=settings.mixup, num_classes=num_classes))
    if settings.cutmix:
        mixes.append(v2.CutMix(alpha=settings.cutmix, num_classes=num_classes))
    return v2.RandomChoice(mixes) if mixes else None
