"""Where an epoch is, in the log, once a minute: for long epochs where no bar is drawn."""

import logging
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from mixtconv._names import duration

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 60.0


class StepLog(Callback):
    """Logs the batch that an epoch has reached, now and then."""

    def __init__(self) -> None:
        self._began = self._last = time.monotonic()
        self._first: int | None = None

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._began = self._last = time.monotonic()
        self._first = None

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self._first is None:
            self._first = batch_idx  # above 0 in an epoch that is resumed

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        now = time.monotonic()
        if not trainer.is_global_zero or now - self._last < SECONDS_BETWEEN_LINES:
            return
        self._last = now
        num_done, num_batches = batch_idx + 1, int(trainer.num_training_batches)
        pace = (now - self._began) / max(num_done - (self._first or 0), 1)
        logger.info(
            "epoch %d/%s: batch %d of %d, loss %.3f, about %s left of its training",
            trainer.current_epoch + 1,
            trainer.max_epochs,
            num_done,
            num_batches,
            float(outputs["mean_loss"]) if outputs else float("nan"),
            duration((num_batches - num_done) * pace),
        )
