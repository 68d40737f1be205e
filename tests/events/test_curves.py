"""Curves of scores against plain loops."""

import numpy as np
import pytest

from mixtconv.detection.predict import messages
from mixtconv.detection.scorers import ScoredStep
from mixtconv.events.curves import MAX_CURVES, ScoreCurves
from mixtconv.events.detector import EventDetector
from mixtconv.events.event import AnnotatedEvent, Event
from mixtconv.events.settings import EventSettings
from mixtconv.events.temporal_detection import events_by_class, hits_by_overlap, matches


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 16, 17, 100, 129])
def test_a_point_is_the_highest_score_of_its_steps_and_none_is_lost(count) -> None:
    scores = np.random.default_rng(count).random((count, 2))
    curves = ScoreCurves(["a", "b"], max_points=8)
    for number, row in enumerate(scores):
        curves.push(number / 3, row)
    curves.finish(count / 3)
    width = 1
    while -(-count // width) > 8:
        width *= 2
    got = curves.to_dict(["b", "a"])
    assert got["starts"] == [round(n / 3, 3) for n in range(0, count, width)]
    assert got["end"] == round(count / 3, 3) and len(got["starts"]) <= 8
    for curve, column in zip(got["classes"], (1, 0), strict=True):
        expected = [max(scores[n : n + width, column]) for n in range(0, count, width)]
        assert curve["values"] == pytest.approx(expected, abs=5.01e-4)
        assert all(round(value, 3) == value for value in curve["values"])


def test_classes_with_events_are_shown_and_few_of_the_others() -> None:
    classes = [f"c{n}" for n in range(50)]
    curves = ScoreCurves(classes)
    curves.push(0, [n / 100 for n in range(50)])
    shown = curves.shown({"c3"})
    assert shown == ["c3", *classes[-(MAX_CURVES - 1) :]]
    assert curves.shown(classes) == classes


@pytest.mark.parametrize(("smoothing", "lag"), [(0, 0), (0.5, 0), (0.5, 0.3)])
def test_curves_are_what_the_thresholds_are_compared_with(smoothing, lag) -> None:
    """The mean of the steps that began within the smoothing time, at the middle one of them."""
    rng = np.random.default_rng(5)
    scores = (rng.random((60, 1)).cumsum(axis=0) % 7) / 7
    settings = EventSettings(
        smoothing_seconds=smoothing, lag_seconds=lag, min_seconds=0, bridge_seconds=0, leave=0.5
    )
    curves, expected = ScoreCurves(["wave"]), {}
    detector = EventDetector(["wave"], settings)
    steps = [ScoredStep(n / 10, (n + 1) / 10, row) for n, row in enumerate(scores)]
    events = [m.event for m in messages(detector, steps, curves) if m.state == "ended"]
    for last in range(60):
        first = max(0, last - round(10 * smoothing) + 1) if smoothing else last
        seconds = max(0, round((first + last) // 2 / 10 - lag, 6))
        mean = scores[first : last + 1, 0].mean()
        expected[seconds] = max(mean, expected.get(seconds, 0))
    got = curves.to_dict(["wave"])
    assert got["starts"] == sorted(expected)
    values = got["classes"][0]["values"]
    assert values == pytest.approx([expected[at] for at in got["starts"]], abs=6e-4)
    assert len(events) > 3
    for event in events:  # an event begins where its curve is above the threshold
        assert values[got["starts"].index(round(event.start, 3))] >= 0.5


def test_matches_are_the_hits_that_metrics_count() -> None:
    rng = np.random.default_rng(2)
    for _ in range(30):
        truths, found = [], []
        for label in "ab":
            for start in rng.uniform(0, 20, rng.integers(0, 6)):
                truths.append(AnnotatedEvent(label, start, start + rng.uniform(1, 5)))
            for start in rng.uniform(0, 20, rng.integers(0, 8)):
                found.append(Event(label, start, start + rng.uniform(1, 5), round(rng.random(), 1)))
        got = matches(truths, found, 0.3)
        taken = [number for number in got if number is not None]
        assert len(set(taken)) == len(taken)
        for event, number in zip(found, got, strict=True):
            if number is not None:
                true = truths[number]
                both = min(event.end, true.end) - max(event.start, true.start)
                joined = event.end - event.start + true.end - true.start - both
                assert true.label == event.label and both / joined >= 0.3
        classes = events_by_class({"day": truths}, {"day": found})
        hits = sum(hits_by_overlap(each, [0.3]).sum() for each in classes.values())
        assert len(taken) == hits
