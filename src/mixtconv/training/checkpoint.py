"""Checkpoints of a running training, which survive a killed process and a full disk.

A run is continued exactly: random numbers depend on seed, epoch, step and sample alone, so a
checkpoint holds no state of generators; inside an epoch it holds the number of finished batches.
A run whose time is over inside an epoch goes on there, too.
"""

import copy
import io
import time
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from mixtconv._atomic_write import write_atomically
from mixtconv.training.data import VideoDataModule

STEPS_BETWEEN_BROADCASTS = 20
"""Steps after which rank 0 tells the other processes whether a checkpoint is due."""


class AtomicCheckpointIO(TorchCheckpointIO):
    """Replaces the earlier checkpoint only by a complete one.

    On a local disk Lightning's writer (2.6.6, with fsspec 2026.9) does not: fsspec's transaction
    writes into the system's temporary folder and moves the file, which between file systems copies
    over the earlier checkpoint; nothing is synced to the disk, and an error does not name the file.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        with buffer.getbuffer() as content:
            write_atomically(Path(path), content)


class TrainingState(Checkpoint):
    """Saves the state of the training after every epoch, and inside an epoch by the clock.

    Args:
        path: the one checkpoint of the run.
        minutes: time between checkpoints inside an epoch.
    """

    def __init__(self, path: Path, *, minutes: float) -> None:
        self.path = path
        self.seconds = 60 * minutes
        self._progress = {"epoch": 0, "num_batches": 0}
        self._is_cut = False
        self._loops: dict[str, Any] = {}
        self._last_save = time.monotonic()

    def on_fit_start(self, trainer: Trainer, module: LightningModule) -> None:
        data = trainer.datamodule
        assert isinstance(data, VideoDataModule)
        data.resume_at(**self._progress)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        self._last_save = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        num_batches = batch_idx + 1
        if num_batches == trainer.num_training_batches:
            return  # the end of the epoch saves its own checkpoint, after validation
        if num_batches % trainer.accumulate_grad_batches:
            return  # inside a step, and a checkpoint holds no gradients
        if trainer.should_stop:
            self._is_cut = True
            self._save(trainer, epoch=trainer.current_epoch, num_batches=num_batches)
            return
        num_steps = num_batches // trainer.accumulate_grad_batches
        if trainer.world_size > 1 and num_steps % STEPS_BETWEEN_BROADCASTS:
            return
        if trainer.strategy.broadcast(time.monotonic() - self._last_save >= self.seconds):
            self._save(trainer, epoch=trainer.current_epoch, num_batches=num_batches)

    def on_train_epoch_end(self, trainer: Trainer, module: LightningModule) -> None:
        if self._is_cut:  # again, with the score of what there is
            self._save(trainer, **self._progress)
        else:
            self._save(trainer, epoch=trainer.current_epoch + 1, num_batches=0)

    def on_save_checkpoint(
        self, trainer: Trainer, module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Keep the place of a run that is stopped inside an epoch, which Lightning then ends."""
        if self._is_cut:
            self._loops = self._loops or copy.deepcopy(checkpoint["loops"])
            checkpoint["loops"] = self._loops

    def state_dict(self) -> dict[str, Any]:
        return dict(self._progress)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._progress = dict(state_dict)

    def _save(self, trainer: Trainer, *, epoch: int, num_batches: int) -> None:
        self._progress = {"epoch": epoch, "num_batches": num_batches}
        trainer.save_checkpoint(self.path)
        self._last_save = time.monotonic()
