"""Settings of events chosen on annotated recordings, such as those of validation.

One setting is varied at a time while the others stay, in two rounds (coordinate search); each value
of the small grid is tried on all recordings. What is chosen shall hold for other recordings:

- Of values within one point of the best, that nearest to where the search began is taken.
- A class gets thresholds of its own only if it has enough annotated events, and if they raise its
  measure by what two of its events are worth, at least two points.

Nothing is drawn by chance. Scores are smoothed once for each length, and only those of the last
length are kept.

The measure is mAP at a temporal IoU of 0.5, or F1@50. mAP ranks detections by score, so that false
ones of low score do not lower it: it finds low thresholds. F1 weighs false events and missed ones
alike, which is what a user of events wants to see.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise, product
from typing import Any

import numpy as np

from mixtconv._names import count_of, first_few, unknown_name
from mixtconv._strict_json import to_json
from mixtconv._types import Progress
from mixtconv.events.detector import events_of
from mixtconv.events.event import Event
from mixtconv.events.scores import ScoreSequence, SmoothedScores
from mixtconv.events.settings import EventRule, EventSettings, TuningMeasure
from mixtconv.events.temporal_detection import Truths, detection_ap, require_same_recordings
from mixtconv.events.temporal_segmentation import SegmentCounts, segment_counts

TIE = 1.0
"""Points of the measure within which values count as equal."""
MIN_TRUTHS = 5
"""Annotated events that a class needs for thresholds of its own."""

_ROUNDS = 2
_OVERLAP = 0.5
_THRESHOLDS = tuple(
    (enter, round(enter * fraction, 3))
    for enter, fraction in product((0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), (1, 0.7, 0.4))
)


@dataclass(frozen=True)
class TuningSpace:
    """Values that are tried, besides those that the search begins with."""

    thresholds: tuple[tuple[float, float], ...] = _THRESHOLDS
    """Scores to enter and to leave."""
    smoothing_seconds: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0)
    """Lengths of the moving average."""
    lag_seconds: tuple[float, ...] = (0.0, 0.1, 0.2, 0.4)
    """How late scores are."""
    min_seconds: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0)
    """Least lengths."""
    bridge_seconds: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0)
    """Gaps below which two stretches become one event."""

    @classmethod
    def of(cls, truths: Truths) -> "TuningSpace":
        """The values that fit annotated events.

        Averages, least lengths and bridges are parts of the length that nine of ten events exceed;
        bridges also of the gap between two events of a class that nine of ten exceed. Lags are
        parts of the median length.

        Raises:
            ValueError: there is no annotated event.

        >>> from mixtconv.events.event import AnnotatedEvent
        >>> TuningSpace.of({"a.mp4": [AnnotatedEvent("wave", 0, 2)]}).min_seconds
        (0.0, 0.5, 1.0, 1.5)
        """
        _require_events(truths)
        lengths = [float(e.end - e.start) for events in truths.values() for e in events]
        short, median = float(np.quantile(lengths, 0.1)), float(np.median(lengths))
        gaps = list(_gaps(truths))
        gap = float(np.quantile(gaps, 0.1)) if gaps else math.inf
        return cls(
            smoothing_seconds=_parts(short, 0, 0.125, 0.25, 0.5, 1),
            lag_seconds=_parts(median, 0, 0.05, 0.1, 0.15, 0.2, 0.3),
            min_seconds=_parts(short, 0, 0.25, 0.5, 0.75),
            bridge_seconds=_parts(min(short, gap), 0, 0.25, 0.5, 0.9),
        )


def _require_events(truths: Truths) -> None:
    if not any(truths.values()):
        raise ValueError("no recording has an annotated event; give some to tune on")


def _parts(whole: float, *fractions: float) -> tuple[float, ...]:
    return tuple(dict.fromkeys(round(whole * fraction, 3) for fraction in fractions))


def _gaps(truths: Truths) -> Iterator[float]:
    """Time between one event and the next of its class."""
    for events in truths.values():
        by_class: dict[str, list[tuple[float, float]]] = {}
        for event in events:
            by_class.setdefault(event.label, []).append((float(event.start), float(event.end)))
        for spans in by_class.values():
            for one, other in pairwise(sorted(spans)):
                if other[0] > one[1]:
                    yield other[0] - one[1]


@dataclass(frozen=True)
class TuningTrial:
    """One value that was tried, the other settings being as they were then."""

    setting: str
    """What was varied: `thresholds` are the scores to enter and to leave; `start` is nothing."""
    value: Any
    """What was tried."""
    score: float
    """The measure, in percent."""


@dataclass(frozen=True)
class EventTuning:
    """What was chosen, and how."""

    settings: EventSettings
    """The settings."""
    measure: TuningMeasure
    """What was maximised."""
    score: float
    """With these settings, in percent."""
    start_score: float
    """With those that the search began with."""
    trials: tuple[TuningTrial, ...]
    """All that was tried, in order."""
    notes: tuple[str, ...]
    """What to know about single classes, a line each."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "settings": self.settings.to_dict(),
            "measure": self.measure,
            "score": self.score,
            "start_score": self.start_score,
            "trials": [vars(trial) for trial in self.trials],
            "notes": list(self.notes),
        }


def tune_events(
    scores: Mapping[str, ScoreSequence],
    truths: Truths,
    *,
    start: EventSettings,
    space: TuningSpace | None = None,
    measure: TuningMeasure = "map",
    progress: Progress | None = None,
) -> EventTuning:
    """Choose thresholds, smoothing, lag, least length and bridge; what else `start` says stays.

    Args:
        scores: recording -> scores of the same classes.
        truths: recording -> annotated events; those of background do not count.
        start: where the search begins, and what it returns to where nothing is better.
        space: what is tried; by default what fits the annotated events.
        measure: what is maximised.
        progress: is called with how many values were tried, and how many there may be.

    Raises:
        ValueError: recordings or classes that do not fit each other, no annotated event, or a start
            with rules for single classes.
    """
    require_same_recordings(truths, scores)
    kept = {
        name: [event for event in events if event.label not in start.background]
        for name, events in truths.items()
    }
    _require_events(kept)
    space = TuningSpace.of(kept) if space is None else space
    classes = next(iter(scores.values())).classes
    other = sorted(name for name, each in scores.items() if each.classes != classes)
    if other:
        raise ValueError(f"{first_few(other)} has scores of other classes; give one model's")
    start.require_classes(classes)
    for label in sorted({event.label for events in kept.values() for event in events}):
        if label not in classes:
            raise unknown_name("class", label, classes)
    if start.class_rules:
        raise ValueError(
            f"the start has rules of its own for {first_few(sorted(start.class_rules))}; leave "
            "them out, they are what is looked for"
        )
    return _Search(scores, kept, start, space, measure, progress).run()


@dataclass(frozen=True)
class _Measured:
    """The measure of all classes and of each annotated one, in percent."""

    overall: float
    by_class: Mapping[str, float]


class _Search:
    def __init__(
        self,
        scores: Mapping[str, ScoreSequence],
        truths: Truths,
        start: EventSettings,
        space: TuningSpace,
        measure: TuningMeasure,
        progress: Progress | None,
    ) -> None:
        self._scores, self._truths, self._start = scores, truths, start
        self._measure = measure
        self._values: dict[str, tuple[Any, ...]] = {
            "thresholds": space.thresholds,
            "smoothing_seconds": space.smoothing_seconds,
            "lag_seconds": space.lag_seconds,
            "min_seconds": space.min_seconds,
            "bridge_seconds": space.bridge_seconds,
        }
        self._progress = progress
        self._most = _ROUNDS * sum(map(len, self._values.values())) + len(space.thresholds)
        self._trials: list[TuningTrial] = []
        self._known: dict[str, _Measured] = {}
        self._smoothed: tuple[float, dict[str, SmoothedScores]] = (math.nan, {})

    def run(self) -> EventTuning:
        settings = self._start
        start = self._try(settings, "start", None)
        for _ in range(_ROUNDS):
            before = settings
            for name in self._values:
                settings = self._best(settings, name)
            if settings == before:
                break
        settings, notes = self._with_own_thresholds(settings)
        score = self._of(settings).overall
        return EventTuning(
            settings, self._measure, score, start.overall, tuple(self._trials), tuple(notes)
        )

    def _best(self, settings: EventSettings, name: str) -> EventSettings:
        """The settings with the best value of one of them, or the nearest to it that is as good."""
        origin = _value(self._start, name)
        values = dict.fromkeys((origin, _value(settings, name), *self._values[name]))
        if len(values) == 1:
            return settings
        tried = []
        for value in values:
            changed = _with(settings, name, value)
            if changed is not None:
                tried.append((value, self._try(changed, name, value).overall, changed))
        best = max(score for _, score, _ in tried)
        ties = [(value, changed) for value, score, changed in tried if score >= best - TIE]
        return min(ties, key=lambda tie: _distance(tie[0], origin))[1]

    def _with_own_thresholds(self, settings: EventSettings) -> tuple[EventSettings, list[str]]:
        """Give classes thresholds of their own where these are clearly better."""
        common, origin = self._of(settings), _value(settings, "thresholds")
        tried = {_value(settings, "thresholds"): common.by_class}
        for value in self._values["thresholds"]:
            changed = _with(settings, "thresholds", value)
            assert changed is not None, "thresholds fit every other setting"
            tried[value] = self._try(changed, "thresholds", value).by_class
        rules, notes = {}, []
        for label, score in common.by_class.items():
            count = sum(e.label == label for events in self._truths.values() for e in events)
            if count < MIN_TRUTHS:
                notes.append(
                    f"{label}: {count_of(count, 'annotated event')}, too few for thresholds of its "
                    "own or to judge it"
                )
                continue
            best = max(by_class[label] for by_class in tried.values())
            if best - score < max(2.0, 200 / count):
                continue
            ties = [value for value in tried if tried[value][label] >= best - TIE]
            enter, leave = min(ties, key=lambda value: _distance(value, origin))
            rules[label] = EventRule(**_rule_values(settings) | {"enter": enter, "leave": leave})
            notes.append(
                f"{label}: thresholds of its own, {enter:g} and {leave:g}, raise its measure from "
                f"{score:.1f} to {tried[enter, leave][label]:.1f}"
            )
        own = replace(settings, class_rules=rules)
        if rules and self._try(own, "class_rules", sorted(rules)).overall <= common.overall:
            notes = [note for note in notes if "raise its measure" not in note]
            return settings, notes  # with one class at a time, classes depend on each other
        return own, notes

    def _try(self, settings: EventSettings, name: str, value: Any) -> _Measured:
        measured = self._of(settings)
        self._trials.append(TuningTrial(name, value, measured.overall))
        if self._progress is not None:
            self._progress(min(len(self._trials), self._most), self._most)
        return measured

    def _of(self, settings: EventSettings) -> _Measured:
        key = to_json(settings.to_dict())
        if key not in self._known:
            self._known[key] = self._measured(self._events(settings))
        return self._known[key]

    def _events(self, settings: EventSettings) -> dict[str, list[Event]]:
        length, smoothed = self._smoothed
        if length != settings.smoothing_seconds:
            length, hold = settings.smoothing_seconds, settings.hold_seconds
            smoothed = {
                name: SmoothedScores(scores, smoothing_seconds=length, hold_seconds=hold)
                for name, scores in self._scores.items()
            }
            self._smoothed = length, smoothed
        return {name: events_of(scores, settings) for name, scores in smoothed.items()}

    def _measured(self, events: Mapping[str, list[Event]]) -> _Measured:
        if self._measure == "map":
            precisions = detection_ap(self._truths, events, [_OVERLAP])
            by_class = {label: 100 * float(ap[0]) for label, ap in precisions.items()}
            return _Measured(float(np.mean(list(by_class.values()))), by_class)
        counts = segment_counts(self._truths, events, _OVERLAP)
        annotated = {e.label for truths in self._truths.values() for e in truths}
        by_class = {label: counts[label].f1 for label in sorted(annotated)}
        return _Measured(sum(counts.values(), SegmentCounts()).f1, by_class)


def _value(settings: EventSettings, name: str) -> Any:
    if name == "thresholds":
        return settings.enter, settings.leave_threshold
    return getattr(settings, name)


def _with(settings: EventSettings, name: str, value: Any) -> EventSettings | None:
    """The settings with another value; None if no event could be so long."""
    if value == _value(settings, name):
        return settings
    if name == "thresholds":
        return replace(settings, enter=value[0], leave=value[1])
    longest = settings.max_seconds
    if name == "min_seconds" and longest is not None and value > longest:
        return None
    return replace(settings, **{name: value})


def _distance(value: Any, origin: Any) -> float:
    return float(np.abs(np.subtract(value, origin)).sum())


def _rule_values(settings: EventSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in EventRule.__dataclass_fields__}
