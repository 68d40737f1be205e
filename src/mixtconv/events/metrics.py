"""How good the events found in recordings are: all measures, together and by class, in percent.

mAP at temporal IoU, spotting mAP, precision and recall are those of `temporal_detection`,
frame-wise accuracy, edit score and F1 those of `temporal_segmentation`. mAP is the mean over the
classes with annotated events and ranks detections by score, so that false ones of low score hardly
lower it; precision counts all detections alike, also those of other classes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtconv.events.temporal_detection import (
    TIOU_THRESHOLDS,
    TOLERANCES,
    ClassEvents,
    Detections,
    SpottingPoint,
    Truths,
    average_precision,
    events_by_class,
    hits_by_distance,
    hits_by_overlap,
)
from mixtconv.events.temporal_segmentation import (
    F1_OVERLAPS,
    SegmentCounts,
    Stretches,
    edit_score,
    frame_accuracy,
    percent,
    segment_counts,
)

MATCH_TIOU = 0.5
"""Temporal IoU from which a detection is right, in precision and recall."""


@dataclass(frozen=True)
class EventScores:
    """Of one class or of all, in percent; NaN where nothing defines a measure."""

    num_truths: int
    """Annotated events."""
    num_detections: int
    """Events found."""
    detection_ap: Mapping[float, float]
    """Temporal IoU -> AP, or mAP."""
    average_detection_ap: float
    """Mean over those temporal IoU."""
    spotting_ap: Mapping[float, float]
    """Tolerance in seconds -> AP, or mAP, of spotting."""
    average_spotting_ap: float
    """Mean over those tolerances."""
    precision: float
    """Detections that are right at a temporal IoU of 0.5."""
    recall: float
    """Annotated events that are found at a temporal IoU of 0.5."""
    f1: Mapping[float, float]
    """Overlap -> F1 of segments."""
    frame_accuracy: float
    """Frames with the right labels; of a class, its annotated frames in which it was found."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them: null where a measure is not defined."""
        return {name: _plain(value) for name, value in vars(self).items() if name != "classes"}


@dataclass(frozen=True)
class EventMetrics(EventScores):
    """Of all classes, in percent, and each class's own."""

    num_recordings: int
    """Recordings."""
    background_accuracy: float
    """Frames without a class, in which none was found."""
    edit_score: float
    """Segmental edit score."""
    classes: Mapping[str, EventScores]
    """Class -> its own, for each that is annotated or found."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them: null where a measure is not defined."""
        by_class = {label: scores.to_dict() for label, scores in self.classes.items()}
        return super().to_dict() | {"classes": by_class}


def event_metrics(
    truths: Truths,
    detections: Detections,
    durations: Mapping[str, float],
    *,
    tious: Sequence[float] = TIOU_THRESHOLDS,
    tolerances: Sequence[float] = TOLERANCES,
    point: SpottingPoint = "start",
    frames_per_second: float = 25.0,
    ignored: Mapping[str, Stretches] | None = None,
) -> EventMetrics:
    """All measures of the events found in recordings.

    Args:
        truths: recording -> its annotated events, without background.
        detections: recording -> the events found in it, for the same recordings.
        durations: recording -> its length in seconds.
        tious: least temporal IoU of detection.
        tolerances: of spotting, in seconds.
        point: the moment of an event in spotting.
        frames_per_second: frames that are looked at for frame-wise accuracy.
        ignored: recording -> stretches whose frames are left out of it.

    Raises:
        ValueError: recordings that are not the same, or a value out of range.

    >>> from mixtconv.events.event import AnnotatedEvent, Event
    >>> truths = {"a.mp4": [AnnotatedEvent("wave", 0, 4), AnnotatedEvent("jump", 6, 8)]}
    >>> found = {"a.mp4": [Event("wave", 0, 3, 0.9)]}
    >>> metrics = event_metrics(truths, found, {"a.mp4": 10.0})
    >>> metrics.detection_ap[0.5], metrics.precision, metrics.recall, metrics.edit_score
    (50.0, 100.0, 50.0, 50.0)
    """
    for name, values in (("temporal IoU", tious), ("tolerances", tolerances)):
        most = 1 if name == "temporal IoU" else math.inf
        if not values or not all(0 < value <= most for value in values):
            raise ValueError(
                f"got {name} {list(values)}; give one or more above 0"
                + (", at most 1" if most == 1 else "")
            )
    frames = frame_accuracy(
        truths, detections, durations, frames_per_second=frames_per_second, ignored=ignored
    )
    counts = {overlap: segment_counts(truths, detections, overlap) for overlap in F1_OVERLAPS}
    rows: dict[str, EventScores] = {}
    num_hits = 0
    for label, events in events_by_class(truths, detections).items():
        hits = int(hits_by_overlap(events, [MATCH_TIOU]).sum())
        num_hits += hits
        rows[label] = _scores(
            dict(zip(tious, _detection(events, tious), strict=True)),
            dict(zip(tolerances, _spotting(events, tolerances, point), strict=True)),
            (hits, len(events.scores), len(events.truths)),
            {overlap: counts[overlap][label].f1 for overlap in F1_OVERLAPS},
            frames.by_class.get(label, math.nan),
        )
    annotated = [row for row in rows.values() if row.num_truths]
    found = sum(row.num_detections for row in rows.values()), sum(r.num_truths for r in annotated)
    common = _scores(
        {tiou: _mean([row.detection_ap[tiou] for row in annotated]) for tiou in tious},
        {each: _mean([row.spotting_ap[each] for row in annotated]) for each in tolerances},
        (num_hits, *found),
        {at: sum(counts[at].values(), SegmentCounts()).f1 for at in F1_OVERLAPS},
        frames.overall,
    )
    return EventMetrics(
        **vars(common),
        num_recordings=len(truths),
        background_accuracy=frames.background,
        edit_score=edit_score(truths, detections),
        classes=rows,
    )


def _detection(events: ClassEvents, tious: Sequence[float]) -> list[float]:
    hits = hits_by_overlap(events, tious)
    return (100 * average_precision(hits, len(events.truths))).tolist()


def _spotting(
    events: ClassEvents, tolerances: Sequence[float], point: SpottingPoint
) -> list[float]:
    hits = hits_by_distance(events, tolerances, point)
    return (100 * average_precision(hits, len(events.truths))).tolist()


def _scores(
    detection: Mapping[float, float],
    spotting: Mapping[float, float],
    matches: tuple[int, int, int],
    f1: Mapping[float, float],
    accuracy: float,
) -> EventScores:
    """Arrange measures; `matches` are right detections, all detections, annotated events."""
    num_hits, num_detections, num_truths = matches
    return EventScores(
        num_truths=num_truths,
        num_detections=num_detections,
        detection_ap=detection,
        average_detection_ap=_mean(list(detection.values())),
        spotting_ap=spotting,
        average_spotting_ap=_mean(list(spotting.values())),
        precision=percent(num_hits, num_detections),
        recall=percent(num_hits, num_truths),
        f1=f1,
        frame_accuracy=accuracy,
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else math.nan


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {f"{key:g}": _plain(each) for key, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
