"""The record of a run: scores of every epoch, the best model, the unreadable videos.

It is written after every epoch, as `metrics.json` and `logs/metrics.csv`, and kept in the
checkpoint, so that a resumed run continues it.
"""

import csv
import io
import json
import logging
import time
from dataclasses import asdict, fields
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from torchmetrics import SumMetric

from mixtconv._atomic_write import write_atomically
from mixtconv._names import duration
from mixtconv._processes import is_rank_zero
from mixtconv.data.dataset import VideoBatch
from mixtconv.evaluation.distributed import gather
from mixtconv.evaluation.scoring import ScoredBatch, VideoScores, join_scores
from mixtconv.models import save_model
from mixtconv.training.module import ClassifierModule
from mixtconv.training.plan import RunPlan, fingerprint
from mixtconv.training.run_folder import EpochRecord, RunFiles, plain_row
from mixtconv.video.pictures import UnreadableVideoError

logger = logging.getLogger(__name__)

STEPS_BETWEEN_LOGS = 50

_IN_MODEL_FILE = (
    "protocol",
    "data",
    "val_fraction",
    "flip_pairs",
    "num_train",
    "num_val",
    "initial_weights",
)
"""Facts of a run that its model file repeats in its notes."""


class RunRecord(Callback):
    """Scores every epoch, keeps the best model, and writes the record.

    Args:
        plan: the run.
        files: its files.
        views: the protocol of validation in words.
        initial_weights: origin of the weights.
    """

    def __init__(self, plan: RunPlan, files: RunFiles, *, views: str, initial_weights: str) -> None:
        settings, catalog = plan.settings, plan.catalog
        self.files = files
        self.samples = catalog.val
        self.skip_unreadable = settings.skip_unreadable
        self.facts = {
            "model": settings.model,
            "data": str(settings.data),
            "initial_weights": initial_weights,
            "protocol": views,
            "classes": list(catalog.classes),
            "num_train": len(catalog.train),
            "num_val": len(catalog.val),
            "split_rule": catalog.split_rule,
            "val_fraction": settings.val_fraction,
            "flip_pairs": plan.mirroring.pairs,
            "data_fingerprint": fingerprint(catalog),
        }
        self.epochs: list[EpochRecord] = []
        self.unreadable = dict(plan.unreadable)
        # Of the steps of this epoch, in this process.
        self._loss, self._clips, self._skipped = (_sum_over_processes() for _ in range(3))
        self._clock = _Clock()
        self._learning_rate = 0.0
        self._scored: list[ScoredBatch] = []

    @property
    def best(self) -> EpochRecord | None:
        """The epoch with the best top-1; among equals the one with the lowest loss."""
        return min(self.epochs, key=lambda row: (-row.top1, row.val_loss), default=None)

    # training

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._clock = _Clock()

    def on_train_batch_start(
        self, trainer: Trainer, module: LightningModule, batch: VideoBatch, batch_idx: int
    ) -> None:
        self._clock.lap("waited")
        self._learning_rate = trainer.optimizers[0].param_groups[0]["lr"]
        for video in batch.unreadable.values():
            if not self.skip_unreadable:
                raise UnreadableVideoError(
                    video.path, f"{video.reason} (--skip-unreadable trains without such videos)"
                )
            self._skipped.update(1)
            if str(video.path) not in self.unreadable:
                logger.warning("left out, cannot be read: %s (%s)", video.path, video.reason)
                self.unreadable[str(video.path)] = video.reason

    def on_train_batch_end(
        self,
        trainer: Trainer,
        module: LightningModule,
        outputs: Any,
        batch: VideoBatch,
        batch_idx: int,
    ) -> None:
        if outputs:  # empty if no video of the batch could be read
            loss = outputs["mean_loss"].cpu().double()  # MPS has no float64
            self._loss.update(loss * len(batch.labels))
            self._clips.update(len(batch.labels))
            if trainer.global_step % STEPS_BETWEEN_LOGS == 0:
                self._log(trainer, {"train/step_loss": float(loss)})
        self._clock.lap("worked")

    # validation

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
        self._scored.append(outputs)

    def on_validation_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, ClassifierModule)
        batches = [batch for process in gather(self._scored) for batch in process]
        scores = join_scores(batches, self.samples, module.model.spec.num_classes)
        row = self._add_epoch(trainer, scores)
        if trainer.is_global_zero and self.best is row:
            notes = {name: self.facts[name] for name in _IN_MODEL_FILE}
            notes |= {"epoch": row.epoch, **asdict(scores.accuracy())}
            save_model(module.model, self.files.model, notes=notes)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        rows = [plain_row(row) for row in self.epochs]
        record = {
            **self.facts,
            "best": plain_row(self.best) if self.best else None,
            "epochs": rows,
            "unreadable": [
                {"path": path, "reason": reason} for path, reason in self.unreadable.items()
            ],
        }
        write_atomically(self.files.metrics, json.dumps(record, indent=2).encode())
        # Not Lightning's CSVLogger (2.6): it begins a new table when a run is resumed.
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=[field.name for field in fields(EpochRecord)])
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.files.table, table.getvalue().encode())

    def _add_epoch(self, trainer: Trainer, scores: VideoScores) -> EpochRecord:
        readable = scores.readable
        val_loss = F.cross_entropy(scores.logits[readable], scores.labels[readable])
        self.unreadable |= {str(video.path): video.reason for video in scores.unreadable.values()}
        self.unreadable = self._all_unreadable()
        row = EpochRecord(
            epoch=trainer.current_epoch + 1,
            train_loss=float(self._loss.compute() / self._clips.compute()),  # NaN without clips
            val_loss=float(val_loss),
            **asdict(scores.accuracy()),
            learning_rate=self._learning_rate,
            seconds=self._clock.seconds,
            data_wait=self._clock.wait_share,
            skipped=int(self._skipped.compute()),
        )
        self.epochs.append(row)
        self._loss, self._clips, self._skipped = (_sum_over_processes() for _ in range(3))
        self._log(trainer, {f"epoch/{key}": value for key, value in asdict(row).items()})
        num_left = (trainer.max_epochs or row.epoch) - row.epoch
        logger.info(
            "epoch %d/%d: loss %.3f, validation top-1 %.2f %% (loss %.3f), %.1f s, of its steps "
            "%.0f %% waiting for data, about %s left",
            row.epoch,
            trainer.max_epochs,
            row.train_loss,
            row.top1,
            row.val_loss,
            row.seconds,
            100 * row.data_wait,
            duration(num_left * row.seconds),
        )
        return row

    def _all_unreadable(self) -> dict[str, str]:
        """Unreadable videos of all processes; a collective call."""
        return {path: why for own in gather(self.unreadable) for path, why in own.items()}

    @staticmethod
    def _log(trainer: Trainer, values: dict[str, float]) -> None:
        for target in trainer.loggers:
            target.log_metrics(values, step=trainer.global_step)

    # checkpoint

    def state_dict(self) -> dict[str, Any]:
        return {
            "epochs": [asdict(row) for row in self.epochs],
            "unreadable": self._all_unreadable(),
            "data_fingerprint": self.facts["data_fingerprint"],
            "initial_weights": self.facts["initial_weights"],
            "loss": (float(self._loss.compute()), int(self._clips.compute())),
            "skipped": int(self._skipped.compute()),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["data_fingerprint"] != self.facts["data_fingerprint"]:
            raise ValueError(
                f"the videos or labels of {self.facts['data']} are not those that the run in "
                f"{self.files.folder} was begun with: resume with the same, or start another --out"
            )
        self.facts["initial_weights"] = state_dict["initial_weights"]
        self.epochs = [EpochRecord(**row) for row in state_dict["epochs"]]
        self.unreadable = dict(state_dict["unreadable"])
        if is_rank_zero():  # the sums are over all processes, so one process continues them
            loss, num_clips = state_dict["loss"]
            self._loss.update(torch.tensor(loss, dtype=torch.float64))
            self._clips.update(num_clips)
            self._skipped.update(state_dict["skipped"])


def _sum_over_processes() -> SumMetric:
    """A sum in this process; `compute` gives that of all, and must be called by all.

    In float64, so that a resumed run continues it exactly. On the CPU, also where NCCL connects the
    processes, hence `gather`. Not cached: a process that has added nothing since the last `compute`
    would not take part in the next. The start at 0 keeps `compute` from warning of no updates.
    """
    metric = SumMetric(
        nan_strategy="disable",  # a diverged loss is reported as NaN
        compute_with_cache=False,
        dist_sync_fn=lambda value, group: gather(value),
    )
    metric.set_dtype(torch.float64)
    metric.update(0)
    return metric


class _Clock:
    """Separates waiting for data from working, over the training steps of an epoch."""

    def __init__(self) -> None:
        self._start = self._mark = time.perf_counter()
        self._seconds = {"waited": 0.0, "worked": 0.0}

    def lap(self, kind: Literal["waited", "worked"]) -> None:
        """Count the time since the last lap."""
        before, self._mark = self._mark, time.perf_counter()
        self._seconds[kind] += self._mark - before

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start

    @property
    def wait_share(self) -> float:
        total = sum(self._seconds.values())
        return self._seconds["waited"] / total if total else 0.0
