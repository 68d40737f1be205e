"""The folder of a training run: where its files lie, and what they say of the run."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mixtconv.models.location import MODEL_FILE, find_model_file
from mixtconv.training.record import EpochRecord
from mixtconv.training.settings import TrainingSettings


@dataclass(frozen=True)
class RunFiles:
    """Where a run's files lie."""

    folder: Path

    @property
    def model(self) -> Path:
        return self.folder / MODEL_FILE

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.json"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "checkpoints" / "last.ckpt"


@dataclass(frozen=True)
class TrainedRun:
    """A trained model with what is known of its training."""

    model: Path
    """The model file."""
    settings: TrainingSettings | None = None
    """What it was trained with; None where there is no `config.yaml` beside it."""
    epochs: tuple[EpochRecord, ...] | None = None
    """The record; None where there is no `metrics.json` beside it."""

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
        elif self.settings is not None and len(self.epochs) < self.settings.epochs:
            done, planned = len(self.epochs), self.settings.epochs
            remarks.append(f"it was trained for {done} of {planned} epochs")
        return tuple(remarks)


def read_run(source: str | Path) -> TrainedRun:
    """Read the folder of a run, or a model file alone.

    Args:
        source: the folder, its `model.safetensors`, another model file, or `hf:owner/name`.

    Raises:
        ValueError: no model there, or files of a run that cannot be read.
    """
    model = find_model_file(source)
    if model.name != MODEL_FILE:
        return TrainedRun(model)  # what lies beside it may be another's
    files = RunFiles(model.parent)
    return TrainedRun(
        model,
        settings=load_settings(files.config) if files.config.exists() else None,
        epochs=load_epochs(files.metrics) if files.metrics.exists() else None,
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
        return tuple(EpochRecord(**_measured(row)) for row in rows)
    except (TypeError, AttributeError, KeyError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} does not hold the record of a run ({error!r}); mend it, or remove it to do "
            "without learning curves"
        ) from error


def _measured(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the file, which says null of what could not be measured."""
    return {key: float("nan") if value is None else value for key, value in row.items()}
