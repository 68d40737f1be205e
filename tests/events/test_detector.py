"""Events from scores: step by step as all at once, against plain loops, and worked by hand."""

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from mixtconv.events.detector import EventDetector, find_events
from mixtconv.events.event import Event, EventMessage
from mixtconv.events.scores import ScoreSequence
from mixtconv.events.settings import EventRule, EventSettings

CLASSES = ("nothing", "wave", "jump", "run")
EVERY = EventSettings(
    smoothing_seconds=0, bridge_seconds=0, min_seconds=0, hold_seconds=0, leave=0.5
)
"""Every step above one half is an event, together with its neighbours."""


def pushed(scores: ScoreSequence, settings: EventSettings) -> list[EventMessage]:
    detector = EventDetector(scores.classes, settings)
    messages = []
    for step in zip(scores.starts, scores.ends, scores.scores, strict=True):
        messages += detector.push(*step)
    return messages + detector.finish()


def ended(messages: list[EventMessage]) -> list[Event]:
    events = [message.event for message in messages if message.state == "ended"]
    return sorted(events, key=lambda event: (event.start, event.end, event.label))


def random_scores(rng: np.random.Generator, *, num_classes: int = 4) -> ScoreSequence:
    """Scores that change slowly, at even, uneven or overlapping steps, with some missing."""
    num_steps = int(rng.integers(0, 90))
    noise = rng.normal(size=(num_steps, num_classes))
    level = np.zeros((num_steps, num_classes))
    for at in range(1, num_steps):
        level[at] = 0.8 * level[at - 1] + noise[at]
    scores = np.round(1 / (1 + np.exp(-level)), int(rng.integers(1, 7)))
    period = rng.choice([0.04, 0.1, 1 / 3, 1001 / 30000])
    kind = rng.integers(4)
    starts = period * np.arange(num_steps)
    if kind >= 2:
        starts = starts + period * rng.choice([0, 0.5, -0.5, 1], num_steps)  # also equal times
        starts = np.maximum.accumulate(starts - starts.min(initial=0))
    ends = starts + period * rng.choice([1.0, 4.0])
    kept = rng.random(num_steps) > 0.1 if kind % 2 else np.ones(num_steps, bool)
    kept[20:50] &= rng.random() > 0.5  # a long time without scores
    classes = CLASSES[:num_classes]
    return ScoreSequence(classes, starts[kept], ends[kept], scores[kept])


def random_rule(rng: np.random.Generator) -> EventRule:
    enter = rng.choice([0.3, 0.5, 0.7])
    longest = rng.choice([0.05, 0.5, 2.0])
    return EventRule(
        enter=enter,
        leave=rng.choice([None, enter, 0.5 * enter]),
        min_seconds=min(rng.choice([0, 0.2, 0.5]), longest),
        bridge_seconds=rng.choice([0, 0.1, 0.25, 1]),
        cooldown_seconds=rng.choice([0, 0, 0.3, 1.1]),
        max_seconds=rng.choice([None, longest]),
    )


def random_settings(rng: np.random.Generator, *, exclusive: bool) -> EventSettings:
    common = {name: getattr(random_rule(rng), name) for name in ("enter", "bridge_seconds")}
    return EventSettings(
        **common,
        smoothing_seconds=rng.choice([0, 0.1, 0.4, 1.5]),
        lag_seconds=rng.choice([0, 0, 0.25]),
        hold_seconds=rng.choice([0, 0.2, 1]),
        exclusive=exclusive,
        background=("nothing",) if rng.random() < 0.7 else (),
        class_rules={label: random_rule(rng) for label in ("wave", "jump")},
    )


def random_cases(count: int, *, exclusive: bool) -> Iterator[tuple[ScoreSequence, EventSettings]]:
    for seed in range(count):
        rng = np.random.default_rng(seed)
        yield random_scores(rng), random_settings(rng, exclusive=exclusive)


@pytest.mark.parametrize("exclusive", [False, True])
def test_one_step_after_the_other_gives_what_all_at_once_give(exclusive: bool) -> None:
    count = 0
    for scores, settings in random_cases(300, exclusive=exclusive):
        found = find_events(scores, settings)
        assert ended(pushed(scores, settings)) == found
        count += len(found)
    assert count > 1000


@pytest.mark.parametrize("exclusive", [False, True])
def test_every_event_is_announced_once_and_ends_later(exclusive: bool) -> None:
    for scores, settings in random_cases(100, exclusive=exclusive):
        check_messages(scores, settings)


def check_messages(scores: ScoreSequence, settings: EventSettings) -> None:
    detector = EventDetector(scores.classes, settings)
    is_open: set[tuple[str, float]] = set()
    for step in [*zip(scores.starts, scores.ends, scores.scores, strict=True), None]:
        for message in detector.push(*step) if step else detector.finish():
            key = message.event.label, message.event.start
            assert (key in is_open) == (message.state == "ended")
            is_open ^= {key}
        assert {(event.label, event.start) for event in detector.open_events()} == is_open
    assert not is_open


def slow_events(scores: ScoreSequence, settings: EventSettings) -> list[Event]:
    """By plain loops over whole microseconds and millionths; classes do not depend on another."""
    starts, ends = ([round(x * 10**6) for x in times] for times in (scores.starts, scores.ends))
    hold, window, lag = (
        round(x * 10**6)
        for x in (settings.hold_seconds, settings.smoothing_seconds, settings.lag_seconds)
    )
    parts: list[list[int]] = []  # steps between breaks
    for at, start in enumerate(starts):
        if at == 0 or start - ends[at - 1] > hold:
            parts.append([])
        parts[-1].append(at)
    begins: list[int] = []
    for part in parts:
        for at in part:
            begin = starts[at]
            if at != part[0] and starts[at] < ends[at - 1]:
                begin = (starts[at - 1] + ends[at - 1] + starts[at] + ends[at]) // 4
            begin = max(begin - lag, starts[part[0]])
            begins.append(max(begin, begins[-1] + 1) if begins else begin)
    events = []
    for column, label in enumerate(scores.classes):
        if label in settings.background:
            continue
        rule, row = settings.rule_of(label), [round(x * 10**6) for x in scores.scores[:, column]]
        runs: list[list[int]] = []
        for part in parts:
            active = False
            for at in part:
                box = [k for k in part if k <= at and (starts[k] > starts[at] - window or k == at)]
                mean = Fraction(sum(row[k] for k in box), len(box))
                was, middle = active, begins[(box[0] + at) // 2]
                threshold = rule.leave_threshold if active else rule.enter
                active = mean >= round(threshold * 10**6)
                if active and not was:
                    runs.append([middle, max(ends[part[-1]], begins[part[-1]] + 1)])
                if was and not active:
                    runs[-1][1] = middle
        for start, end in slow_stretches(runs, rule):
            score = slow_mean(row, begins, start, end)
            events.append(Event(label, start / 10**6, end / 10**6, score))
    return sorted(events, key=lambda event: (event.start, event.end, event.label))


def slow_mean(row: list[int], begins: list[int], start: int, end: int) -> float:
    inside = [k for k in range(len(row)) if start <= begins[k] < end]
    if not inside:  # within one step
        inside = [max(k for k in range(len(row)) if begins[k] <= start)]
    return sum(row[k] for k in inside) / (len(inside) * 10**6)


def slow_stretches(runs: list[list[int]], rule: EventRule) -> list[list[int]]:
    """Bridged, cut and long enough, one after the other; in microseconds."""
    least, bridge, cooldown = (
        round(x * 10**6) for x in (rule.min_seconds, rule.bridge_seconds, rule.cooldown_seconds)
    )
    longest = None if rule.max_seconds is None else round(rule.max_seconds * 10**6)
    kept: list[list[int]] = []
    current: list[int] | None = None

    def close() -> None:
        nonlocal current
        if current and current[1] - current[0] >= least:
            kept.append(current)
        current = None

    for begun, end in runs:
        start = begun
        joins = current is not None and start - current[1] < bridge
        if joins and longest is not None and start - current[0] >= longest:
            joins = False
        if joins:
            current = [current[0], end]
        else:
            close()
            if kept:
                start = max(start, kept[-1][1] + cooldown)
            current = [start, end] if end > start else None
        while current and longest is not None and current[1] - current[0] >= longest:
            kept.append([current[0], current[0] + longest])
            start = kept[-1][1] + cooldown
            current = [start, end] if end > start else None
    close()
    return kept


def test_events_are_those_of_plain_loops() -> None:
    for scores, settings in random_cases(400, exclusive=False):
        assert find_events(scores, settings) == slow_events(scores, settings)


def steps(*rows: list[float], seconds: float = 1.0) -> ScoreSequence:
    """Steps of equal length, each with its scores."""
    return ScoreSequence.of(
        CLASSES[: len(rows[0])],
        [(at * seconds, (at + 1) * seconds, row) for at, row in enumerate(rows)],
    )


def one_class(scores: str, seconds: float = 1.0) -> ScoreSequence:
    """Steps of one class, each a tenth: `0950`."""
    return ScoreSequence.of(
        ["wave"],
        [(at * seconds, (at + 1) * seconds, [int(x) / 10]) for at, x in enumerate(scores)],
    )


def spans(scores: ScoreSequence, **settings: object) -> list[tuple[float, float]]:
    found = find_events(scores, replace(EVERY, **settings))
    return [(event.start, event.end) for event in found]


def test_hysteresis_leaves_lower_than_it_enters() -> None:
    assert spans(one_class("0406939405"), enter=0.6, leave=0.4) == [(3, 5), (6, 8)]
    assert spans(one_class("0406939405"), enter=0.6, leave=0.3) == [(3, 8)]
    assert spans(one_class("0406"), enter=0.6, leave=0.6) == [(3, 4)]


def test_gaps_shorter_than_the_bridge_are_joined() -> None:
    assert spans(one_class("90900900090"), bridge_seconds=3) == [(0, 6), (9, 10)]
    assert spans(one_class("909"), bridge_seconds=1) == [(0, 1), (2, 3)]


def test_short_events_are_dropped_after_bridging() -> None:
    assert spans(one_class("9090009"), min_seconds=2, bridge_seconds=2) == [(0, 3)]
    assert spans(one_class("0990"), min_seconds=2) == [(1, 3)]


def test_after_an_event_none_of_its_class_starts_in_the_cooldown() -> None:
    assert spans(one_class("9099900999"), cooldown_seconds=2) == [(0, 1), (3, 5), (7, 10)]
    # what was dropped for its length has no cool-down
    assert spans(one_class("90999"), cooldown_seconds=4, min_seconds=2) == [(2, 5)]
    two = steps([0, 0.9, 0], [0, 0, 0.9], [0, 0.9, 0.9])
    found = find_events(two, replace(EVERY, cooldown_seconds=2))
    assert [(e.label, e.start, e.end) for e in found] == [("wave", 0, 1), ("jump", 1, 3)]


def test_the_longest_event_is_cut_and_goes_on_after_the_cooldown() -> None:
    assert spans(one_class("99999"), max_seconds=2) == [(0, 2), (2, 4), (4, 5)]
    assert spans(one_class("99999"), max_seconds=2, min_seconds=2) == [(0, 2), (2, 4)]
    assert spans(one_class("99999"), max_seconds=2, cooldown_seconds=1) == [(0, 2), (3, 5)]
    assert spans(one_class("90099"), max_seconds=2, bridge_seconds=3) == [(0, 1), (3, 5)]


def test_an_average_of_the_past_gives_the_times_of_one_around_each_moment() -> None:
    """A step of height 1 crosses one half where it is, on both sides, however long the average."""
    scores = one_class("0" * 20 + "9" * 20 + "0" * 20, seconds=0.1)
    for length in (0.1, 0.3, 0.5, 0.9, 1.3):
        found = spans(scores, smoothing_seconds=length, enter=0.45, leave=0.45)
        assert found == [(2.0, 4.0)], length


def test_a_lag_moves_events_back_but_not_before_the_recording() -> None:
    assert spans(one_class("0099900"), lag_seconds=1) == [(1, 4)]
    assert spans(one_class("9990099"), lag_seconds=1.5)[1:] == [(3.5, 7)]  # the end stays
    assert spans(one_class("9990000"), lag_seconds=1.5)[0] == pytest.approx((0, 1.5), abs=1e-5)


def test_the_score_is_the_mean_over_the_event() -> None:
    (event,) = find_events(one_class("069360"), replace(EVERY, bridge_seconds=2, leave=0.5))
    assert (event.start, event.end, event.score) == (1, 5, pytest.approx((6 + 9 + 3 + 6) / 40))


def test_equal_scores_meet_their_threshold_exactly() -> None:
    for score in (0.1, 0.3, 0.7, float(np.float32(0.7))):
        rows = [(k / 30, (k + 1) / 30, [score]) for k in range(100)]
        settings = replace(EVERY, enter=round(score, 3), leave=0.0, smoothing_seconds=0.7)
        (event,) = find_events(ScoreSequence.of(["wave"], rows), settings)
        assert event.start == 0 and event.score == pytest.approx(score, abs=1e-6)


def test_windows_that_overlap_share_the_time_halfway_between_their_centres() -> None:
    rows = [(2.0 * k, 2.0 * k + 4, [p]) for k, p in enumerate([0, 0.9, 0.9, 0])]
    (event,) = find_events(ScoreSequence.of(["wave"], rows), EVERY)
    assert (event.start, event.end) == (3, 7)


def test_dropped_frames_are_held_over_and_long_silence_ends_events() -> None:
    rows = [(0, 1, [0.9]), (1, 2, [0.9]), (4, 5, [0.9])]
    scores = ScoreSequence.of(["wave"], rows)
    assert spans(scores, hold_seconds=2) == [(0, 5)]
    assert spans(scores, hold_seconds=1.9) == [(0, 2), (4, 5)]
    assert spans(scores, hold_seconds=1.9, bridge_seconds=2.1) == [(0, 5)]
    # what was seen before the silence is not averaged with what comes after
    quiet = ScoreSequence.of(["wave"], [(0, 1, [1.0]), (1, 2, [1.0]), (9, 10, [0.4])])
    assert spans(quiet, smoothing_seconds=20, hold_seconds=1) == [(0, 2)]


def exclusive(*rows: list[float], **settings: object) -> list[tuple[str, float, float]]:
    chosen = replace(EVERY, exclusive=True, background=("nothing",), **settings)
    return [(e.label, e.start, e.end) for e in find_events(steps(*rows), chosen)]


NOTHING, WAVE, JUMP = [0.9, 0.5, 0.1], [0.1, 0.9, 0.6], [0.1, 0.6, 0.9]


def test_one_class_at_a_time_is_that_with_the_highest_score_or_none() -> None:
    rows = [NOTHING, WAVE, WAVE, JUMP, NOTHING, JUMP]
    assert exclusive(*rows) == [("wave", 1, 3), ("jump", 3, 4), ("jump", 5, 6)]


def test_one_class_at_a_time_is_bridged_over_what_is_too_short_for_an_event() -> None:
    rows = [WAVE, WAVE, JUMP, WAVE, WAVE, NOTHING]
    assert exclusive(*rows, bridge_seconds=2, min_seconds=2) == [("wave", 0, 5)]
    short = [("wave", 0, 2), ("jump", 2, 3), ("wave", 3, 5)]
    assert exclusive(*rows, bridge_seconds=2, min_seconds=1) == short
    # each is in a gap of the other: the first that is bridged takes the other one's place
    rows = [WAVE, JUMP, WAVE, JUMP, WAVE]
    assert exclusive(*rows, bridge_seconds=2, min_seconds=2) == [("wave", 0, 5)]


def test_one_class_at_a_time_gives_events_that_do_not_overlap() -> None:
    for scores, settings in random_cases(300, exclusive=True):
        for one, other in pairwise(find_events(scores, settings)):
            assert one.end <= other.start


def test_background_gives_no_events() -> None:
    assert {e.label for e in find_events(steps([0.9, 0.9, 0.9]), EVERY)} == set(CLASSES[:3])
    some = replace(EVERY, background=("nothing", "jump"))
    assert {e.label for e in find_events(steps([0.9, 0.9, 0.9]), some)} == {"wave"}


def test_a_recording_without_scores_has_no_events() -> None:
    assert find_events(ScoreSequence.of(CLASSES, []), EVERY) == []
    assert EventDetector(CLASSES, EVERY).finish() == []


def test_memory_does_not_grow_with_the_stream() -> None:
    detector = EventDetector(["wave"], replace(EVERY, smoothing_seconds=1.0))
    for at in range(5000):
        detector.push(at / 10, (at + 1) / 10, [0.9])
    assert len(detector._steps.starts) <= 12
    assert detector.finish()[-1].event == Event("wave", 0, 500, pytest.approx(0.9))


def test_messages_are_plain_values() -> None:
    messages = pushed(one_class("099"), EVERY)
    assert [json.loads(json.dumps(message.to_dict())) for message in messages] == [
        {"state": "started", "label": "wave", "start": 1.0, "score": 0.9},
        {"state": "ended", "label": "wave", "start": 1.0, "end": 3.0, "score": 0.9},
    ]


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ((1, 2, [0.5, float("nan")]), "score of 'jump' at 1 s is nan; give probabilities"),
        ((1, 2, [-3.5, 0.1]), "score of 'wave' at 1 s is -3.5; give probabilities"),
        ((1, 2, [0.5]), r"got scores \(1,\); give one of each of 2"),
        ((2, 2, [0.5, 0.5]), "goes from 2 to 2 s; give an end after its start"),
        ((float("nan"), 2, [0.5, 0.5]), "goes from nan to 2 s"),
        ((-1, 0.5, [0.5, 0.5]), "a step from -1 to 0.5 s follows one from 0 to 1 s; give steps in"),
    ],
)
def test_a_step_that_is_none_is_refused(
    step: tuple[float, float, list[float]], message: str
) -> None:
    detector = EventDetector(["wave", "jump"], EVERY)
    detector.push(0, 1, [0.5, 0.5])
    with pytest.raises(ValueError, match=message):
        detector.push(*step)


def test_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got starts \(2,\), ends \(2,\) and scores \(1, 1\)"):
        ScoreSequence(("wave",), [0, 1], [1, 2], [[0.5]])
    with pytest.raises(ValueError, match="a step from 0 to 1 s follows one from 1 to 2 s"):
        ScoreSequence(("wave",), [1, 0], [2, 1], [[0.5], [0.5]])
    with pytest.raises(ValueError, match="classes are wave, wave; give one or more different"):
        ScoreSequence(("wave", "wave"), [0], [1], [[0.5, 0.5]])


def test_a_finished_detector_takes_no_more() -> None:
    detector = EventDetector(["wave"], EVERY)
    detector.finish()
    with pytest.raises(ValueError, match="was finished; make a new one"):
        detector.push(0, 1, [0.5])
