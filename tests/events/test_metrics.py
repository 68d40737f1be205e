"""Measures of events against plain loops from their definitions, and worked by hand."""

import json
import math
from collections.abc import Iterator
from functools import cache

import numpy as np
import pytest

from mixtconv._strict_json import to_json
from mixtconv.events import temporal_detection
from mixtconv.events.event import AnnotatedEvent, Event
from mixtconv.events.metrics import event_metrics
from mixtconv.events.temporal_detection import detection_ap, spotting_ap
from mixtconv.events.temporal_segmentation import (
    SegmentCounts,
    edit_score,
    frame_accuracy,
    segment_counts,
    segments,
)

TIOUS, TOLERANCES = [0.1, 0.3, 0.5, 0.7], [0.25, 1.0, 3.0]

Truths = dict[str, list[AnnotatedEvent]]
Detections = dict[str, list[Event]]


def random_case(seed: int) -> tuple[Truths, Detections]:
    """Annotated events of three classes, and found ones: near them, elsewhere, and repeated."""
    rng = np.random.default_rng(seed)
    truths: Truths = {}
    detections: Detections = {}
    for name in "abc"[: rng.integers(1, 4)]:
        truths[name], detections[name] = [], []
        for start in np.round(np.sort(rng.uniform(0, 20, rng.integers(0, 9))), 1).tolist():
            end = round(start + float(rng.integers(1, 40)) / 10, 1)
            truths[name].append(AnnotatedEvent(str(rng.choice(["x", "y", "z"])), start, end))
        for _ in range(rng.integers(0, 20)):
            start, length = np.round((rng.uniform(0, 20), rng.uniform(0.1, 4)), 1).tolist()
            if truths[name] and rng.random() < 0.6:
                near = truths[name][rng.integers(len(truths[name]))]
                start = round(max(0, near.start + rng.integers(-5, 6) / 10), 1)
                length = round(near.end - near.start, 1)
            score = float(rng.integers(1, 8)) / 8  # many are equal
            label = str(rng.choice(["x", "y", "w"]))
            detections[name].append(Event(label, start, start + length, score))
    return truths, detections


def cases(count: int) -> Iterator[tuple[Truths, Detections]]:
    yield from map(random_case, range(count))


def slow_ap(truths: Truths, detections: Detections, label: str, closeness, least: float) -> float:
    """From the definition: precision at each recall is the best at this recall or a higher one.

    `closeness` says how well a detection fits an annotated event; `least` is what counts.
    """
    ranked = sorted(
        (-e.score, name, e.start, e.end)
        for name, events in detections.items()
        for e in events
        if e.label == label
    )
    num_truths = sum(e.label == label for events in truths.values() for e in events)
    taken: set[tuple[str, float, float, int]] = set()
    true_so_far, points = 0, []
    for rank, (_, name, start, end) in enumerate(ranked, start=1):
        best, chosen = -math.inf, None
        of_class = sorted(
            (e.start, e.end, n) for n, e in enumerate(truths[name]) if e.label == label
        )
        for truth in of_class:
            fit = closeness((start, end), truth[:2])
            if (name, *truth) not in taken and fit > best:
                best, chosen = fit, (name, *truth)
        if chosen and best >= least - 1e-9:
            taken.add(chosen)
            true_so_far += 1
        points.append((true_so_far, true_so_far / rank))
    return (
        sum(
            max((precision for true, precision in points if true >= level), default=0.0)
            for level in range(1, num_truths + 1)
        )
        / num_truths
    )


def slow_iou(one: tuple[float, float], other: tuple[float, float]) -> float:
    both = min(one[1], other[1]) - max(one[0], other[0])
    return max(0.0, both) / (one[1] - one[0] + other[1] - other[0] - max(0.0, both))


def test_detection_ap_is_that_of_plain_loops() -> None:
    for truths, detections in cases(120):
        found = detection_ap(truths, detections, TIOUS)
        assert set(found) == {e.label for events in truths.values() for e in events}
        for label, values in found.items():
            wanted = [slow_ap(truths, detections, label, slow_iou, least) for least in TIOUS]
            assert values.tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("point", ["start", "center"])
def test_spotting_ap_is_that_of_plain_loops(point: str) -> None:
    def nearness(one: tuple[float, float], other: tuple[float, float]) -> float:
        if point == "start":
            return -abs(one[0] - other[0])
        return -abs(sum(one) / 2 - sum(other) / 2)

    for truths, detections in cases(120):
        for label, values in spotting_ap(truths, detections, TOLERANCES, point=point).items():
            wanted = [slow_ap(truths, detections, label, nearness, -most) for most in TOLERANCES]
            assert values.tolist() == pytest.approx(wanted)


def test_many_detections_are_looked_at_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [detection_ap(*case, TIOUS) for case in cases(20)]
    monkeypatch.setattr(temporal_detection, "BLOCK", 7)
    for before, case in zip(whole, cases(20), strict=True):
        for label, values in detection_ap(*case, TIOUS).items():
            assert values.tolist() == before[label].tolist()


def test_the_order_of_lists_does_not_matter() -> None:
    for truths, detections in cases(30):
        turned = {name: events[::-1] for name, events in reversed(detections.items())}
        for label, values in detection_ap(truths, detections, TIOUS).items():
            assert detection_ap(truths, turned, TIOUS)[label].tolist() == values.tolist()


def ap(truths: list[AnnotatedEvent], detections: list[Event], tiou: float = 0.5) -> float:
    return detection_ap({"a": truths}, {"a": detections}, [tiou])["x"].item()


def truth(start: float, end: float) -> AnnotatedEvent:
    return AnnotatedEvent("x", start, end)


def found(start: float, end: float, score: float) -> Event:
    return Event("x", start, end, score)


def test_cases_worked_by_hand() -> None:
    two = [truth(0, 4), truth(10, 14)]
    assert ap(two, []) == 0
    assert ap(two, [found(0, 4, 0.9), found(10, 14, 0.8)]) == 1
    # hit, false, hit: precisions 1 and 2/3
    assert ap(two, [found(0, 4, 0.9), found(5, 6, 0.8), found(10, 14, 0.7)]) == pytest.approx(5 / 6)
    # false, hit, hit: the envelope raises 1/2 to 2/3
    assert ap(two, [found(5, 6, 0.9), found(0, 4, 0.8), found(10, 14, 0.7)]) == pytest.approx(2 / 3)
    # the second on one event is false
    assert ap(two, [found(0, 4, 0.9), found(0, 4, 0.8)]) == 0.5
    assert ap(two[:1], [found(0, 2, 0.9)]) == 1  # exactly one half
    assert ap(two[:1], [found(0, 1.99, 0.9)]) == 0
    # the best is taken, the next best is left for the second
    near = [truth(0, 4), truth(1, 5)]
    assert ap(near, [found(1, 5, 0.9), found(1, 5, 0.8)]) == 1


def test_an_event_found_in_another_recording_is_false() -> None:
    truths = {"a": [truth(0, 4)], "b": []}
    assert detection_ap(truths, {"a": [], "b": [found(0, 4, 0.9)]}, [0.5])["x"].item() == 0


def slow_labels(events: list[AnnotatedEvent], middle: float) -> set[str]:
    return {e.label for e in events if e.start <= middle < e.end}


def test_frame_accuracy_is_that_of_plain_loops() -> None:
    for seed, (truths, detections) in enumerate(cases(60)):
        rate = [10.0, 4.0, 30.0][seed % 3]
        durations = {name: 15.03 + number for number, name in enumerate(truths)}
        ignored = {"a": [(2.02, 5.01), (4, 6.33)]} if seed % 2 else {}
        right, quiet, by_class = [], [], {}
        for name, events in truths.items():
            for number in range(1000):
                middle = round((number + 0.5) / rate, 6)
                if middle >= durations[name]:
                    break
                if any(start <= middle < end for start, end in ignored.get(name, [])):
                    continue
                true = slow_labels(events, middle)
                guess = slow_labels(detections[name], middle)
                right.append(true == guess)
                if not true:
                    quiet.append(not guess)
                for label in true:
                    by_class.setdefault(label, []).append(label in guess)
        measured = frame_accuracy(
            truths, detections, durations, frames_per_second=rate, ignored=ignored
        )
        assert measured.overall == pytest.approx(100 * np.mean(right))
        assert measured.background == pytest.approx(
            100 * np.mean(quiet) if quiet else math.nan, nan_ok=True
        )
        for label, value in measured.by_class.items():
            wanted = 100 * np.mean(by_class[label]) if label in by_class else math.nan
            assert value == pytest.approx(wanted, nan_ok=True)


def slow_segments(events: list[AnnotatedEvent], step: float = 0.1) -> list[tuple[str, int, int]]:
    """Segments in labels of frames, of a class at a time; times are multiples of a step."""
    result = []
    for label in {event.label for event in events}:
        last = None
        for number in range(400):
            is_on = label in slow_labels(events, (number + 0.5) * step)
            if is_on and last == number - 1:
                result[-1] = (label, result[-1][1], number + 1)
            elif is_on:
                result.append((label, number, number + 1))
            last = number if is_on else last
    return sorted(result, key=lambda segment: (segment[1], segment[2], segment[0]))


def test_segments_are_those_in_labels_of_frames() -> None:
    for truths, detections in cases(20):
        for events in (*truths.values(), *detections.values()):
            wanted = slow_segments(events)
            assert [
                (s.label, round(10 * s.start), round(10 * s.end)) for s in segments(events)
            ] == wanted


def slow_distance(one: list[str], other: list[str]) -> int:
    @cache
    def between(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        replaced = between(i - 1, j - 1) + (one[i - 1] != other[j - 1])
        return min(replaced, between(i - 1, j) + 1, between(i, j - 1) + 1)

    return between(len(one), len(other))


def test_the_edit_score_is_that_of_the_recursion() -> None:
    for truths, detections in cases(40):
        scores = []
        for name in truths:
            true, guess = ([s[0] for s in slow_segments(e[name])] for e in (truths, detections))
            longest = max(len(true), len(guess))
            scores.append(1 - slow_distance(true, guess) / longest if longest else 1)
        assert edit_score(truths, detections) == pytest.approx(100 * np.mean(scores))


@pytest.mark.parametrize("overlap", [0.1, 0.25, 0.5])
def test_f1_is_that_of_plain_loops(overlap: float) -> None:
    for truths, detections in cases(40):
        true_positives = false_positives = missed = 0
        for name in truths:
            true, guess = slow_segments(truths[name]), slow_segments(detections[name])
            hit = [False] * len(true)
            for label, start, end in guess:
                best, at = 0.0, None
                for number, (true_label, *span) in enumerate(true):
                    if true_label == label and slow_iou((start, end), tuple(span)) > best:
                        best, at = slow_iou((start, end), tuple(span)), number
                if at is not None and best >= overlap - 1e-9 and not hit[at]:
                    hit[at] = True
                    true_positives += 1
                else:
                    false_positives += 1
            missed += hit.count(False)
        counts = sum(segment_counts(truths, detections, overlap).values(), SegmentCounts())
        assert counts == SegmentCounts(true_positives, false_positives, missed)


def test_one_segment_is_matched_once() -> None:
    halves = [found(0, 2, 0.9), found(2.5, 4, 0.9), found(9, 10, 0.9)]
    counts = segment_counts({"a": [truth(0, 4), truth(6, 7)]}, {"a": halves}, 0.25)["x"]
    assert counts == SegmentCounts(true=1, false=2, missed=1)
    assert counts.f1 == 40  # precision 1/3, recall 1/2


def test_all_measures_together() -> None:
    for truths, detections in cases(20):
        durations = dict.fromkeys(truths, 25.0)
        metrics = event_metrics(truths, detections, durations, tious=TIOUS, tolerances=TOLERANCES)
        by_class = detection_ap(truths, detections, TIOUS)
        if by_class:
            wanted = [
                100 * np.mean([values[at] for values in by_class.values()]) for at in range(4)
            ]
            assert list(metrics.detection_ap.values()) == pytest.approx(wanted)
            assert metrics.average_detection_ap == pytest.approx(np.mean(wanted))
        for label, values in spotting_ap(truths, detections, TOLERANCES).items():
            own = metrics.classes[label].spotting_ap
            assert list(own.values()) == pytest.approx(100 * values)
        assert metrics.num_truths == sum(map(len, truths.values()))
        assert metrics.num_detections == sum(map(len, detections.values()))
        assert metrics.edit_score == edit_score(truths, detections)


def test_precision_and_recall_count_all_classes() -> None:
    truths = {"a": [truth(0, 4), truth(10, 14), AnnotatedEvent("y", 20, 24)]}
    others = [Event("w", 0, 4, 0.9), Event("y", 22.5, 24, 0.9)]
    metrics = event_metrics(truths, {"a": [found(0, 4, 0.2), *others]}, {"a": 30.0})
    assert (metrics.precision, metrics.recall) == pytest.approx((100 / 3, 100 / 3))
    assert (metrics.classes["x"].precision, metrics.classes["x"].recall) == (100, 50)
    assert metrics.classes["w"].precision == 0 and math.isnan(metrics.classes["w"].recall)
    assert metrics.detection_ap[0.5] == 25  # of x and y; w was never annotated


def test_without_any_event_what_is_not_defined_is_null() -> None:
    metrics = event_metrics({"a": []}, {"a": []}, {"a": 10.0})
    assert (metrics.frame_accuracy, metrics.edit_score, metrics.num_truths) == (100, 100, 0)
    plain = json.loads(json.dumps(metrics.to_dict(), allow_nan=False))
    assert plain["detection_ap"]["0.5"] is None and plain["precision"] is None
    with_false = event_metrics({"a": []}, {"a": [found(0, 5, 0.9)]}, {"a": 10.0})
    assert (with_false.frame_accuracy, with_false.edit_score, with_false.precision) == (50, 0, 0)
    assert with_false.f1[0.5] == 0 and math.isnan(with_false.recall)
    assert math.isnan(event_metrics({}, {}, {}).frame_accuracy)


def test_measures_are_plain_values() -> None:
    metrics = event_metrics({"a": [truth(0, 4)]}, {"a": [found(0, 4, 0.5)]}, {"a": 8.0})
    plain = metrics.to_dict()
    assert plain == json.loads(to_json(plain))
    assert plain["detection_ap"]["0.7"] == 100.0
    assert plain["classes"]["x"]["spotting_ap"] == {
        "0.25": 100.0,
        "0.5": 100.0,
        "1": 100.0,
        "2": 100.0,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"detections": {}}, "recordings without detections, not even an empty list: a; give"),
        ({"truths": {}}, "recordings without annotation, not even an empty one: a; give"),
        ({"durations": {}}, "recordings without a duration: a; give one of each"),
        ({"ignored": {"b": []}}, "recordings with ignored stretches but no annotation: b"),
        ({"tious": [0]}, r"got temporal IoU \[0\]; give one or more above 0, at most 1"),
        ({"tolerances": []}, r"got tolerances \[\]; give one or more above 0"),
        ({"frames_per_second": 0}, "got 0 frames per second; give more than 0"),
        ({"detections": {"a": [Event("x", 0, 1, math.nan)]}}, "class 'x' has a score or time that"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    given = {"truths": {"a": []}, "detections": {"a": []}, "durations": {"a": 5.0}} | change
    with pytest.raises(ValueError, match=message) as error:
        event_metrics(**given)
    assert "\n" not in str(error.value)


def test_an_event_ends_after_its_start() -> None:
    with pytest.raises(ValueError, match="'x' goes from 4 to 4 s; give an end after its start"):
        truth(4, 4)
