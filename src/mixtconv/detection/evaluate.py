"""Events of a model in annotated recordings, and how good they are."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixtconv._types import Progress
from mixtconv.data.listing import DataSource
from mixtconv.detection.scorers import load_scorer
from mixtconv.detection.scoring import (
    ScoredRecordings,
    load_recordings,
    score_recordings,
)
from mixtconv.detection.settings import EventOptions, refuse_views
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.events.detector import find_events
from mixtconv.events.event import Event
from mixtconv.events.metrics import EventMetrics, event_metrics
from mixtconv.events.settings import EventSettings


@dataclass(frozen=True, kw_only=True)
class EventEvaluation:
    """The events of a model in annotated recordings."""

    model: str
    """The model, as given."""
    data: str
    """The data, as given."""
    settings: EventSettings
    """From scores to events."""
    metrics: EventMetrics
    """How good they are."""
    scored: ScoredRecordings
    """The recordings and the scores."""
    events: dict[str, list[Event]]
    """Recording -> the events found in it."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv evaluate --events --format json` prints them."""
        return {
            "model": self.model,
            "data": self.data,
            "settings": self.settings.to_dict(),
            **self.metrics.to_dict(),
            "unreadable": [each.to_dict() for each in self.scored.unreadable],
            "recordings": [
                {
                    "video": name,
                    "seconds": self.scored.durations[name],
                    "annotated": [vars(truth) for truth in self.scored.truths[name]],
                    "events": [event.to_dict() for event in found],
                }
                for name, found in self.events.items()
            ],
        }


def evaluate_events(
    model: str | Path,
    data: str | Path | DataSource,
    *,
    reading: EvaluationSettings | None = None,
    options: EventOptions | None = None,
    progress: Progress = lambda *numbers: None,
) -> EventEvaluation:
    """Find the events of annotated recordings, and compare them with the annotation.

    A recording that cannot be read has no events: all that is annotated in it is missed.

    Args:
        model: a model file, the folder of one, `hf:owner/name`, or an exported one.
        data: a list of segments, or annotation files.
        reading: the split, the device and the precision.
        options: settings of events in place of those of the model file.
        progress: called with the number of seconds scored, and of all.

    Raises:
        ValueError: a model, data or settings that cannot be used.
    """
    reading, options = reading or EvaluationSettings(), options or EventOptions()
    refuse_views(reading.protocol)
    scorer = load_scorer(model, options.times, device=reading.device, precision=reading.precision)
    recordings = load_recordings(data, scorer.spec, scorer.notes, split=reading.split)
    settings = options.applied(scorer.stored.settings)
    scored = score_recordings(scorer, recordings, progress=progress)
    events = {name: find_events(scores, settings) for name, scores in scored.scores.items()}
    return EventEvaluation(
        model=str(model),
        data=data.data if isinstance(data, DataSource) else str(data),
        settings=settings,
        metrics=event_metrics(scored.truths, events, scored.durations),
        scored=scored,
        events=events,
    )
