"""The Lightning module: one step of training and of validation."""

from dataclasses import dataclass

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
from mixtconv.evaluation.scoring import ScoredBatch, score_batch
from mixtconv.models import VideoClassifier
from mixtconv.training.optimizer import make_optimizer, make_schedule
from mixtconv.training.plan import RunPlan


class ClassifierModule(LightningModule):
    """Trains a recognizer with cross entropy.

    Args:
        model: the recognizer; clips arrive as uint8 and are normalised on its device.
        plan: recipe, protocol of validation and flip pairs.
    """

    def __init__(self, model: VideoClassifier, plan: RunPlan) -> None:
        super().__init__()
        settings = plan.settings
        self.model = model
        # Not the plan itself: an average of the weights copies the module, and with it all videos.
        self.settings = settings
        self.protocol = plan.protocol
        self.mirroring = plan.mirroring
        self.batches = BatchPlan(plan.clips_per_process, settings.batch_size, settings.accumulate)
        mixes = {v2.MixUp: settings.mixup, v2.CutMix: settings.cutmix}
        chosen = [
            mix(alpha=alpha, num_classes=model.spec.num_classes)
            for mix, alpha in mixes.items()
            if alpha
        ]
        self.mix = v2.RandomChoice(chosen) if chosen else None  # one of both for each batch
        if settings.partial_bn:
            freeze_batch_norm(model)

    def train(self, mode: bool = True) -> "ClassifierModule":
        super().train(mode)
        if mode and self.settings.partial_bn:
            freeze_batch_norm(self.model)
        return self

    def on_train_start(self) -> None:
        self.train()  # Lightning leaves every layer in the mode that it is in

    def training_step(self, batch: VideoBatch, batch_index: int) -> dict[str, Tensor] | None:
        if len(batch.labels) == 0:
            return self._empty_step()
        # Dropout and mixing depend on seed, step, process and place in the step alone, so that a
        # resumed run repeats them.
        place = batch_index % self.settings.accumulate
        seeds = np.random.SeedSequence(
            [self.settings.seed, self.global_step, self.global_rank, place]
        )
        torch.manual_seed(int(seeds.generate_state(1, np.uint64)[0]))
        video, target = self.model.normalize(batch.frames), batch.labels
        if self.mix is not None:
            video, target = self.mix(tv_tensors.Video(video), target)
            video = video.as_subclass(Tensor)
        logits = self.model(video)  # (B, K)
        loss = F.cross_entropy(
            logits.float(), target, label_smoothing=self.settings.label_smoothing
        )
        # Lightning averages over the batches of a step; smaller ones count by their clips instead.
        share = self.batches.share_of_step(batch_index)
        return {"loss": loss * (share * self.settings.accumulate), "mean_loss": loss.detach()}

    def _empty_step(self) -> dict[str, Tensor] | None:
        """The output for a batch without a readable video; the run's record names the videos.

        A single process skips the step. One of several takes part with a loss of zero, since the
        others wait for its gradients.
        """
        if self.trainer.world_size == 1:
            return None
        zero = torch.stack([parameter.sum() for parameter in self.model.parameters()]).sum() * 0
        return {"loss": zero, "mean_loss": zero.detach()}

    def validation_step(self, batch: VideoBatch, batch_index: int) -> ScoredBatch:
        return score_batch(
            self.model,
            batch,
            self.protocol,
            mirroring=self.mirroring,
            batch_size=self.settings.batch_size,
        )

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = make_optimizer(self.model, self.settings)
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
        """The clips of a batch as a fraction of those of its step.

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
    """Freeze statistics, scale and bias of every batch normalisation but the first.

    "Partial BN" of TSN (arXiv 1608.00859): with few videos, updated statistics overfit. The first
    layer adapts to the new pictures.
    """
    layers = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    for layer in layers[1:]:
        layer.eval()
        layer.requires_grad_(False)
