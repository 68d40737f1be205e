"""Settings chosen on annotated recordings: by search over all values, and where nothing is won."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from mixtconv.events.detector import find_events
from mixtconv.events.event import AnnotatedEvent
from mixtconv.events.metrics import event_metrics
from mixtconv.events.scores import ScoreSequence
from mixtconv.events.settings import EventRule, EventSettings
from mixtconv.events.tuning import MIN_TRUTHS, EventTuning, TuningSpace, tune_events

CLASSES = ("nothing", "wave", "jump")
START = EventSettings(background=("nothing",))

Recordings = tuple[dict[str, ScoreSequence], dict[str, list[AnnotatedEvent]]]


def recordings(
    *, seed: int = 0, high: Sequence[float] = (0.8, 0.8), noise: float = 0.0, lag: float = 0.0
) -> Recordings:
    """Three minutes each, ten scores a second: `high` of each class within its events, else 0.1."""
    rng = np.random.default_rng(seed)
    scores, truths = {}, {}
    for name in ("a", "b", "c"):
        starts = np.arange(1800) / 10
        values = np.full((1800, 3), 0.1)
        truths[name] = []
        for number, start in enumerate(range(5, 170, 11)):
            label, end = CLASSES[1 + number % 2], start + int(rng.integers(2, 6))
            truths[name].append(AnnotatedEvent(label, start, end))
            inside = (starts >= start + lag) & (starts < end + lag)
            values[inside, 1 + number % 2] = high[number % 2]
        values = np.clip(values + noise * rng.normal(size=values.shape), 0, 1)
        scores[name] = ScoreSequence(CLASSES, starts, starts + 0.1, values)
    return scores, truths


def measured(data: Recordings, settings: EventSettings) -> dict[str, float]:
    """Both measures, by the functions that evaluation uses."""
    scores, truths = data
    found = {name: find_events(each, settings) for name, each in scores.items()}
    metrics = event_metrics(truths, found, dict.fromkeys(scores, 180.0))
    return {"map": metrics.detection_ap[0.5], "f1": metrics.f1[0.5]}


def only(**values: tuple[object, ...]) -> TuningSpace:
    """A space in which only some settings are varied."""
    names = "thresholds", "smoothing_seconds", "lag_seconds", "min_seconds", "bridge_seconds"
    return TuningSpace(**dict.fromkeys(names, ()) | values)


@pytest.mark.parametrize("measure", ["map", "f1"])
def test_the_score_is_that_of_evaluation_and_higher_than_before(measure: str) -> None:
    data = recordings(noise=0.25, high=(0.5, 0.4))
    tuned = tune_events(*data, start=START, measure=measure)
    assert tuned.score == pytest.approx(measured(data, tuned.settings)[measure])
    assert tuned.start_score == pytest.approx(measured(data, START)[measure])
    assert tuned.score > tuned.start_score + 10
    others = recordings(noise=0.25, high=(0.5, 0.4), seed=1)
    assert measured(others, tuned.settings)[measure] > measured(others, START)[measure] + 10


@pytest.mark.parametrize("name", ["smoothing_seconds", "lag_seconds", "min_seconds"])
def test_the_best_value_is_found_or_one_as_good_that_is_nearer_to_the_start(name: str) -> None:
    data = recordings(noise=0.3, high=(0.6, 0.6), lag=1.0)
    values = (0.0, 0.3, 0.6, 0.9, 1.4)
    tuned = tune_events(*data, start=START, space=only(**{name: values}))
    origin = getattr(START, name)
    by_value = {
        value: measured(data, replace(START, **{name: value}))["map"] for value in (*values, origin)
    }
    close = [value for value, score in by_value.items() if score >= max(by_value.values()) - 1]
    assert getattr(tuned.settings, name) == min(close, key=lambda value: abs(value - origin))
    tried = {trial.value: trial.score for trial in tuned.trials if trial.setting == name}
    assert tried == pytest.approx(by_value)


@pytest.mark.parametrize(("num_low", "enter"), [(1, 0.5), (3, 0.4)])
def test_what_is_within_one_point_is_not_worth_a_change(num_low: int, enter: float) -> None:
    """Of 150 events one counts two thirds of a point; `num_low` are found at 0.4 only."""
    steps, truth = [(0.0, 1.0, [0.0])], []
    for number in range(150):
        start = 5.0 * number + 1
        truth.append(AnnotatedEvent("wave", start, start + 3))
        score = 0.45 if number < num_low else 0.8
        steps += [(start, start + 3, [score]), (start + 3, start + 5, [0.0])]
    scores = {"a": ScoreSequence.of(["wave"], steps)}
    start = EventSettings(smoothing_seconds=0)
    space = only(thresholds=((0.4, 0.3), (0.6, 0.5)))
    tuned = tune_events(scores, {"a": truth}, start=start, space=space)
    assert tuned.settings.enter == enter


def test_late_scores_are_moved_back() -> None:
    data = recordings(lag=1.0)
    tuned = tune_events(*data, start=START)
    assert tuned.settings.lag_seconds > 0.3 and tuned.score == 100


def test_where_nothing_is_won_nothing_is_changed() -> None:
    tuned = tune_events(*recordings(), start=START)
    assert (tuned.score, tuned.start_score) == (100, 100)
    assert tuned.settings == START


def test_a_class_with_low_scores_gets_thresholds_of_its_own() -> None:
    """One class at 0.25 needs a threshold at which the noise of the other gives false events."""
    scores, truths = recordings(high=(0.8, 0.25))
    for each in scores.values():
        rows = np.asarray(each.scores)
        rows[::40, 1] = rows[1::40, 1] = rows[2::40, 1] = rows[3::40, 1] = 0.45
    start = replace(START, min_seconds=0.2, bridge_seconds=0.2, smoothing_seconds=0)
    thresholds = tuple((enter, 0.7 * enter) for enter in (0.2, 0.6))
    tuned = tune_events(
        scores, truths, start=start, space=only(thresholds=thresholds), measure="f1"
    )
    assert tuned.score > 95
    assert {label: rule.enter for label, rule in tuned.settings.class_rules.items()} == {
        "jump": 0.2
    }
    assert tuned.notes == (
        "jump: thresholds of its own, 0.2 and 0.14, raise its measure from 0.0 to 100.0",
    )


def test_a_class_with_few_events_keeps_the_common_thresholds() -> None:
    scores, truths = recordings(high=(0.8, 0.25))
    truths = {
        name: [e for e in events if e.label == "wave" or (name == "a" and e.start < 40)]
        for name, events in truths.items()
    }
    count = sum(e.label == "jump" for events in truths.values() for e in events)
    assert 0 < count < MIN_TRUTHS
    space = only(thresholds=((0.6, 0.5),))
    tuned = tune_events(scores, truths, start=START, space=space)
    assert tuned.settings.class_rules == {}
    assert tuned.notes == (
        f"jump: {count} annotated events, too few for thresholds of its own or to judge it",
    )


def test_the_order_of_recordings_does_not_matter_and_json_holds_the_result() -> None:
    scores, truths = recordings(noise=0.3, high=(0.6, 0.4))
    one = tune_events(scores, truths, start=START)
    turned = dict(reversed(scores.items())), dict(reversed(truths.items()))
    other: EventTuning = tune_events(*turned, start=START)
    assert one == other
    plain = json.loads(json.dumps(one.to_dict()))
    assert EventSettings.from_dict(plain["settings"]) == one.settings
    assert plain["trials"][0] == {"setting": "start", "value": None, "score": one.start_score}


def test_what_is_not_tuned_stays() -> None:
    start = replace(START, cooldown_seconds=2.0, max_seconds=5.0, hold_seconds=3.0, exclusive=True)
    settings = tune_events(*recordings(noise=0.3), start=start).settings
    for name in ("cooldown_seconds", "max_seconds", "hold_seconds", "exclusive", "background"):
        assert getattr(settings, name) == getattr(start, name)
    # a least length above the longest one is not tried
    short = replace(START, max_seconds=0.8)
    tuned = tune_events(*recordings(), start=short, space=only(min_seconds=(0.4, 2.0)))
    assert {t.value for t in tuned.trials if t.setting == "min_seconds"} == {0.4, 0.5}


def test_annotated_background_does_not_count() -> None:
    scores, truths = recordings()
    more = {name: [*e, AnnotatedEvent("nothing", 0, 4)] for name, e in truths.items()}
    assert tune_events(scores, more, start=START) == tune_events(scores, truths, start=START)


def test_the_values_that_are_tried_fit_the_annotated_events() -> None:
    events = [AnnotatedEvent("wave", 10 * k, 10 * k + 2 + k / 10) for k in range(11)]
    space = TuningSpace.of({"a": [*events, AnnotatedEvent("jump", 0, 4)]})
    short = np.quantile([*(2 + k / 10 for k in range(11)), 4], 0.1)
    assert space.min_seconds == pytest.approx((0, short / 4, short / 2, 0.75 * short), abs=1e-3)
    close = TuningSpace.of({"a": [AnnotatedEvent("wave", 3 * k, 3 * k + 2.5) for k in range(9)]})
    assert close.bridge_seconds == pytest.approx((0, 0.125, 0.25, 0.45))


def test_progress_is_told() -> None:
    calls: list[tuple[int, int]] = []
    tuned = tune_events(*recordings(), start=START, progress=lambda *call: calls.append(call))
    assert len(calls) == len(tuned.trials) and all(done <= most for done, most in calls)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"truths": {"a": []}}, "no recording has an annotated event; give some to tune on"),
        ({"truths": {"a": [AnnotatedEvent("wavy", 0, 1)]}}, "class 'wavy'; did you mean 'wave'"),
        ({"truths": {}}, "recordings without annotation, not even an empty one: a"),
        ({"start": EventSettings(background=("none",))}, "unknown class 'none'"),
        ({"start": replace(START, class_rules={"wave": EventRule()})}, "own for wave; leave them"),
    ],
)
def test_what_does_not_fit_is_refused(change: dict[str, object], message: str) -> None:
    scores, truths = recordings()
    given = {"scores": {"a": scores["a"]}, "truths": {"a": truths["a"]}, "start": START} | change
    with pytest.raises(ValueError, match=message) as error:
        tune_events(given["scores"], given["truths"], start=given["start"])
    assert "\n" not in str(error.value)


def test_scores_of_different_classes_are_refused() -> None:
    scores, truths = recordings()
    scores["b"] = ScoreSequence(CLASSES[::-1], [0], [1], [[0.1, 0.2, 0.3]])
    with pytest.raises(ValueError, match="b has scores of other classes; give one model's"):
        tune_events(scores, truths, start=START)
