"""The Lightning module: one step of training and of validation."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from mixtconv.data.dataset import VideoBatch
from mixtconv.evaluation.scoring import ScoredBatch, ScoredFrames, score_batch, score_frames
from mixtconv.models import VideoClassifier
from mixtconv.models.feature_head import FeatureClassifier
from mixtconv.models.frozen_trunk import keep_trunk_evaluating, split_state
from mixtconv.training.backbone_layers import norm_statistics
from mixtconv.training.distillation import DistillationLoss, make_projections
from mixtconv.training.loss import ClipLoss, LossOfLogits
from mixtconv.training.optimizer import MakeOptimizer, make_optimizer, make_schedule
from mixtconv.training.plan import RunPlan
from mixtconv.training.teachers import NO_TEACHERS, Teachers

_STATES = {"state_dict", "current_model_state"}
"""Keys of a checkpoint with the weights of the model, and those beside an average of them."""


class ClassifierModule(LightningModule):
    """Trains a recognizer with cross entropy.

    Args:
        model: the recognizer; clips arrive as uint8 and are normalised on its device.
        plan: recipe, protocol of validation and flip pairs.
        loss, optimizer: as for `fit.train`.
        teachers: whose scores of the clips are learned, too.
        partner: a second student, which is trained beside the recognizer; they learn each other's
            scores.
    """

    def __init__(
        self,
        model: VideoClassifier,
        plan: RunPlan,
        *,
        loss: LossOfLogits | None = None,
        optimizer: MakeOptimizer | None = None,
        teachers: Teachers = NO_TEACHERS,
        partner: VideoClassifier | None = None,
    ) -> None:
        super().__init__()
        settings = plan.settings
        self.model, self.partner, self.teachers = model, partner, teachers
        self.projections: nn.ModuleList | None = None
        if teachers.members and settings.teacher_features:
            self.projections = make_projections(model, teachers, seed=settings.seed)
        # Not the plan itself: an average of the weights copies the module, and with it all videos.
        self.settings = settings
        self.protocol = plan.protocol
        self.mirroring = plan.mirroring
        self.batches = BatchPlan(plan.clips_per_process, settings.batch_size, settings.accumulate)
        self.loss = ClipLoss(settings, plan.catalog.train, model.spec, own=loss)
        self.distillation: DistillationLoss | None = None
        if teachers.members or partner is not None:
            self.distillation = DistillationLoss(
                self.loss, settings, teachers, several=plan.catalog.several
            )
        self.make_optimizer = optimizer
        if settings.partial_bn:
            self._freeze_batch_norm()

    @property
    def recognizer(self) -> VideoClassifier:
        """What is saved: of a head that is trained on features, the whole recognizer."""
        return self.model.whole if isinstance(self.model, FeatureClassifier) else self.model

    def train(self, mode: bool = True) -> "ClassifierModule":
        super().train(mode)
        if mode and self.settings.train == "temporal":
            keep_trunk_evaluating(self.model)
        if mode and self.settings.partial_bn:
            self._freeze_batch_norm()
        return self

    def _freeze_batch_norm(self) -> None:
        for student in self._students:
            freeze_batch_norm(student)

    @property
    def _students(self) -> list[VideoClassifier]:
        return [self.model] if self.partner is None else [self.model, self.partner]

    def on_fit_start(self) -> None:
        self.teachers.to(self.device)

    def on_train_start(self) -> None:
        self.train()  # Lightning leaves every layer in the mode that it is in

    def training_step(self, batch: VideoBatch, batch_index: int) -> dict[str, Tensor] | None:
        if len(batch.labels) == 0:
            return self._empty_step()
        place = batch_index % self.settings.accumulate
        seed_step(self.settings.seed, self.global_step, self.global_rank, place)
        if self.distillation is None:
            loss = own = self.loss(self.model, batch.frames, batch.labels)
        else:
            projections = self.projections or ()
            loss, own = self.distillation(self._students, batch, projections)
        # Lightning averages over the batches of a step; smaller ones count by their clips instead.
        share = self.batches.share_of_step(batch_index)
        return {"loss": loss * (share * self.settings.accumulate), "mean_loss": own.detach()}

    def _empty_step(self) -> dict[str, Tensor] | None:
        """The output for a batch without a readable video; the run's record names the videos.

        A single process skips the step. One of several takes part with a loss of zero, since the
        others wait for its gradients.
        """
        if self.trainer.world_size == 1:
            return None
        trained = [each for each in self.parameters() if each.requires_grad]
        zero = torch.stack([parameter.sum() for parameter in trained]).sum() * 0
        return {"loss": zero, "mean_loss": zero.detach()}

    def on_before_backward(self, loss: Tensor) -> None:
        if self.settings.checkpoint_gradients:  # its layers see the batch again
            self._statistics = [buffer.clone() for buffer in norm_statistics(self)]

    def on_after_backward(self) -> None:
        if self.settings.checkpoint_gradients:
            for buffer, before in zip(norm_statistics(self), self._statistics, strict=True):
                buffer.copy_(before)

    def validation_step(self, batch: VideoBatch, batch_index: int) -> ScoredBatch | ScoredFrames:
        if self.settings.frame_labels:
            return score_frames(self.model, batch)
        return score_batch(
            self.model,
            batch,
            self.protocol,
            mirroring=self.mirroring,
            batch_size=self.settings.batch_size,
        )

    # A frozen trunk is in no checkpoint if it can be found again.

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.model.frozen_trunk is None:
            return
        checkpoint["trunk_sha256"] = self.model.frozen_trunk.sha256
        frozen = self._trunk_state()
        for key in _STATES & checkpoint.keys():
            state = checkpoint[key].items()
            checkpoint[key] = {name: value for name, value in state if name not in frozen}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        trunk = self.model.frozen_trunk
        if checkpoint.get("trunk_sha256") != (trunk and trunk.sha256):
            raise ValueError(
                "the weights of the frozen backbone are not those that the run was begun with: "
                "resume it with the same weights at hand, or start another --out"
            )
        for key in _STATES & checkpoint.keys() if trunk is not None else ():
            checkpoint[key] = {**checkpoint[key], **self._trunk_state()}

    def _trunk_state(self) -> dict[str, Tensor]:
        state = split_state(self.model, self.model.state_dict())[0]
        return {f"model.{name}": value for name, value in state.items()}

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        optimizer = make_optimizer(
            self.model,
            self.settings,
            make=self.make_optimizer,
            partner=self.partner,
            beside=self.projections,
        )
        steps_per_epoch = self.batches.steps_per_epoch
        schedule = make_schedule(optimizer, self.settings, steps_per_epoch=steps_per_epoch)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": schedule, "interval": "step"},
        }


def seed_step(*numbers: int) -> None:
    """Make dropout and mixing depend on seed, step, process and place in the step alone.

    So a resumed run repeats them.
    """
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))


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
