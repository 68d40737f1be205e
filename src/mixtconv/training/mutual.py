"""The second student of mutual learning: its model, its scores and its file.

"Deep Mutual Learning" (arXiv 1706.00384). Both students are trained by the same recipe; the second
one is scored with the first, and its best epoch, as `RunRecord` chooses that of the first, is kept
in a file of its own, so that the first may be a small network and the second a large one.
"""

import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from mixtconv.data.dataset import VideoBatch
from mixtconv.evaluation.distributed import gather_items
from mixtconv.evaluation.scoring import join_scores, score_batch
from mixtconv.models import VideoClassifier, save_model
from mixtconv.models.device import autocast
from mixtconv.training.epoch_scores import score_epoch
from mixtconv.training.initial_weights import InitialModel, make_initial_model
from mixtconv.training.module import ClassifierModule
from mixtconv.training.plan import RunPlan
from mixtconv.training.run_folder import EpochRecord
from mixtconv.training.settings import NAMED_WEIGHTS, TrainingSettings

logger = logging.getLogger(__name__)


def make_partner(
    settings: TrainingSettings, first: VideoClassifier, *, is_resumed: bool
) -> InitialModel | None:
    """The second student, before its first step; None if the settings have none.

    Args:
        settings: the run; weights of a file are those of the first student alone.
        first: the first student.
        is_resumed: whether its weights are in a checkpoint.

    Raises:
        ValueError: a model that cannot be made, or does not take the clips of the first.
    """
    if settings.mutual is None:
        return None
    weights = settings.weights if settings.weights in NAMED_WEIGHTS else "auto"
    spec = first.spec
    initial = make_initial_model(
        replace(
            settings,
            model=settings.mutual,
            weights="none" if is_resumed else weights,
            num_frames=spec.num_frames,
            sampling=spec.sampling,
            frame_stride=spec.frame_stride,
            modality=spec.modality,
        ),
        spec.classes,
    )
    partner = initial.model
    partner.spec = replace(partner.spec, label_thresholds=spec.label_thresholds)
    return initial


class PartnerRecord(Callback):
    """Scores the second student with the first, and keeps its best epoch, or the last.

    Args:
        plan: the run.
        path: its model file.
        weights: origin of its weights, where the run is not resumed.
    """

    def __init__(self, plan: RunPlan, path: Path, *, weights: str) -> None:
        self.plan, self.path, self.weights = plan, path, weights
        self.measure = plan.settings.measure(several=plan.catalog.several)
        self.kept: dict[str, Any] | None = None
        self._scored: list[Any] = []  # of each batch

    def on_validation_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._scored = []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        module: LightningModule,
        outputs: Any,
        batch: VideoBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        partner = _partner_of(module)
        with autocast(self.plan.precision, module.device):
            self._scored.append(
                score_batch(
                    partner,
                    batch,
                    self.plan.protocol,
                    mirroring=self.plan.mirroring,
                    batch_size=self.plan.settings.batch_size,
                )
            )

    def end_epoch(
        self, trainer: Trainer, module: LightningModule, row: EpochRecord, notes: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Score an epoch, save the model if it is to be kept, and describe what is kept.

        A collective call.

        Args:
            trainer, module: as in a callback.
            row: of the first student; without a score if there was no validation.
            notes: facts of the run for the model file, those of the epoch among them.
        """
        partner, several = _partner_of(module), self.plan.catalog.several
        scores = None
        if self._scored:
            scores = join_scores(
                gather_items(self._scored), self.plan.catalog.val, partner.spec.num_classes
            )
        self._scored = []
        found = score_epoch(scores, several=several)
        score = found.values.get(self.measure, math.nan)
        kept = self.kept or {self.measure: math.nan}
        is_last = self.plan.settings.keep == "last" or math.isnan(kept[self.measure])
        if not is_last and not (score, -found.loss) > (kept[self.measure], -kept["val_loss"]):
            return self.kept
        self.kept = {
            "model": partner.spec.name,
            "initial_weights": self.weights,
            "epoch": row.epoch,
            "val_loss": found.loss,
            self.measure: score,
        }
        if found.thresholds is not None:
            partner.spec = replace(partner.spec, label_thresholds=found.thresholds)
        if trainer.is_global_zero:
            about = {**notes, "initial_weights": self.weights, **found.notes}
            save_model(partner, self.path, notes=about)
        if not math.isnan(score):
            first = getattr(row, self.measure)
            logger.info(
                "partner %s: %s %.2f %% (the first student %.2f %%), kept as %s",
                partner.spec.name,
                self.measure,
                score,
                first,
                self.path.name,
            )
        return self.kept

    def state_dict(self) -> dict[str, Any]:
        return {"kept": self.kept, "initial_weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.kept = state_dict["kept"]
        self.weights = state_dict["initial_weights"]


def _partner_of(module: LightningModule) -> VideoClassifier:
    assert isinstance(module, ClassifierModule) and module.partner is not None
    return module.partner
