"""Checkpoints of a running training, which survive a killed process and a full disk.

A run is continued exactly: random numbers depend on seed, epoch, step and sample alone, so a
checkpoint holds no state of generators; inside an epoch it holds the number of finished batches.
A run whose time is over inside an epoch, or that Ctrl-C or SIGTERM ends there, goes on there, too.
"""

import copy
import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from mixtconv._atomic_write import write_atomically
from mixtconv._names import count_of
from mixtconv._processes import naming_dead_readers
from mixtconv._stopping import Stopped, StopSignals
from mixtconv.training.data import VideoDataModule
from mixtconv.training.run_folder import RunFiles

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

    And once it is asked to stop, between two steps, or after the validation that is under way:
    inside one there is no place to go on at.

    Args:
        path: the one checkpoint of the run.
        minutes: time between checkpoints inside an epoch.
        signals: ask for the stop.
    """

    def __init__(self, path: Path, *, minutes: float, signals: StopSignals) -> None:
        self.path = path
        self.seconds = 60 * minutes
        self.signals = signals
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
        self.signals.take_again()  # Lightning, which has its own for SIGTERM, saves nothing

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:
        self.signals.where = "after this validation"

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        self.signals.where = "after this step"

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
        if self._is_asked_to_stop(trainer):
            self._save(trainer, epoch=trainer.current_epoch, num_batches=num_batches)
            raise KeyboardInterrupt
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
        if self._is_asked_to_stop(trainer):
            raise KeyboardInterrupt

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

    def _is_asked_to_stop(self, trainer: Trainer) -> bool:
        """Whether any process is: all end after the same step."""
        is_asked = self.signals.received is not None
        return trainer.strategy.reduce_boolean_decision(is_asked, all=False)

    def _save(self, trainer: Trainer, *, epoch: int, num_batches: int) -> None:
        self._progress = {"epoch": epoch, "num_batches": num_batches}
        trainer.save_checkpoint(self.path)
        self._last_save = time.monotonic()


def kept_in_words(files: RunFiles, *, epochs: int) -> str:
    """What a run of so many epochs goes on with; empty if it would begin anew."""
    if not files.checkpoint.exists():
        return f"{files.heads} holds the choice of the head" if files.heads.exists() else ""
    state = torch.load(files.checkpoint, map_location="cpu", mmap=True, weights_only=True)
    place = state["callbacks"][TrainingState.__name__]
    line = f"{files.checkpoint} holds {place['epoch']} of {count_of(epochs, 'epoch')}"
    if number := place["num_batches"]:
        line += f" and {number} batch{'' if number == 1 else 'es'} of the next"
    return line


@contextmanager
def naming_what_is_kept(files: RunFiles, *, epochs: int) -> Iterator[None]:
    """Say what a run that ends in the block by a signal, or with its readers, goes on with.

    Raises:
        Stopped: a signal has ended it, and something is kept.
        ChildProcessError: a process that reads videos has died.
    """

    def remedy() -> str:
        kept = kept_in_words(files, epochs=epochs)
        return f"; {kept}: go on with the same command, train and fit with --resume" if kept else ""

    try:
        with naming_dead_readers(remedy):
            yield
    except KeyboardInterrupt as stop:
        if kept := kept_in_words(files, epochs=epochs):
            raise Stopped.after(stop, kept, go_on="resume") from stop
        raise
