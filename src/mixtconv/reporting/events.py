"""The events of runs that find them: a row of the report, and a page of recordings beside it."""

from pathlib import Path
from typing import Any

from mixtconv.data.listing import DataSource
from mixtconv.detection.evaluate import EventEvaluation, evaluate_events
from mixtconv.detection.page import write_evaluation_page
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.events import metrics as events
from mixtconv.events.metrics import MATCH_TIOU
from mixtconv.models import read_metadata
from mixtconv.models.spec import EVENTS_NOTE
from mixtconv.reporting.scored_runs import ScoredRuns, ShowStage
from mixtconv.visualization.results import ClassEventScores, EventScores


def score_events(
    scored: ScoredRuns,
    data: DataSource,
    out: Path,
    *,
    settings: EvaluationSettings,
    progress: ShowStage,
) -> tuple[tuple[EventScores, ...], list[str]]:
    """Find the events of the runs that know how, and write a page of each beside the report.

    Args:
        scored: the runs.
        data: the recordings.
        out: file of the report.
        settings: which of the recordings, and the device.
        progress: makes a progress bar for a stage.

    Returns:
        The scores of these runs, and sentences about what is missing or means something else.

    Raises:
        OSError: a page cannot be written.
    """
    rows: list[EventScores] = []
    remarks: list[str] = []
    finders = [
        (run, notes)
        for run in scored.runs
        if (notes := read_metadata(run.run.model)["notes"]).get(EVENTS_NOTE)
        or notes.get("frame_labels")
    ]
    reading = EvaluationSettings(
        split=settings.split, device=settings.device, precision=settings.precision
    )
    for run, notes in finders:
        suffix = f"-{run.name}" if len(finders) > 1 else ""
        page = out.with_name(f"{out.stem}-events{suffix.replace('/', '-')}.html")
        try:
            with progress(f"events of {run.name}, seconds") as show:
                found = evaluate_events(run.run.model, data, reading=reading, progress=show)
        except ValueError as error:
            remarks.append(f"{run.name}: its events are not scored: {error}")
            continue
        write_evaluation_page(found, page, name=run.name)
        if notes.get("frame_labels"):
            remarks.append(
                f"{run.name}: its learning curve is the accuracy of frames, its scores are those "
                "of whole segments, for which it was not trained"
            )
        tuned = "settings" in (notes.get(EVENTS_NOTE) or {})
        rows.append(_row(run.name, found, page, tuned=tuned))
    return tuple(rows), remarks


def _row(name: str, found: EventEvaluation, page: Path, *, tuned: bool) -> EventScores:
    metrics = found.metrics
    classes = (
        ClassEventScores(name=label, **_measures(scores))
        for label, scores in metrics.classes.items()
    )
    return EventScores(
        name=name, page=page.name, tuned=tuned, classes=tuple(classes), **_measures(metrics)
    )


def _measures(metrics: events.EventScores) -> dict[str, Any]:
    return {
        "num_events": metrics.num_truths,
        "num_found": metrics.num_detections,
        "average_precision": metrics.detection_ap[MATCH_TIOU],
        "mean_average_precision": metrics.average_detection_ap,
        "f1": metrics.f1[MATCH_TIOU],
        "precision": metrics.precision,
        "recall": metrics.recall,
        "frame_accuracy": metrics.frame_accuracy,
    }
