"""The events of videos that the user names, each as soon as it has ended."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from mixtconv.detection.scorers import EventScorer, ScoredStep
from mixtconv.events.detector import EventDetector
from mixtconv.events.event import Event, EventMessage
from mixtconv.events.settings import EventSettings


def predict_events(
    scorer: EventScorer, recording: str | Path, settings: EventSettings | None = None
) -> Iterator[Event]:
    """The events of a recording, in the order in which they become certain.

    One pass over its frames; memory is that of a few seconds of scores, whatever its length.

    Args:
        scorer: the model.
        recording: a video file.
        settings: from scores to events; by default those of the model file.

    Raises:
        UnreadableVideoError: there is no frame.
        ValueError: a folder of pictures, which have no times, or settings for other classes.
    """
    detector = EventDetector(scorer.classes, settings or scorer.stored.settings)
    for message in messages(detector, scorer.steps(Path(recording))):
        if isinstance(message.event, Event):
            yield message.event


def messages(detector: EventDetector, steps: Iterable[ScoredStep]) -> Iterator[EventMessage]:
    """What a detector says of steps, to their end."""
    for step in steps:
        yield from detector.push(step.start, step.end, step.scores)
    yield from detector.finish()
