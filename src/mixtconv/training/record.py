"""The record of a run: scores of every epoch, the best model, the unreadable videos.

It is written after every epoch, as `metrics.json` and `logs/metrics.csv`, and kept in the
checkpoint, so that a resumed run continues it.
"""

import csv
import io
import logging
import math
import time
from dataclasses import asdict, fields, replace
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging

from mixtconv._atomic_write import write_atomically
from mixtconv._names import duration
from mixtconv._strict_json import to_json
from mixtconv.data.dataset import VideoBatch
from mixtconv.evaluation.distributed import gather, gather_items
from mixtconv.evaluation.scoring import VideoScores, join_frames, join_scores
from mixtconv.models import save_model
from mixtconv.training.checkpoint import STEPS_BETWEEN_BROADCASTS
from mixtconv.training.epoch_scores import EpochScores, score_epoch
from mixtconv.training.epoch_sums import Clock, EpochSums
from mixtconv.training.module import ClassifierModule
from mixtconv.training.mutual import PartnerRecord
from mixtconv.training.plan import RunPlan, fingerprint
from mixtconv.training.run_folder import EpochRecord, RunFiles, epoch_in_words, plain_row
from mixtconv.training.run_origin import RunOrigin
from mixtconv.video.pictures import UnreadableVideoError

logger = logging.getLogger(__name__)

STEPS_BETWEEN_LOGS = 50
SCALED_STEPS = 20
"""Steps in a row with float16 whose loss may be infinite while the scale of gradients is found."""

_IN_MODEL_FILE = (
    "protocol",
    "data",
    "val_fraction",
    "group",
    "background",
    "flip_pairs",
    "frame_labels",
    "events",
    "num_train",
    "num_val",
    "initial_weights",
    "frames",
    "teachers",
)
"""Facts of a run that its model file repeats in its notes."""


class RunRecord(Callback):
    """Scores every epoch, keeps the best model, and writes the record.

    Args:
        plan: the run.
        files: its files.
        views: the protocol of validation in words.
        origin: its weights, frames and teachers.
        partner: the record of its second student.
    """

    def __init__(
        self,
        plan: RunPlan,
        files: RunFiles,
        *,
        views: str,
        origin: RunOrigin,
        partner: PartnerRecord | None = None,
    ) -> None:
        self.partner = partner
        settings, catalog = plan.settings, plan.catalog
        self.files = files
        self.samples = catalog.val
        self.settings = settings
        self.several = catalog.several
        self.measure = settings.measure(several=self.several)
        self.skip_unreadable = settings.skip_unreadable
        self.facts = {
            "model": settings.model,
            "data": str(settings.data),
            **asdict(origin),
            "protocol": views,
            "classes": list(catalog.classes),
            "num_train": len(catalog.train),
            "num_val": len(catalog.val),
            "split_rule": catalog.split_rule,
            "val_fraction": settings.val_fraction,
            "group": settings.group,
            "background": settings.background,
            "labels": "several" if self.several else "one",
            "flip_pairs": plan.mirroring.pairs,
            "frame_labels": settings.frame_labels,
            "events": plan.event_note,
            "data_fingerprint": fingerprint(catalog),
        }
        self.epochs: list[EpochRecord] = []
        self.stopped: str | None = None
        self._seconds_before, self._start = 0.0, time.monotonic()
        self.unreadable = dict(plan.unreadable)
        self._cut: list[EpochRecord] = []  # best ones, which the model file goes on to hold
        self._part, self._num_ended = 1.0, 0
        self._sums, self._clock = EpochSums(), Clock()
        self._learning_rate = 0.0
        self.precision = plan.precision
        self._num_lost = 0  # steps in a row without a finite loss
        self._scored: list[Any] = []  # of each batch

    @property
    def best(self) -> EpochRecord | None:
        """The best epoch by --best-by, of equals the one with the lowest loss; None unscored.

        Perhaps the part of one after which the run had been stopped, if the rest made it worse.
        """
        scored = [row for row in (*self.epochs, *self._cut) if not math.isnan(self._score(row))]
        return min(scored, key=lambda row: (-self._score(row), row.val_loss), default=None)

    def _score(self, row: EpochRecord) -> float:
        """What epochs are compared by; NaN unscored."""
        score = getattr(row, self.measure)
        return math.nan if score is None else float(score)

    @property
    def kept(self) -> EpochRecord | None:
        """The epoch that the model file holds."""
        is_last = self.settings.keep == "last" or self.best is None
        return self.epochs[-1] if is_last and self.epochs else self.best

    @property
    def _num_whole(self) -> int:
        """Epochs that were trained to their end."""
        return sum(row.part == 1 for row in self.epochs)

    # training

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._start = time.monotonic()
        if self.epochs:  # otherwise there is no model yet: however little time, one step is taken
            self._stop_if_due(trainer)

    def on_train_epoch_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._clock = Clock()

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
            self._sums.skip()
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
            self._refuse_divergence(float(loss), trainer)
            self._sums.add(loss, len(batch.labels))
            if trainer.global_step % STEPS_BETWEEN_LOGS == 0:
                self._log(trainer, {"train/step_loss": float(loss)})
        self._clock.lap("worked")
        num_batches = batch_idx + 1
        self._part = num_batches / trainer.num_training_batches
        is_between_steps = num_batches % trainer.accumulate_grad_batches == 0
        if is_between_steps or num_batches == trainer.num_training_batches:
            self._stop_if_due(trainer, num_batches // trainer.accumulate_grad_batches)

    def _refuse_divergence(self, loss: float, trainer: Trainer) -> None:
        """Stop where the weights are lost, or were often enough too large for float16.

        Raises:
            ValueError: the training has diverged.
        """
        self._num_lost = 0 if math.isfinite(loss) else self._num_lost + 1
        if self._num_lost >= (SCALED_STEPS if self.precision == "16" else 1):
            raise self._divergence(f"the loss of step {trainer.global_step}", loss, trainer)

    def _divergence(self, what: str, loss: float, trainer: Trainer) -> ValueError:
        kept = f"; {self.files.model} is that of an earlier epoch" if self.epochs else ""
        return ValueError(
            f"training has diverged: {what} in epoch {trainer.current_epoch + 1} is {loss}, at "
            f"learning rate {self._learning_rate:g}; train with a smaller --lr or "
            f"--clip-gradient, or more --warmup-epochs{kept}"
        )

    @property
    def _seconds(self) -> float:
        """Seconds of training, those before the run was resumed included."""
        return self._seconds_before + time.monotonic() - self._start

    def _stop_if_due(self, trainer: Trainer, num_steps: int = 0) -> None:
        """End the training in all processes once its time is over or its score stands still."""
        if self.stopped is None and self._num_whole < self.settings.epochs:
            self.stopped = self._why_stop(trainer, num_steps)
        if self.stopped is not None and not trainer.should_stop:
            logger.info("training ends here: %s", self.stopped)
            trainer.should_stop = True

    def _why_stop(self, trainer: Trainer, num_steps: int) -> str | None:
        minutes, patience = self.settings.minutes, self.settings.patience
        is_asked = trainer.world_size == 1 or num_steps % STEPS_BETWEEN_BROADCASTS == 0
        if minutes is not None and is_asked:
            is_over = self._seconds >= 60 * minutes
            if trainer.strategy.broadcast(is_over):
                return f"its {minutes:g} minutes are over"
        is_scored = bool(self.epochs) and not math.isnan(self._score(self.epochs[-1]))
        num_worse = self._num_whole - self.best.epoch if is_scored and self.best else 0
        if patience and num_worse >= patience:
            return f"no better score in {patience} epochs"
        return None

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
        join = join_frames if self.settings.frame_labels else join_scores
        scores = join(gather_items(self._scored), self.samples, module.model.spec.num_classes)
        self._end_epoch(trainer, module, scores)
        row = plain_row(self.epochs[-1])  # for callbacks that watch a score, such as EarlyStopping
        watched = {"val_loss": row["val_loss"], self.measure: row[self.measure]}
        self.log_dict(
            {name: float(v) for name, v in watched.items() if v is not None}, logger=False
        )

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if self._num_ended <= trainer.current_epoch:  # not scored
            assert isinstance(module, ClassifierModule)
            averages = [c for c in trainer.callbacks if isinstance(c, WeightAveraging)]
            for average in averages:  # the average is what is kept, as after a validation
                average.on_validation_epoch_start(trainer, module)
            self._end_epoch(trainer, module, None)
            for average in averages:
                average.on_validation_epoch_end(trainer, module)
        self._stop_if_due(trainer)
        if trainer.is_global_zero:
            self._write()

    def _end_epoch(
        self, trainer: Trainer, module: ClassifierModule, scores: VideoScores | None
    ) -> None:
        """Record an epoch with its scores, if any, and keep its model if it is the one to keep."""
        found = score_epoch(scores, several=self.several)
        row = self._add_epoch(trainer, scores, found)
        self._num_ended = row.epoch
        notes = {name: self.facts[name] for name in _IN_MODEL_FILE} | {"epoch": row.epoch}
        if row.part < 1:
            notes["part"] = row.part
        if trainer.is_global_zero and self.kept is row:
            if found.thresholds is not None:
                spec = module.recognizer.spec
                module.recognizer.spec = replace(spec, label_thresholds=found.thresholds)
            trunk: Literal["auto", "whole"] = "whole" if self.settings.whole_file else "auto"
            about = notes | found.notes
            save_model(module.recognizer, self.files.model, notes=about, trunk=trunk)
        if self.partner is not None:
            self.facts["partner"] = self.partner.end_epoch(trainer, module, row, notes)

    def _add_epoch(
        self, trainer: Trainer, scores: VideoScores | None, found: EpochScores
    ) -> EpochRecord:
        if scores is not None:
            if scores.readable.any() and not math.isfinite(found.loss):
                raise self._divergence("the validation loss", found.loss, trainer)
            unreadable = scores.unreadable.values()
            self.unreadable |= {str(video.path): video.reason for video in unreadable}
        self.unreadable = self._all_unreadable()
        row = EpochRecord(
            epoch=trainer.current_epoch + 1,
            train_loss=self._sums.mean_loss,
            val_loss=found.loss,
            **found.values,
            learning_rate=self._learning_rate,
            seconds=self._clock.seconds,
            data_wait=self._clock.wait_share,
            skipped=self._sums.skipped,
            part=self._part,
        )
        self._put(row)
        there = {key: value for key, value in asdict(row).items() if value is not None}
        self._log(trainer, {f"epoch/{key}": value for key, value in there.items()})
        num_left = (trainer.max_epochs or row.epoch) - row.epoch
        validation = f"validation {epoch_in_words(row, self.measure)} (loss {row.val_loss:.3f})"
        logger.info(
            "epoch %d/%d%s: loss %.3f, %s, %.1f s, of its steps %.0f %% waiting for data, about %s "
            "left",
            row.epoch,
            trainer.max_epochs,
            "" if row.part == 1 else f", {row.part:.0%} of it",
            row.train_loss,
            "not scored" if scores is None else validation,
            row.seconds,
            100 * row.data_wait,
            duration(num_left * row.seconds),
        )
        return row

    def _put(self, row: EpochRecord) -> None:
        """Add an epoch, in place of the part of it after which the run had been stopped."""
        if self.epochs and self.epochs[-1].epoch == row.epoch:
            if self.settings.keep == "best" and self.epochs[-1] is self.best:
                self._cut = [self.epochs[-1]]
            del self.epochs[-1]
        self.epochs.append(row)
        if row.part == 1:  # else the checkpoint goes on with the sums
            self._sums = EpochSums()

    def _all_unreadable(self) -> dict[str, str]:
        """Unreadable videos of all processes; a collective call."""
        return {path: why for own in gather(self.unreadable) for path, why in own.items()}

    @staticmethod
    def _log(trainer: Trainer, values: dict[str, float]) -> None:
        for target in trainer.loggers:
            target.log_metrics(values, step=trainer.global_step)

    # files and checkpoint

    def _write(self) -> None:
        rows = [plain_row(row) for row in self.epochs]
        record = {
            **self.facts,
            "best": plain_row(self.best) if self.best else None,
            "kept_epoch": self.kept.epoch if self.kept else None,
            "stopped": self.stopped,
            "epochs": rows,
            "unreadable": [
                {"path": path, "reason": reason} for path, reason in self.unreadable.items()
            ],
        }
        write_atomically(self.files.metrics, to_json(record, indent=2).encode())
        # Not Lightning's CSVLogger (2.6): it begins a new table when a run is resumed.
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=[field.name for field in fields(EpochRecord)])
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.files.table, table.getvalue().encode())

    def state_dict(self) -> dict[str, Any]:
        return {
            "epochs": [asdict(row) for row in self.epochs],
            "unreadable": self._all_unreadable(),
            "data_fingerprint": self.facts["data_fingerprint"],
            "initial_weights": self.facts["initial_weights"],
            "frames": self.facts["frames"],
            "teachers": self.facts["teachers"],
            "seconds": self._seconds,
            "cut": [asdict(row) for row in self._cut],
            **self._sums.state_dict(),
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
        self._seconds_before = state_dict.get("seconds", 0.0)
        self._cut = [EpochRecord(**row) for row in state_dict.get("cut", ())]
        self._sums.load_state_dict(state_dict)
