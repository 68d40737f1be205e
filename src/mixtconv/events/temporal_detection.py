"""Temporal action detection and spotting: average precision by temporal IoU, and by distance.

- Detection, as in the official evaluation of ActivityNet ("ActivityNet: A Large-Scale Video
  Benchmark for Human Activity Understanding", CVPR 2015; `eval_detection.py`): the detections of a
  class in all recordings are taken by falling score. Each takes the annotated event of its
  recording with the highest temporal IoU among those not yet taken, if that reaches the threshold;
  otherwise it is false. AP is the area below the precision envelope (interpolated AP of PASCAL VOC
  from 2010 on), mAP its mean over the classes with annotated events.
- Spotting, as in "Spotting Temporally Precise, Fine-Grained Events in Video" (E2E-Spot, arXiv
  2207.10213; `util/score.py`): the same with moments; each detection takes the nearest event not
  yet taken, if it is at most the tolerance away, before or after. SoccerNet (arXiv 1804.04527)
  names by its delta the whole of that window, twice the tolerance.

Where scores are equal, the order is that of recording, start and end, whatever that of the lists;
of equally good annotated events the earlier one is taken.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from mixtconv._names import first_few
from mixtconv.events.event import AnnotatedEvent, Event

TIOU_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
TOLERANCES = (0.25, 0.5, 1.0, 2.0)
"""Of spotting, in seconds."""

SpottingPoint = Literal["start", "center"]
"""The moment of an event."""

Truths: TypeAlias = Mapping[str, Sequence[AnnotatedEvent]]
"""Recording -> its annotated events; recordings without any are in it as well."""

Detections: TypeAlias = Mapping[str, Sequence[Event]]
"""Recording -> the events found in it."""

Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

ROUNDING = 1e-9
"""By which a quotient or a difference may fall short of a threshold."""

BLOCK = 1 << 22
"""Pairs of a detection and a truth that are looked at together, for the memory."""


@dataclass(frozen=True, eq=False)
class ClassEvents:
    """The events of a class in all recordings: D found ones by falling score, and G annotated."""

    detections: Floats
    """(D, 2), start and end in seconds."""
    found_in: npt.NDArray[np.int64]
    """(D,), the number of its recording."""
    scores: Floats
    """(D,), falling."""
    truths: Floats
    """(G, 2)."""
    annotated_in: npt.NDArray[np.int64]
    """(G,)."""


def events_by_class(truths: Truths, detections: Detections) -> dict[str, ClassEvents]:
    """The events of each class that has any, in the order of names.

    Raises:
        ValueError: the recordings are not the same, or a score is not finite.
    """
    require_same_recordings(truths, detections)
    names = sorted(truths)
    found: dict[str, list[tuple[float, int, float, float]]] = {}
    annotated: dict[str, list[tuple[int, float, float]]] = {}
    for number, name in enumerate(names):
        for event in detections[name]:
            row = -event.score, number, float(event.start), float(event.end)
            found.setdefault(event.label, []).append(row)
        for truth in truths[name]:
            stretch = number, float(truth.start), float(truth.end)
            annotated.setdefault(truth.label, []).append(stretch)
    classes = {}
    for label in sorted(found.keys() | annotated.keys()):
        rows = np.array(sorted(found.get(label, []))).reshape(-1, 4)
        true = np.array(sorted(annotated.get(label, []))).reshape(-1, 3)
        if not np.isfinite(rows).all():
            raise ValueError(f"an event of class {label!r} has a score or time that is not finite")
        classes[label] = ClassEvents(
            rows[:, 2:],
            rows[:, 1].astype(np.int64),
            -rows[:, 0],
            true[:, 1:],
            true[:, 0].astype(int),
        )
    return classes


def require_same_recordings(truths: Collection[str], detections: Collection[str]) -> None:
    """Raise a ValueError if recordings are annotated and not searched, or the other way round."""
    for one, other, what in (
        (truths, detections, "detections, not even an empty list"),
        (detections, truths, "annotation, not even an empty one"),
    ):
        missing = sorted(set(one) - set(other))
        if missing:
            raise ValueError(f"recordings without {what}: {first_few(missing)}; give one of each")


def temporal_iou(one: Floats, other: Floats) -> Floats:
    """Temporal IoU of stretches (N, 2) and (M, 2): (N, M).

    >>> temporal_iou(np.array([[0.0, 2.0]]), np.array([[1.0, 3.0], [4.0, 5.0]])).round(3).tolist()
    [[0.333, 0.0]]
    """
    starts = np.maximum(one[:, None, 0], other[None, :, 0])
    ends = np.minimum(one[:, None, 1], other[None, :, 1])
    both = np.maximum(ends - starts, 0)
    lengths = np.diff(one, axis=1) + np.diff(other, axis=1).T
    return both / (lengths - both)


def hits_by_overlap(events: ClassEvents, thresholds: Sequence[float]) -> Flags:
    """Which detections are true, for each least temporal IoU: (thresholds, D)."""
    hits = np.zeros((len(thresholds), len(events.scores)), bool)
    for found, true in _recordings(events):
        free = np.ones((len(thresholds), len(true)), bool)
        for part in _blocks(found, len(true)):
            overlaps = temporal_iou(events.detections[part], events.truths[true])
            for at, least in enumerate(thresholds):
                hits[at, part] = _take(overlaps, least, free[at]) >= 0
    return hits


def hits_by_distance(
    events: ClassEvents, tolerances: Sequence[float], point: SpottingPoint
) -> Flags:
    """Which detections are true, for each tolerance in seconds: (tolerances, D)."""
    moments, true_moments = (_moments(each, point) for each in (events.detections, events.truths))
    hits = np.zeros((len(tolerances), len(events.scores)), bool)
    for found, true in _recordings(events):
        free = np.ones((len(tolerances), len(true)), bool)
        for part in _blocks(found, len(true)):
            distances = np.abs(moments[part][:, None] - true_moments[true][None])
            for at, tolerance in enumerate(tolerances):
                hits[at, part] = _take(-distances, -tolerance, free[at]) >= 0
    return hits


def matches(
    truths: Sequence[AnnotatedEvent], detections: Sequence[Event], threshold: float
) -> list[int | None]:
    """What each detection of one recording takes: the place of an annotated event, or nothing.

    Args:
        truths, detections: of the recording, in any order.
        threshold: least temporal IoU.

    >>> found = [Event("wave", 5, 6, 0.9), Event("wave", 0, 3, 0.5)]
    >>> matches([AnnotatedEvent("wave", 0, 4)], found, 0.5)
    [None, 0]
    """
    taken: list[int | None] = [None] * len(detections)
    for label in {truth.label for truth in truths}:
        found = [at for at, event in enumerate(detections) if event.label == label]
        found.sort(key=lambda at: (-detections[at].score, *_times(detections[at])))
        true = [at for at, truth in enumerate(truths) if truth.label == label]
        true.sort(key=lambda at: _times(truths[at]))
        stretches = np.array([_times(truths[at]) for at in true])
        free = np.ones(len(true), bool)
        for part in _blocks(np.array(found, dtype=np.intp), len(true)):
            rows = np.array([_times(detections[at]) for at in part]).reshape(-1, 2)
            places = _take(temporal_iou(rows, stretches), threshold, free)
            for at, place in zip(part.tolist(), places.tolist(), strict=True):
                taken[at] = true[place] if place >= 0 else None
    return taken


def average_precision(hits: Flags, num_truths: int) -> Floats:
    """Interpolated AP of detections by falling score: (..., D) -> (...); NaN without any truth.

    >>> average_precision(np.array([True, False, True]), 4).round(4).item()
    0.4167
    """
    if num_truths == 0:
        return np.full(hits.shape[:-1], np.nan)
    ranks = np.arange(1, hits.shape[-1] + 1)
    precisions = hits.cumsum(axis=-1) / ranks
    # The envelope at each rank is the best precision from there on; the best is always at a hit.
    envelope = np.maximum.accumulate(precisions[..., ::-1], axis=-1)[..., ::-1]
    return (envelope * hits).sum(axis=-1) / num_truths


def detection_ap(
    truths: Truths, detections: Detections, thresholds: Sequence[float] = TIOU_THRESHOLDS
) -> dict[str, Floats]:
    """AP of each class with annotated events at each temporal IoU, 0 to 1: class -> (thresholds,).

    >>> truths = {"a.mp4": [AnnotatedEvent("wave", 0, 4)], "b.mp4": []}
    >>> found = {"a.mp4": [Event("wave", 0, 3, 0.5)], "b.mp4": [Event("wave", 5, 6, 0.9)]}
    >>> detection_ap(truths, found, [0.5, 0.8])["wave"].tolist()
    [0.5, 0.0]
    """
    return {
        label: average_precision(hits_by_overlap(events, thresholds), len(events.truths))
        for label, events in events_by_class(truths, detections).items()
        if len(events.truths)
    }


def spotting_ap(
    truths: Truths,
    detections: Detections,
    tolerances: Sequence[float] = TOLERANCES,
    *,
    point: SpottingPoint = "start",
) -> dict[str, Floats]:
    """AP of each class with annotated events at each tolerance, 0 to 1: class -> (tolerances,)."""
    return {
        label: average_precision(hits_by_distance(events, tolerances, point), len(events.truths))
        for label, events in events_by_class(truths, detections).items()
        if len(events.truths)
    }


def _recordings(
    events: ClassEvents,
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Detections, by falling score, and truths of each recording that has both."""
    order = np.argsort(events.found_in, kind="stable")
    for number in np.intersect1d(events.found_in, events.annotated_in):
        first, last = np.searchsorted(events.found_in[order], [number, number + 1])
        begin, end = np.searchsorted(events.annotated_in, [number, number + 1])
        yield order[first:last], np.arange(begin, end)


def _blocks(found: npt.NDArray[np.intp], num_truths: int) -> Iterator[npt.NDArray[np.intp]]:
    size = max(1, BLOCK // num_truths)
    for first in range(0, len(found), size):
        yield found[first : first + size]


def _take(quality: Floats, least: float, free: Flags) -> npt.NDArray[np.intp]:
    """Let each detection (row) take the best of the free truths (columns), if it is good enough.

    Returns:
        (rows,), what each has taken; -1 for nothing.
    """
    taken = np.full(len(quality), -1)
    for row in np.flatnonzero(quality.max(axis=1) >= least - ROUNDING):
        open_to_it = np.where(free, quality[row], -np.inf)
        best = open_to_it.argmax()
        if open_to_it[best] >= least - ROUNDING:
            taken[row], free[best] = best, False
    return taken


def _times(event: AnnotatedEvent) -> tuple[float, float]:
    return float(event.start), float(event.end)


def _moments(stretches: Floats, point: SpottingPoint) -> Floats:
    return stretches[:, 0] if point == "start" else stretches.mean(axis=1)
