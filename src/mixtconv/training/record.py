"""The record of a run: scores of every epoch, the best model, what could not be read.

Everything is written after every epoch, as `metrics.json` and `logs/metrics.csv`, and kept in the
checkpoint, so that a resumed run goes on where the record stopped.
"""

import csv
import io
import json
import logging
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer

from mixtconv._atomic_write import write_atomically
from mixtconv._processes import is_rank_zero
from mixtconv.data.dataset import VideoBatch
from mixtconv.data.listing import VideoSample
from mixtconv.evaluation.distributed import gather
from mixtconv.evaluation.scoring import VideoScores, gather_scores
from mixtconv.models import VideoClassifier, save_model
from mixtconv.training.module import ClassifierModule, ScoredBatch
from mixtconv.video.pictures import UnreadableVideoError

logger = logging.getLogger(__name__)

T = TypeVar("T")

STEPS_BETWEEN_LOGS = 50


@dataclass
class EpochRecord:
    """One line of the record. Accuracies are percentages."""

    epoch: int
    """From 1."""
    train_loss: float
    """Mean over the clips of all processes."""
    val_loss: float
    """Mean cross entropy over the readable videos."""
    top1: float
    top5: float
    mean_class_accuracy: float
    learning_rate: float
    """Of the weights, in the epoch's last step."""
    seconds: float
    """Of the epoch with its validation; of what was done since, if it was resumed inside."""
    data_wait: float
    """Share of the training steps' time spent waiting for data, 0 to 1."""
    skipped: int
    """Training clips of all processes left out because their video could not be read."""


class RunRecord(Callback):
    """Scores every epoch, keeps the best model, and writes the record.

    Args:
        folder: the run's folder.
        samples: the videos of validation.
        facts: what else `metrics.json` holds: data, protocol, counts.
        skip_unreadable: list unreadable training videos instead of stopping.
    """

    def __init__(
        self,
        folder: Path,
        samples: Sequence[VideoSample],
        *,
        facts: dict[str, Any],
        skip_unreadable: bool,
    ) -> None:
        self.folder = folder
        self.samples = samples
        self.facts = facts
        self.skip_unreadable = skip_unreadable
        self.epochs: list[EpochRecord] = []
        self.unreadable: dict[str, str] = {}
        self._loss = _Mean()
        self._skipped = 0
        self._parts: list[ScoredBatch] = []
        self._scores: VideoScores | None = None
        self._clock = _Clock()
        self._learning_rate = 0.0

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
        self._clock.data_arrived()
        self._learning_rate = trainer.optimizers[0].param_groups[0]["lr"]
        for video in batch.unreadable.values():
            if not self.skip_unreadable:
                raise UnreadableVideoError(
                    video.path, f"{video.reason} (--skip-unreadable trains without such videos)"
                )
            self._skipped += 1
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
        if outputs:  # empty where nothing of the batch could be read
            self._loss.add(float(outputs["mean_loss"]), len(batch.labels))
        if trainer.global_step % STEPS_BETWEEN_LOGS == 0:
            self._log(trainer, {"train/step_loss": self._loss.last})
        self._clock.step_done()

    # validation

    def on_validation_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._parts = []

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        module: LightningModule,
        outputs: Any,
        batch: VideoBatch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        self._parts.append(outputs)

    def on_validation_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        assert isinstance(module, ClassifierModule)
        parts = [part for process in gather(self._parts) for part in process]
        scores = gather_scores(parts, self.samples, module.model.spec.num_classes)
        self._add_epoch(trainer, scores)
        if trainer.is_global_zero and self.best is self.epochs[-1]:
            save_best(module.model, self.folder, self.epochs[-1], self.facts)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if trainer.is_global_zero:
            self.write()

    def _add_epoch(self, trainer: Trainer, scores: VideoScores) -> None:
        readable = scores.readable
        loss = F.cross_entropy(scores.logits[readable], scores.labels[readable])
        for video in scores.unreadable.values():
            self.unreadable[str(video.path)] = video.reason
        everywhere = self._of_all_processes()
        self.unreadable = everywhere.unreadable
        row = EpochRecord(
            epoch=trainer.current_epoch + 1,
            train_loss=everywhere.loss.value,
            val_loss=float(loss),
            **asdict(scores.accuracy()),
            learning_rate=self._learning_rate,
            seconds=self._clock.seconds,
            data_wait=self._clock.wait_share,
            skipped=everywhere.skipped,
        )
        self.epochs.append(row)
        self._loss, self._skipped = _Mean(), 0
        self._log(trainer, {f"epoch/{key}": value for key, value in asdict(row).items()})
        left = (trainer.max_epochs or row.epoch) - row.epoch
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
            _duration(left * row.seconds),
        )

    def _of_all_processes(self) -> "_Tally":
        """What the processes have counted since the last epoch; all of them must ask."""
        tallies = gather(_Tally(self.unreadable, self._skipped, self._loss))
        return _Tally(
            {path: why for tally in tallies for path, why in tally.unreadable.items()},
            sum(tally.skipped for tally in tallies),
            _Mean.of(tally.loss for tally in tallies),
        )

    @staticmethod
    def _log(trainer: Trainer, values: dict[str, float]) -> None:
        for target in trainer.loggers:
            target.log_metrics(values, step=trainer.global_step)

    # the files

    def write(self) -> None:
        """Write `metrics.json` and `logs/metrics.csv`."""
        rows = [plain_row(row) for row in self.epochs]
        record = {
            **self.facts,
            "best": plain_row(self.best) if self.best else None,
            "epochs": rows,
            "unreadable": [
                {"path": path, "reason": reason} for path, reason in self.unreadable.items()
            ],
        }
        write_atomically(self.folder / "metrics.json", json.dumps(record, indent=2).encode())
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=list(EpochRecord.__dataclass_fields__))
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.folder / "logs" / "metrics.csv", table.getvalue().encode())

    def state_dict(self) -> dict[str, Any]:
        everywhere = self._of_all_processes()
        return {
            "epochs": [asdict(row) for row in self.epochs],
            "unreadable": everywhere.unreadable,
            "data_fingerprint": self.facts["data_fingerprint"],
            "initial_weights": self.facts["initial_weights"],
            "loss": (everywhere.loss.total, everywhere.loss.count),
            "skipped": everywhere.skipped,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        if state_dict["data_fingerprint"] != self.facts["data_fingerprint"]:
            raise ValueError(
                f"the videos or labels of {self.facts['data']} are not those that the run in "
                f"{self.folder} was begun with: resume with the same, or start another --out"
            )
        self.facts["initial_weights"] = state_dict["initial_weights"]
        self.epochs = [EpochRecord(**row) for row in state_dict["epochs"]]
        self.unreadable = dict(state_dict["unreadable"])
        if is_rank_zero():  # what all have counted goes on to be counted once
            self._loss = _Mean(*state_dict["loss"])
            self._skipped = state_dict["skipped"]


def plain_row(row: EpochRecord) -> dict[str, Any]:
    """An epoch as JSON holds it: what could not be measured is null."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in asdict(row).items()
    }


def save_best(
    model: VideoClassifier, folder: Path, row: EpochRecord, facts: dict[str, Any]
) -> None:
    """Write the run's model file, with its score and the protocol in its notes."""
    notes = {
        "protocol": facts["protocol"],
        "data": facts["data"],
        "val_fraction": facts["val_fraction"],
        "flip_pairs": facts["flip_pairs"],
        "num_train": facts["num_train"],
        "num_val": facts["num_val"],
        "initial_weights": facts["initial_weights"],
        "epoch": row.epoch,
        "top1": row.top1,
        "top5": row.top5,
        "mean_class_accuracy": row.mean_class_accuracy,
    }
    save_model(model, folder / "model.safetensors", notes=notes)


class _Mean:
    """A running mean of losses."""

    def __init__(self, total: float = 0.0, count: int = 0) -> None:
        self.total = total
        self.count = count
        self.last = float("nan")

    @classmethod
    def of(cls, parts: Iterable["_Mean"]) -> "_Mean":
        """The mean over all that several means are made of."""
        totals = [(part.total, part.count) for part in parts]
        return cls(sum(total for total, _ in totals), sum(count for _, count in totals))

    def add(self, value: float, weight: int) -> None:
        self.total += value * weight
        self.count += weight
        self.last = value

    @property
    def value(self) -> float:
        return self.total / self.count if self.count else float("nan")


@dataclass(frozen=True)
class _Tally:
    """What is counted in an epoch, by one process or by all."""

    unreadable: dict[str, str]
    skipped: int
    loss: _Mean


class _Clock:
    """Tells waiting for data from working, over the training steps of an epoch."""

    def __init__(self) -> None:
        self._start = self._mark = time.perf_counter()
        self._waited = self._worked = 0.0

    def data_arrived(self) -> None:
        self._waited += self._lap()

    def step_done(self) -> None:
        self._worked += self._lap()

    def _lap(self) -> float:
        before, self._mark = self._mark, time.perf_counter()
        return self._mark - before

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start

    @property
    def wait_share(self) -> float:
        whole = self._waited + self._worked
        return self._waited / whole if whole else 0.0


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
