"""Calibrating the scores of a model file, and choosing what it rejects."""

import math
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixtconv._names import count_of, first_few
from mixtconv._types import Progress
from mixtconv.data.listing import DataSource
from mixtconv.data.protocol import Protocol
from mixtconv.evaluation.confidence import (
    TEMPERATURES,
    Calibration,
    best_temperature,
    calibration,
    rejection_thresholds,
)
from mixtconv.evaluation.evaluate import held_out_videos, refuse_diverged
from mixtconv.evaluation.metrics import probabilities_of
from mixtconv.evaluation.scoring import VideoScores, model_mirroring, score_videos
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.models import VideoClassifier, load_model, optimize_for_inference
from mixtconv.models.device import resolve_device
from mixtconv.models.file import file_to_write, save_model
from mixtconv.models.spec import EVENTS_NOTE, ModelSpec, is_exported
from mixtconv.video.pictures import Unreadable

NOTE = "calibration"
"""Name of the note in the model file."""


@dataclass(frozen=True, kw_only=True)
class CalibrationResult:
    """What was chosen on validation videos, and where it is stored."""

    out: str
    """The model file that holds it."""
    temperature: float
    """What the logits were divided by; 1 leaves them as they are."""
    before: Calibration
    """Of the scores as they were."""
    after: Calibration
    """On the same videos."""
    num_videos: int
    """Videos that could be read."""
    thresholds: dict[str, float] | None
    """Class -> the score below which it is not given; None of a model that rejects nothing."""
    unreadable: tuple[Unreadable, ...]
    """Videos that could not be read, which are left out."""
    notes: tuple[str, ...]
    """What the user should know."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv calibrate --format json` prints them."""
        return {**asdict(self), "unreadable": [video.to_dict() for video in self.unreadable]}


def calibrate_model(
    model: str | Path,
    data: str | Path | DataSource,
    *,
    keep: float | None = None,
    out: str | Path | None = None,
    settings: EvaluationSettings | None = None,
    progress: Progress | None = None,
) -> CalibrationResult:
    """Divide a model's logits by the temperature that fits labelled videos, and store it.

    The weights of the last layer are divided, so whatever runs the model, exported or not, gives
    calibrated scores.

    Args:
        model: a model file, or the folder of one.
        data: videos that the model was not trained on, as for `evaluate_model`.
        keep: also store thresholds below which a video shows none of the classes, such that of the
            videos that are recognized this share keeps its label; above 0, at most 1.
        out: the model file to write; by default the model's own.
        settings: which of the videos (by default `val`), by which protocol, on which device.
        progress: called with the number of videos scored, and of all.

    Raises:
        ValueError: a model, data or settings that cannot be used.
        OSError: the file cannot be written, which is checked before any video is read.
    """
    settings = settings or EvaluationSettings()
    if keep is not None and not 0 < keep <= 1:
        raise ValueError(f"--keep is {keep:g}; give a share above 0, at most 1, such as 0.95")
    protocol = Protocol.parse(settings.protocol)
    if protocol.averaging == "probabilities":
        raise ValueError(
            f"protocol {protocol} averages probabilities, and the temperature is of logits; "
            "calibrate by one that averages logits, such as 1x1 or 2x3"
        )
    if is_exported(model):
        raise ValueError(
            f"{model} is an exported model: calibrate the model file that it was made from, and "
            "export that again"
        )
    target = file_to_write(model, out)
    recognizer = load_model(model, device=resolve_device(settings.device))
    if keep is not None and recognizer.spec.several_labels:
        raise ValueError(
            f"{model} gives several labels or none, by the thresholds that training chose: leave "
            "--keep out"
        )
    split = settings.split or "val"
    samples = held_out_videos(recognizer.spec, recognizer.notes, data, split)
    scores = score_videos(
        optimize_for_inference(recognizer),
        samples,
        settings,
        mirroring=model_mirroring(recognizer),
        progress=progress,
    )
    facts = {
        "data": data.data if isinstance(data, DataSource) else str(data),
        "split": split,
        "protocol": str(protocol),
    }
    return _store(model, recognizer, scores, target=target, keep=keep, facts=facts)


def _store(
    model: str | Path,
    recognizer: VideoClassifier,
    scores: VideoScores,
    *,
    target: Path,
    keep: float | None,
    facts: dict[str, Any],
) -> CalibrationResult:
    readable = scores.readable
    logits, labels = scores.logits[readable], scores.labels[readable].long()
    refuse_diverged(scores, model)
    spec, notes = recognizer.spec, dict(recognizer.notes)
    temperature = best_temperature(logits, labels)
    several = spec.several_labels
    scored = [
        probabilities_of(values.double(), several=several)
        for values in (logits, logits / temperature)
    ]
    everything = torch.ones(len(labels), dtype=torch.bool)
    before, after = (calibration(each, labels, everything) for each in scored)
    thresholds = None
    if keep is not None:
        thresholds = rejection_thresholds(scored[1], labels, keep=keep)
    said = _notes_of(spec, notes, temperature, labels, keep=keep)
    if (times := notes.pop(EVENTS_NOTE, {}).get("times")) is not None:
        notes[EVENTS_NOTE] = {"times": times}  # when scores are taken depends on no temperature
    earlier = notes.get(NOTE, {}).get("temperature", 1.0)
    notes[NOTE] = {
        **facts,
        "temperature": earlier * temperature,
        "keep": keep,
        "videos": len(labels),
        "calibration_error": after.calibration_error,
    }
    changed = replace(spec, rejection_thresholds=thresholds)
    if spec.label_thresholds is not None:
        limits = torch.tensor(spec.label_thresholds, dtype=torch.float64)
        changed = replace(changed, label_thresholds=_scaled(limits, temperature))
    recognizer.spec = changed
    recognizer.scale_logits(1 / temperature)
    save_model(recognizer, target, notes=notes)
    return CalibrationResult(
        out=str(target),
        temperature=temperature,
        before=before,
        after=after,
        num_videos=len(labels),
        thresholds=None if thresholds is None else dict(zip(spec.classes, thresholds, strict=True)),
        unreadable=tuple(scores.unreadable.values()),
        notes=said,
    )


def _scaled(thresholds: Tensor, temperature: float) -> tuple[float, ...]:
    """Thresholds of sigmoids that decide the same of logits divided by a temperature."""
    return tuple((thresholds.logit() / temperature).sigmoid().tolist())


def _notes_of(
    spec: ModelSpec,
    notes: dict[str, Any],
    temperature: float,
    labels: Tensor,
    *,
    keep: float | None,
) -> tuple[str, ...]:
    """What the user should know of the choice."""
    said = []
    if temperature > 0.99 * TEMPERATURES[1]:
        said.append(
            f"the temperature is the largest, {TEMPERATURES[1]:g}: the scores of these videos say "
            "little of whether they are right"
        )
    if temperature < 1.01 * TEMPERATURES[0]:
        said.append(
            f"the temperature is the smallest, {TEMPERATURES[0]:g}, as the logits are very small: "
            "calibrate once more"
        )
    if keep is not None and keep < 1:
        counts = labels.bincount(minlength=spec.num_classes).tolist()
        needed = math.ceil(1 / (1 - keep) - 1e-9)
        few = [
            f"{name!r} ({n})" for name, n in zip(spec.classes, counts, strict=True) if n < needed
        ]
        if few:
            said.append(
                f"{count_of(len(few), 'class')} with fewer than {needed} videos, the threshold of "
                f"which is that of all: {first_few(few)}"
            )
    if notes.get(EVENTS_NOTE, {"times": None}).keys() != {"times"}:
        said.append(
            "the settings of events were of the scores before and are removed: run mixtconv "
            "tune-events again"
        )
    if keep is None and spec.rejection_thresholds is not None:
        said.append(
            "the thresholds of rejection were of the scores before and are removed: --keep chooses "
            "new ones"
        )
    return tuple(said)
