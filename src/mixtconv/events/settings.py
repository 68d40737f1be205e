"""Settings of finding events in scores over time; stored in model files, and read by `--help`.

Neither torch nor NumPy is imported. Scores pass, in this order:

- a moving average over the last `smoothing_seconds`;
- hysteresis: a class becomes active at `enter` and stays so down to `leave`;
- bridging of short gaps, then the cool-down, the longest and the least length of an event.

It is the chain of sound event detection (DCASE), but with a moving average in place of a median
filter: its delay is half its length for every signal, so that it is known and taken off the times.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from mixtconv._names import first_few, flag, refuse_unless, unknown_name

TuningMeasure = Literal["map", "f1"]
"""By which settings are chosen: mAP at a temporal IoU of 0.5, or F1@50."""

LEAVE_FRACTION = 0.7
"""Of the threshold to enter, where none to leave is given."""


def is_number(value: Any, low: float = 0, high: float = math.inf) -> bool:
    """Whether a value is a finite number in a range."""
    is_real = isinstance(value, int | float) and not isinstance(value, bool)
    return is_real and math.isfinite(value) and low <= value <= high


@dataclass(frozen=True, kw_only=True)
class EventRule:
    """What makes an event of a class.

    Raises:
        ValueError: a value out of range, a threshold to leave above that to enter, or a longest
            length below the least.
    """

    enter: float = 0.5
    """Score at which a class becomes active, from 0 to 1."""
    leave: float | None = None
    """Score below which an active class stops being so, at most that to enter; default 0.7 of that
    to enter."""
    min_seconds: float = 0.5
    """Least length of an event; shorter ones are dropped."""
    bridge_seconds: float = 0.5
    """Shorter gaps between two stretches of a class are bridged: they become one event."""
    cooldown_seconds: float = 0.0
    """After an event, time in which no other one of its class starts."""
    max_seconds: float | None = None
    """Longest length of an event: a longer one ends, and the next one starts after the cool-down;
    default none."""

    def __post_init__(self) -> None:
        refuse_unless(
            lambda value: is_number(value, high=1), "a score from 0 to 1", self, "enter", "leave"
        )
        durations = "min_seconds", "bridge_seconds", "cooldown_seconds"
        refuse_unless(is_number, "0 seconds or more", self, *durations)
        refuse_unless(
            lambda value: is_number(value) and value > 0, "more than 0", self, "max_seconds"
        )
        for name in ("enter", *durations):
            if getattr(self, name) is None:
                raise ValueError(f"{flag(name)} is None; give a number")
        if self.leave is not None and self.leave > self.enter:
            raise ValueError(
                f"--leave is {self.leave} and --enter {self.enter}; give at most the score to enter"
            )
        if self.max_seconds is not None and self.max_seconds < self.min_seconds:
            raise ValueError(
                f"--max-seconds is {self.max_seconds} and --min-seconds {self.min_seconds}; give "
                "--max-seconds of at least --min-seconds"
            )

    @property
    def leave_threshold(self) -> float:
        """Score below which an active class stops being so.

        >>> EventRule(enter=0.5).leave_threshold, EventRule(enter=0.5, leave=0.1).leave_threshold
        (0.35, 0.1)
        """
        return LEAVE_FRACTION * self.enter if self.leave is None else self.leave


@dataclass(frozen=True, kw_only=True)
class EventSettings(EventRule):
    """From scores over time to events; the values of `EventRule` hold for all other classes.

    Raises:
        ValueError: as `EventRule`, or a time below 0.

    >>> settings = EventSettings(enter=0.6, class_rules={"wave": EventRule(enter=0.4)})
    >>> settings.rule_of("wave").enter, settings.rule_of("jump").enter
    (0.4, 0.6)
    >>> EventSettings.from_dict(settings.to_dict()) == settings
    True
    """

    smoothing_seconds: float = 0.5
    """Scores are averaged over so much time up to now; 0 leaves them as they are. An event has the
    times of an average around each moment, and is known half as much later."""
    lag_seconds: float = 0.0
    """How late scores are, as a network that only looks back sees an action after it began: events
    are moved back by it."""
    hold_seconds: float = 1.0
    """Time without scores, as where frames were dropped, over which the last ones hold; longer
    without, and every event ends where the scores did."""
    exclusive: bool = False
    """Whether one class is active at a time, that with the highest score, background among them;
    else every class whose score is high enough."""
    background: tuple[str, ...] = ()
    """Classes of nothing of interest, which give no events."""
    class_rules: Mapping[str, EventRule] = field(default_factory=dict)
    """Class -> its own rule."""

    def __post_init__(self) -> None:
        super().__post_init__()
        times = "smoothing_seconds", "lag_seconds", "hold_seconds"
        for name in times:
            value = getattr(self, name)
            if not is_number(value):
                raise ValueError(f"{flag(name)} is {value}; give 0 seconds or more")
        both = sorted(set(self.background) & set(self.class_rules))
        if both:
            raise ValueError(
                f"{first_few(both)}: a class of background gives no events, and has a rule of its "
                "own; leave out one of the two"
            )

    def rule_of(self, label: str) -> EventRule:
        """The rule of a class."""
        return self.class_rules.get(label, self)

    def thresholds(self, labels: Iterable[str]) -> dict[str, tuple[float, float]]:
        """Class -> the scores to enter and to leave, without classes of background.

        >>> EventSettings(background=("nothing",), leave=0.1).thresholds(["wave", "nothing"])
        {'wave': (0.5, 0.1)}
        """
        rules = {label: self.rule_of(label) for label in labels if label not in self.background}
        # as they are compared: in millionths
        return {k: (round(r.enter, 6), round(r.leave_threshold, 6)) for k, r in rules.items()}

    def require_classes(self, classes: tuple[str, ...]) -> None:
        """Check that these settings are for scores of these classes.

        Raises:
            ValueError: a name that is no class, or no class but background.
        """
        for name in (*self.background, *self.class_rules):
            if name not in classes:
                raise unknown_name("class", name, classes)
        if not set(classes) - set(self.background):
            raise ValueError(
                f"all classes are background ({first_few(classes)}); name fewer, so that there can "
                "be events"
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            **asdict(self),
            "background": list(self.background),
            "class_rules": {label: _rule_dict(rule) for label, rule in self.class_rules.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "EventSettings":
        """Undo `to_dict`, also after a trip through JSON.

        What a class has no value of its own for is as for all classes.

        Raises:
            ValueError: values that these settings do not have, or not allowed ones.
        """
        own_rules = values.get("class_rules", {})
        background = values.get("background", ())
        is_list = isinstance(background, list | tuple)
        if not is_list or not all(isinstance(name, str) for name in background):
            raise ValueError(f"background is {background!r}; give a list of names of classes")
        if not isinstance(own_rules, Mapping):
            raise ValueError(f"class_rules is {own_rules!r}; give a rule for each name of a class")
        if not isinstance(values.get("exclusive", False), bool):
            raise ValueError(f"exclusive is {values['exclusive']!r}; give true or false")
        common = {key: value for key, value in values.items() if key != "class_rules"}
        _refuse_unknown(common, cls)
        shared = _rule_dict(cls(**common | {"background": tuple(background)}))
        rules = {}
        for label, own in own_rules.items():
            if not isinstance(own, Mapping):
                raise ValueError(f"class_rules of {label!r} is {own!r}; give names and values")
            _refuse_unknown(own, EventRule)
            rules[label] = EventRule(**{**shared, **own})
        return cls(**common | {"background": tuple(background), "class_rules": rules})


def _rule_dict(rule: EventRule) -> dict[str, Any]:
    return {each.name: getattr(rule, each.name) for each in fields(EventRule)}


def _refuse_unknown(values: Mapping[str, Any], kind: type[EventRule]) -> None:
    known = {each.name for each in fields(kind)}
    for name in values:
        if name not in known:
            raise unknown_name("setting of events", name, known)
