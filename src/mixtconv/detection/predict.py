"""The events of videos that the user names, each as soon as it has ended."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from mixtconv.detection.scorers import EventScorer, ScoredStep
from mixtconv.events.curves import ScoreCurves
from mixtconv.events.detector import EventDetector
from mixtconv.events.event import Event, EventMessage
from mixtconv.events.settings import EventSettings


def predict_events(
    scorer: EventScorer,
    recording: str | Path,
    settings: EventSettings | None = None,
    *,
    curves: ScoreCurves | None = None,
) -> Iterator[Event]:
    """The events of a recording, in the order in which they become certain.

    One pass over its frames; memory is that of a few seconds of scores, whatever its length.

    Args:
        scorer: the model.
        recording: a video file.
        settings: from scores to events; by default those of the model file.
        curves: takes the scores, for a page.

    Raises:
        UnreadableVideoError: there is no frame.
        ValueError: a folder of pictures, which have no times, or settings for other classes.
    """
    detector = EventDetector(scorer.classes, settings or scorer.stored.settings)
    for message in messages(detector, scorer.steps(Path(recording)), curves):
        if isinstance(message.event, Event):
            yield message.event


def messages(
    detector: EventDetector, steps: Iterable[ScoredStep], curves: ScoreCurves | None = None
) -> Iterator[EventMessage]:
    """What a detector says of steps, to their end.

    Args:
        detector: a new one.
        steps: of a recording.
        curves: takes the scores that the thresholds are compared with.
    """
    end = 0.0
    for step in steps:
        yield from detector.push(step.start, step.end, step.scores)
        end = step.end
        if curves is not None:
            curves.push(*detector.averages)
    if curves is not None:
        curves.finish(end)
    yield from detector.finish()
