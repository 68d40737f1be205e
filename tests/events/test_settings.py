"""Settings of events: stored and read again, and refused in one line."""

import json

import pytest

from mixtconv.events.detector import EventDetector
from mixtconv.events.settings import EventRule, EventSettings

SETTINGS = EventSettings(
    enter=0.6,
    leave=0.4,
    cooldown_seconds=2.0,
    exclusive=True,
    background=("nothing", "other"),
    class_rules={"wave": EventRule(enter=0.7, max_seconds=9), "jump": EventRule(min_seconds=0)},
)


def test_settings_go_through_json_unchanged() -> None:
    assert EventSettings.from_dict(json.loads(json.dumps(SETTINGS.to_dict()))) == SETTINGS
    assert EventSettings.from_dict({}) == EventSettings()


def test_what_a_class_has_not_of_its_own_is_as_for_all() -> None:
    settings = EventSettings.from_dict(
        {"enter": 0.8, "min_seconds": 2, "class_rules": {"wave": {"enter": 0.9}}}
    )
    assert settings.rule_of("wave") == EventRule(enter=0.9, min_seconds=2)
    assert (settings.rule_of("jump").enter, settings.rule_of("jump").min_seconds) == (0.8, 2)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"enter": 1.5}, "--enter is 1.5; give a score from 0 to 1"),
        ({"enter": float("nan")}, "--enter is nan; give a score from 0 to 1"),
        ({"enter": True}, "--enter is True; give a score from 0 to 1"),
        ({"enter": None}, "--enter is None; give a number"),
        ({"enter": "high"}, "--enter is high; give a score from 0 to 1"),
        ({"enter": 0.5, "leave": 0.6}, "--leave is 0.6 and --enter 0.5; give at most the score"),
        ({"min_seconds": -1}, "--min-seconds is -1; give 0 seconds or more"),
        ({"bridge_seconds": None}, "--bridge-seconds is None; give a number"),
        ({"smoothing_seconds": float("inf")}, "--smoothing-seconds is inf; give 0 seconds or more"),
        ({"hold_seconds": None}, "--hold-seconds is None; give 0 seconds or more"),
        ({"max_seconds": 0}, "--max-seconds is 0; give more than 0"),
        (
            {"max_seconds": 1, "min_seconds": 2},
            "--max-seconds is 1 and --min-seconds 2; give --max",
        ),
        ({"smoothing": 1}, "unknown setting of events 'smoothing'; did you mean 'smoothing_sec"),
        ({"exclusive": 1}, "exclusive is 1; give true or false"),
        ({"background": "nothing"}, "background is 'nothing'; give a list"),
        ({"class_rules": ["wave"]}, "class_rules is .* give a rule for each name"),
        ({"class_rules": {"wave": 0.5}}, "class_rules of 'wave' is 0.5; give names and values"),
        ({"class_rules": {"wave": {"lag_seconds": 1}}}, "unknown setting of events 'lag_seconds'"),
        ({"class_rules": {"a": {}}, "background": ["a"]}, "a: a class of background gives no"),
    ],
)
def test_settings_out_of_range_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        EventSettings.from_dict(values)
    assert "\n" not in str(error.value)


def test_settings_of_other_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown class 'nothing'"):
        EventDetector(["wave", "jump"], EventSettings(background=("nothing",)))
    with pytest.raises(ValueError, match="unknown class 'wav'; did you mean 'wave'"):
        EventDetector(["wave", "jump"], EventSettings(class_rules={"wav": EventRule()}))
    with pytest.raises(ValueError, match="all classes are background"):
        EventDetector(["nothing"], EventSettings(background=("nothing",)))
