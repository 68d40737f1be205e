"""Events as a page: the video, what was found beside what is annotated, and the scores."""

import os
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from mixtconv._atomic_write import write_text_atomically
from mixtconv.detection.evaluate import EventEvaluation
from mixtconv.detection.predict import messages
from mixtconv.detection.scorers import ScoredStep
from mixtconv.events.curves import ScoreCurves
from mixtconv.events.detector import EventDetector
from mixtconv.events.event import AnnotatedEvent, Event
from mixtconv.events.metrics import MATCH_TIOU
from mixtconv.events.scores import ScoreSequence
from mixtconv.events.settings import EventSettings
from mixtconv.events.temporal_detection import matches
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.reader import picture_start
from mixtconv.visualization.event_page import (
    EventTimeline,
    FoundEvent,
    PageTable,
    TrueEvent,
    render_event_page,
)


def recording_timeline(
    path: Path,
    events: Sequence[Event],
    settings: EventSettings,
    *,
    curves: ScoreCurves | None,
    folder: Path,
    name: str | None = None,
    annotated: Sequence[AnnotatedEvent] | None = None,
    seconds: float = 0.0,
    error: str | None = None,
) -> EventTimeline:
    """A recording as the page shows it.

    Args:
        path: the video.
        events: found in it.
        settings: by which they were found.
        curves: the scores.
        folder: that of the page, from which it names the video.
        name: shown for the recording; by default its path.
        annotated: what is annotated, None where nobody knows.
        seconds: its length where there are no scores.
        error: why it cannot be read.
    """
    taken = matches(annotated or (), events, MATCH_TIOU)
    relative = os.path.relpath(path.absolute(), folder.absolute())
    labels = {event.label for event in (*events, *(annotated or ()))}
    shown = curves.shown(labels) if curves is not None else []
    try:
        offset = 0.0 if error is not None else float(picture_start(path))
    except (UnreadableVideoError, OSError):  # it has been removed meanwhile
        offset = 0.0
    return EventTimeline(
        name=name or str(path),
        video=quote(os.fsencode(Path(relative).as_posix())),
        offset=offset,
        seconds=max(seconds, curves.end if curves is not None else 0.0),
        events=[
            FoundEvent(event.label, _rounded(event.start), _rounded(event.end), event.score, match)
            for event, match in zip(events, taken, strict=True)
        ],
        annotated=None
        if annotated is None
        else [
            TrueEvent(each.label, _rounded(each.start), _rounded(each.end), number in taken)
            for number, each in enumerate(annotated)
        ],
        scores=curves.to_dict(shown) if curves is not None else None,
        thresholds=settings.thresholds(shown),
        error=error,
    )


def write_evaluation_page(
    evaluation: EventEvaluation,
    path: str | Path,
    *,
    name: str | None = None,
    tables: Sequence[PageTable] = (),
    notes: Sequence[str] = (),
) -> None:
    """Write recordings with their annotation, and what was found, as a page.

    Args:
        evaluation: of a model.
        path: file of the page.
        name: what the model is called, by default the name of its file.
        tables: shown above, such as the metrics.
        notes: sentences above.

    Raises:
        OSError: the file cannot be written.
    """
    target = Path(path)
    scored = evaluation.scored
    reasons = {each.path: each.reason for each in scored.unreadable}
    timelines = [
        recording_timeline(
            each.path,
            evaluation.events[each.key],
            evaluation.settings,
            curves=curves_of(scored.scores[each.key], evaluation.settings),
            folder=target.parent,
            name=each.key,
            annotated=scored.truths[each.key],
            seconds=float(each.seconds),
            error=reasons.get(each.path),
        )
        for each in scored.recordings
    ]
    title = f"Events of {name or Path(evaluation.model).name}"
    page = render_event_page(timelines, title=title, notes=notes, tables=tables)
    write_text_atomically(target, page)


def curves_of(scores: ScoreSequence, settings: EventSettings) -> ScoreCurves:
    """The curves of a whole recording, as they are made while it is read."""
    curves = ScoreCurves(scores.classes)
    steps = map(ScoredStep, *map(list, (scores.starts, scores.ends, scores.scores)))  # type: ignore[arg-type]
    for _ in messages(EventDetector(scores.classes, settings), steps, curves):
        pass
    return curves


def _rounded(seconds: float) -> float:
    return round(float(seconds), 4)
