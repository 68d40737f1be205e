"""Temporal action segmentation: frame-wise accuracy, edit score, F1 at an overlap.

As in "Temporal Convolutional Networks for Action Segmentation and Detection" (arXiv 1611.05267) and
the evaluation of MS-TCN (arXiv 1903.01945; `eval.py`), but from the times of events and not from
labels of frames:

- Frame-wise accuracy: the part of the frames whose labels are right, background among them. With
  several classes at a time, all labels of a frame have to be right.
- Edit score: 1 less the Levenshtein distance of the two sequences of labels, without background,
  divided by the length of the longer one; the mean over recordings.
- F1: a segment is true if the annotated segment of its class with the highest IoU was not matched
  before and the IoU reaches the threshold; segments are taken in the order of time, without scores.

Segments of a class that touch or overlap are one here, as they are in labels of frames. Two
annotated events without a gap are two in `temporal_detection`.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mixtconv._names import first_few
from mixtconv.events.event import AnnotatedEvent, in_order
from mixtconv.events.temporal_detection import (
    ROUNDING,
    Flags,
    Truths,
    require_same_recordings,
    temporal_iou,
)

F1_OVERLAPS = (0.1, 0.25, 0.5)
"""F1@10, F1@25 and F1@50."""

Stretches = Collection[tuple[float, float]]
"""Starts and ends, in seconds."""


def percent(part: float, whole: float) -> float:
    """100 part / whole; NaN of nothing."""
    return float(100 * part / whole) if whole else math.nan


@dataclass(frozen=True)
class FrameAccuracy:
    """Frames with the right labels, in percent; NaN where there are no such frames."""

    overall: float
    """Of all frames."""
    background: float
    """Of the frames without a class: those in which none was found."""
    by_class: Mapping[str, float]
    """Of the frames with each annotated class: those in which it was found."""


def frame_accuracy(
    truths: Truths,
    detections: Truths,
    durations: Mapping[str, float],
    *,
    frames_per_second: float = 25.0,
    ignored: Mapping[str, Stretches] | None = None,
) -> FrameAccuracy:
    """Frame-wise accuracy over the frames of all recordings.

    Args:
        truths, detections: of each recording.
        durations: of each recording, in seconds.
        frames_per_second: frames that are looked at, each in its middle.
        ignored: recording -> stretches whose frames are left out.

    Raises:
        ValueError: recordings that are not the same, or a rate that is not above 0.

    >>> truths = {"a.mp4": [AnnotatedEvent("wave", 0, 4)]}
    >>> frame_accuracy(truths, {"a.mp4": []}, {"a.mp4": 10.0}).overall
    60.0
    """
    require_same_recordings(truths, detections)
    ignored = ignored or {}
    without = sorted(set(truths) - set(durations))
    if without or set(ignored) - set(truths):
        names = without or sorted(set(ignored) - set(truths))
        what = "without a duration" if without else "with ignored stretches but no annotation"
        raise ValueError(f"recordings {what}: {first_few(names)}; give one of each")
    if not 0 < frames_per_second < math.inf:
        raise ValueError(f"got {frames_per_second} frames per second; give more than 0")
    labels = sorted({event.label for events in truths.values() for event in events})
    num_frames = num_right = num_quiet = num_quiet_right = 0
    num_of_class, num_found = np.zeros((2, len(labels)), np.int64)
    for name, events in truths.items():
        count = max(0, math.ceil(durations[name] * frames_per_second - 0.5 - ROUNDING))
        others = {event.label for event in detections[name]} - set(labels)
        every = [*labels, *sorted(others)]
        true = _label_frames(events, every, count, frames_per_second)  # (K, F)
        found = _label_frames(detections[name], every, count, frames_per_second)
        ignorable = [AnnotatedEvent("", start, end) for start, end in ignored.get(name, ())]
        kept = ~_label_frames(ignorable, [""], count, frames_per_second)[0]
        true, found = true[:, kept], found[:, kept]
        quiet = ~true.any(axis=0)
        num_frames += true.shape[1]
        num_right += int((true == found).all(axis=0).sum())
        num_quiet += int(quiet.sum())
        num_quiet_right += int((quiet & ~found.any(axis=0)).sum())
        num_of_class += true.sum(axis=1)[: len(labels)]
        num_found += (true & found).sum(axis=1)[: len(labels)]
    return FrameAccuracy(
        percent(num_right, num_frames),
        percent(num_quiet_right, num_quiet),
        {
            label: percent(found, whole)
            for label, found, whole in zip(labels, num_found, num_of_class, strict=True)
        },
    )


def edit_score(truths: Truths, detections: Truths) -> float:
    """Segmental edit score in percent: the mean over recordings.

    A recording without any segment, annotated or found, has 100.

    >>> truths = {"a.mp4": [AnnotatedEvent("wave", 0, 4), AnnotatedEvent("jump", 5, 7)]}
    >>> edit_score(truths, {"a.mp4": truths["a.mp4"][1:]})
    50.0
    """
    require_same_recordings(truths, detections)
    scores = []
    for name, events in truths.items():
        true, found = ([s.label for s in segments(each)] for each in (events, detections[name]))
        longest = max(len(true), len(found))
        scores.append(100 * (1 - _levenshtein(true, found) / longest) if longest else 100.0)
    return float(np.mean(scores)) if scores else math.nan


@dataclass(frozen=True)
class SegmentCounts:
    """Segments that are true, false or missed."""

    true: int = 0
    false: int = 0
    missed: int = 0

    def __add__(self, other: "SegmentCounts") -> "SegmentCounts":
        return SegmentCounts(
            self.true + other.true, self.false + other.false, self.missed + other.missed
        )

    @property
    def f1(self) -> float:
        """In percent; NaN without any segment."""
        return percent(2 * self.true, 2 * self.true + self.false + self.missed)


def segment_counts(truths: Truths, detections: Truths, overlap: float) -> dict[str, SegmentCounts]:
    """Segments of each class at a least IoU, over all recordings; their sum is that of all classes.

    >>> truths = {"a.mp4": [AnnotatedEvent("wave", 0, 4), AnnotatedEvent("jump", 5, 7)]}
    >>> counts = segment_counts(truths, {"a.mp4": [AnnotatedEvent("wave", 1, 4)]}, 0.5)
    >>> counts["wave"].f1, round(sum(counts.values(), SegmentCounts()).f1, 2)
    (100.0, 66.67)
    """
    require_same_recordings(truths, detections)
    counts: dict[str, SegmentCounts] = {}
    for name, events in truths.items():
        true, found = segments(events), segments(detections[name])
        for label in sorted({segment.label for segment in (*true, *found)}):
            spans, true_spans = (
                np.array([(s.start, s.end) for s in each if s.label == label]).reshape(-1, 2)
                for each in (found, true)
            )
            hits = _num_hits(spans, true_spans, overlap)
            new = SegmentCounts(hits, len(spans) - hits, len(true_spans) - hits)
            counts[label] = counts.get(label, SegmentCounts()) + new
    return counts


def segments(events: Sequence[AnnotatedEvent]) -> list[AnnotatedEvent]:
    """Events by start, end and class; those of a class that touch or overlap as one.

    >>> segments([AnnotatedEvent("wave", 2, 4), AnnotatedEvent("wave", 0, 2)])
    [AnnotatedEvent(label='wave', start=0, end=4)]
    """
    joined: dict[str, list[AnnotatedEvent]] = {}
    for event in in_order(events):
        same = joined.setdefault(event.label, [])
        if same and event.start <= same[-1].end + ROUNDING:
            same[-1] = AnnotatedEvent(event.label, same[-1].start, max(same[-1].end, event.end))
        else:
            same.append(AnnotatedEvent(event.label, event.start, event.end))
    return in_order(segment for same in joined.values() for segment in same)


def _num_hits(spans: npt.NDArray[np.float64], true: npt.NDArray[np.float64], least: float) -> int:
    """Segments (N, 2) in order, matched to annotated ones (M, 2), each of which counts once."""
    if not len(spans) or not len(true):
        return 0
    overlaps = temporal_iou(spans, true)  # (N, M)
    best = overlaps.argmax(axis=1)
    reaches = overlaps[np.arange(len(spans)), best] >= least - ROUNDING
    return len(np.unique(best[reaches]))


def _levenshtein(one: Sequence[str], other: Sequence[str]) -> int:
    """Least number of labels to insert, remove or replace; one row of the table at a time."""
    places = np.arange(len(other) + 1)
    names = np.array(other, dtype=object)
    row = places
    for at, label in enumerate(one, start=1):
        best = np.append(at, np.minimum(row[1:] + 1, row[:-1] + (names != label)))
        # and inserting: the least of the entries to the left plus the steps from there
        row = np.minimum.accumulate(best - places) + places
    return int(row[-1])


def _label_frames(
    events: Sequence[AnnotatedEvent], labels: Sequence[str], count: int, rate: float
) -> Flags:
    """Which frames, by their middles, each label covers: (labels, count)."""
    number = {label: at for at, label in enumerate(labels)}
    changes = np.zeros((len(labels), count + 1), np.int64)
    for event in events:
        first, after = (
            min(max(0, math.ceil(time * rate - 0.5 - ROUNDING)), count)
            for time in (event.start, event.end)
        )
        changes[number[event.label], first] += 1
        changes[number[event.label], after] -= 1
    return changes.cumsum(axis=1)[:, :count] > 0
