"""The folder of a training run: its files, starting or resuming in it, and reading it back."""

import json
import logging
import math
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from mixtconv._atomic_write import remove_leftovers, write_atomically
from mixtconv._folder_lock import alone_in
from mixtconv._processes import is_rank_zero
from mixtconv.models.location import MODEL_FILE, find_model_file
from mixtconv.training.settings import TrainingSettings

logger = logging.getLogger(__name__)


class RunFiles:
    """Paths of a run's files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.model = folder / MODEL_FILE
        self.partner = folder / "partner.safetensors"
        self.config = folder / "config.yaml"
        self.metrics = folder / "metrics.json"
        self.heads = folder / "heads.json"
        self.videos = folder / "videos.json"
        self.table = folder / "logs" / "metrics.csv"
        self.checkpoint = folder / "checkpoints" / "last.ckpt"


@dataclass(frozen=True)
class EpochRecord:
    """The scores of one epoch; accuracies in percent."""

    epoch: int
    """From 1."""
    train_loss: float
    """Mean over the clips of all processes; of a run without validation the scores are NaN."""
    val_loss: float
    """Mean loss over the readable videos, cross entropy without weights and smoothing."""
    top1: float
    top5: float
    mean_class_accuracy: float
    learning_rate: float
    """Of the weights, in the epoch's last step."""
    seconds: float
    """Of the epoch with its validation; if it was resumed inside, since then."""
    data_wait: float
    """Share of the training steps' time spent waiting for data, 0 to 1."""
    skipped: int
    """Training clips of all processes left out because their video could not be read."""
    part: float = 1.0
    """Of the epoch's batches that were trained on; below 1 of a run that was stopped inside."""
    mean_average_precision: float | None = None
    """Of several labels a video, in percent; these have no top-1, top-5 and accuracies. None of one
    label, or unscored."""
    macro_f1: float | None = None
    """Of several labels, at the thresholds that are best for these videos, in percent."""


_OF_SEVERAL = ("mean_average_precision", "macro_f1")


def refuse_folder(settings: TrainingSettings, files: RunFiles) -> None:
    """Refuse a folder that the run cannot be in, before its videos are looked for; only rank 0.

    A run that was stopped before anything of it was kept may begin anew.

    Raises:
        ValueError: the folder holds a run already, or none to resume.
    """
    if not is_rank_zero():  # rank 0 may have written to it since
        return
    is_begun = files.config.exists()
    if settings.resume and not is_begun:
        raise ValueError(
            f"{files.folder} holds no run to resume: leave out --resume, or correct --out"
        )
    kept = (files.checkpoint, files.model, files.metrics, files.heads)
    if not settings.resume and is_begun and any(path.exists() for path in kept):
        raise ValueError(
            f"{files.folder} holds a run already: give --resume to continue it, or another --out"
        )


def find_checkpoint(settings: TrainingSettings, files: RunFiles) -> Path | None:
    """The checkpoint that a run continues from; None starts from the beginning.

    Raises:
        ValueError: the run in the folder has other settings.
    """
    if not settings.resume:
        return None
    if not is_rank_zero():  # rank 0 has compared the settings
        return files.checkpoint if files.checkpoint.exists() else None
    changed = settings.changed_from(load_settings(files.config))
    if changed:
        raise ValueError(
            f"{files.folder} was begun with other settings ({', '.join(changed)}): resume it "
            "with the same, or start another --out"
        )
    if files.checkpoint.exists():
        return files.checkpoint
    logger.warning("%s has no checkpoint yet: starting from the beginning", files.folder)
    return None


def alone_in_run(files: RunFiles) -> AbstractContextManager[None]:
    """Lock the folder of a run for a block, so that no other run writes to it; rank 0 does."""
    return alone_in(files.folder, "train") if is_rank_zero() else nullcontext()


def begin_run(settings: TrainingSettings, files: RunFiles) -> None:
    """Write `config.yaml`, and remove partial files of a killed process; only rank 0 does."""
    if not is_rank_zero():
        return
    for path in set(vars(files).values()) - {files.folder}:
        remove_leftovers(path)
    values = asdict(settings) | {"resume": False}
    write_atomically(files.config, yaml.safe_dump(values, sort_keys=False).encode())


@dataclass(frozen=True)
class TrainedRun:
    """A trained model with the settings and the record of its training."""

    model: Path
    """The model file."""
    settings: TrainingSettings | None = None
    """Its training's settings; None without `config.yaml` beside the model."""
    epochs: tuple[EpochRecord, ...] | None = None
    """The record; None without `metrics.json` beside the model."""
    stopped: str | None = None
    """Why the training ended before its last epoch, in words."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences about what is missing."""
        if self.model.name != MODEL_FILE:
            return ("a model file alone: its settings and learning curves are not known",)
        folder = self.model.parent
        remarks = []
        if self.settings is None:
            remarks.append(f"no config.yaml in {folder}: its settings are not known")
        if self.epochs is None:
            remarks.append(f"no metrics.json in {folder}: its learning curves are not known")
        elif self.settings is not None and not is_complete(self.epochs, self.settings):
            done, planned = sum(row.part for row in self.epochs), self.settings.epochs
            why = f" ({self.stopped})" if self.stopped else ""
            remarks.append(f"it was trained for {done:.4g} of {planned} epochs{why}")
        if self.settings is not None and self.settings.val_fraction == 0:
            remarks.append("nothing was held out from its training (--val-fraction 0)")
        return tuple(remarks)


def is_complete(epochs: Sequence[EpochRecord], settings: TrainingSettings) -> bool:
    """Whether a run was trained for all of its epochs, and the last one to its end."""
    return sum(row.part == 1 for row in epochs) >= settings.epochs


def read_run(source: str | Path) -> TrainedRun:
    """Read the folder of a run, or a model file alone.

    Args:
        source: the folder, its `model.safetensors`, another model file, or `hf:owner/name`.

    Raises:
        ValueError: no model there, or files of a run that cannot be read.
    """
    model = find_model_file(source)
    if model.name != MODEL_FILE:
        return TrainedRun(model)  # files beside it may belong to another model
    files = RunFiles(model.parent)
    return TrainedRun(
        model,
        settings=load_settings(files.config) if files.config.exists() else None,
        epochs=load_epochs(files.metrics) if files.metrics.exists() else None,
        stopped=_why_stopped(files.metrics),
    )


def load_settings(path: Path) -> TrainingSettings:
    """Read the `config.yaml` of a run.

    Raises:
        ValueError: a file that does not hold the settings of a run.
    """
    try:
        settings = yaml.safe_load(path.read_text())
        if not isinstance(settings, dict):
            raise TypeError("it must give settings by name")
        return TrainingSettings(**settings)
    except (TypeError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ValueError(f"{path} does not hold the settings of a run: {error}") from error


def load_epochs(path: Path) -> tuple[EpochRecord, ...]:
    """Read the epochs of a run's `metrics.json`.

    Raises:
        ValueError: a file that does not hold the record of a run.
    """
    try:
        rows = json.loads(path.read_text())["epochs"]
        values: list[dict[str, Any]] = [
            {
                key: math.nan if value is None and key not in _OF_SEVERAL else value
                for key, value in row.items()
            }
            for row in rows
        ]
        return tuple(EpochRecord(**row) for row in values)
    except (TypeError, AttributeError, KeyError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} does not hold the record of a run ({error!r}); repair it, or remove it to do "
            "without learning curves"
        ) from error


def _why_stopped(metrics: Path) -> str | None:
    """The reason in a run's `metrics.json`, which `load_epochs` has read."""
    return json.loads(metrics.read_text()).get("stopped") if metrics.exists() else None


def plain_row(row: EpochRecord) -> dict[str, Any]:
    """An epoch as JSON holds it: null for values that could not be measured."""
    return {
        key: None if isinstance(value, float) and math.isnan(value) else value
        for key, value in asdict(row).items()
    }


def epoch_in_words(row: EpochRecord, measure: str) -> str:
    """The scores of an epoch for its line, that by which it is compared among them."""
    if row.mean_average_precision is not None:
        return f"mAP {row.mean_average_precision:.2f} %, F1 {row.macro_f1:.2f} %"
    by_class = f", mean class {row.mean_class_accuracy:.2f} %"
    return f"top-1 {row.top1:.2f} %{by_class if measure == 'mean_class_accuracy' else ''}"
