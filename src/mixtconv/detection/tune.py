"""Settings of events chosen on annotated recordings, and stored in the model file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixtconv._types import Progress
from mixtconv.data.listing import DataSource
from mixtconv.detection.scorers import load_scorer
from mixtconv.detection.scoring import (
    ScoredRecordings,
    first_readable,
    load_recordings,
    score_recordings,
    typical_seconds,
)
from mixtconv.detection.settings import (
    EventOptions,
    StoredEvents,
    default_settings,
    refuse_views,
)
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.events.settings import TuningMeasure
from mixtconv.events.tuning import EventTuning, tune_events
from mixtconv.models.file import file_to_write, write_notes
from mixtconv.models.location import find_model_file
from mixtconv.models.spec import EVENTS_NOTE, is_exported


@dataclass(frozen=True, kw_only=True)
class StoredTuning:
    """Settings that were chosen, and where they are."""

    out: str
    """The model file that holds them."""
    stored: StoredEvents
    """What it says of events."""
    tuning: EventTuning
    """How they were chosen."""
    scored: ScoredRecordings
    """On which recordings."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv tune-events --format json` prints them."""
        return {
            "out": self.out,
            "times": self.stored.to_dict()["times"],
            "recordings": len(self.scored.recordings),
            "unreadable": [each.to_dict() for each in self.scored.unreadable],
            **self.tuning.to_dict(),
        }


def tune_model(
    model: str | Path,
    data: str | Path | DataSource,
    *,
    out: str | Path | None = None,
    measure: TuningMeasure = "f1",
    reading: EvaluationSettings | None = None,
    options: EventOptions | None = None,
    progress: Progress = lambda *numbers: None,
) -> StoredTuning:
    """Choose the settings of a model's events, and store them in its file.

    Args:
        model: a model file, or the folder of one.
        data: a list of segments, or annotation files.
        out: the model file to write; by default the model's own.
        measure: what is maximised: F1@50, or mAP at a temporal IoU of 0.5.
        reading: the split (by default `val`, which training held out), the device and the
            precision.
        options: settings that are kept as they are, and where the search begins.
        progress: called with the number of seconds scored, and of all.

    Raises:
        ValueError: a model, data or settings that cannot be used.
        OSError: the file cannot be written.
    """
    reading, options = reading or EvaluationSettings(), options or EventOptions()
    refuse_views(reading.protocol)
    if is_exported(model):
        raise ValueError(
            f"{model} is an exported model: tune the model file that it was made from, and export "
            "that again"
        )
    target = file_to_write(model, out)
    scorer = load_scorer(model, options.times, device=reading.device, precision=reading.precision)
    split = reading.split or "val"
    recordings = load_recordings(data, scorer.spec, scorer.notes, split=split)
    scorer.times = scorer.fitted_times(first_readable(recordings), typical_seconds(recordings))
    scored = score_recordings(scorer, recordings, progress=progress)
    start = options.applied(default_settings(scorer.classes))
    tuning = tune_events(scored.scores, scored.truths, start=start, measure=measure)
    facts = {
        "data": data.data if isinstance(data, DataSource) else str(data),
        "split": split,
        "recordings": len(recordings),
        "measure": measure,
        "score": tuning.score,
    }
    stored = StoredEvents(settings=tuning.settings, times=scorer.times, facts=facts)
    write_notes(find_model_file(model), {EVENTS_NOTE: stored.to_dict()}, out=target)
    return StoredTuning(out=str(target), stored=stored, tuning=tuning, scored=scored)
