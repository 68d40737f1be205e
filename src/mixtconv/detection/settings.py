"""Settings of finding events with a model: what its file stores, and the flags that change it.

Neither torch nor NumPy is imported, as `--help` reads the fields.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from mixtconv._names import flag, refuse_unless
from mixtconv.events.settings import EventRule, EventSettings, is_number
from mixtconv.models.spec import EVENTS_NOTE


@dataclass(frozen=True, kw_only=True)
class ScoreTimes:
    """When the scores of a recording are taken.

    Raises:
        ValueError: a number that is not above 0.
    """

    fps: float | None = None
    """Frames a second that are scored, by models that score each frame: causal ones, and those of
    --frame-labels; default the rate at which training saw frames."""
    window: str | None = None
    """Length of windows: seconds such as 4s, or frames such as 32f; for events by other models
    default that of a clip of dense sampling."""
    stride: str | None = None
    """From the start of a window to that of the next; default the window's length, for events a
    quarter of it."""

    def __post_init__(self) -> None:
        refuse_unless(lambda value: is_number(value) and value > 0, "more than 0", self, "fps")
        if self.window is not None:
            from mixtconv.video.windows import WindowPlan  # noqa: PLC0415, loads NumPy

            WindowPlan.parse(self.window, self.stride)

    def over(self, other: "ScoreTimes") -> "ScoreTimes":
        """These values, and those of another where these are None."""
        given = {name: value for name, value in vars(self).items() if value is not None}
        return replace(other, **given)


@dataclass(frozen=True, kw_only=True)
class EventOptions(ScoreTimes):
    """Settings of events.

    Default are those that tune-events put into the model file; without, those in brackets.
    """

    enter: float | None = None
    """Score at which a class becomes active, of 0 to 1, for all classes [0.5]."""
    leave: float | None = None
    """Score below which an active class stops being so [0.7 of that to enter]."""
    min_seconds: float | None = None
    """Least length of an event [0.5]."""
    max_seconds: float | None = None
    """Longest length of an event [none]."""
    bridge_seconds: float | None = None
    """Shorter gaps between two stretches of a class are bridged [0.5]."""
    cooldown_seconds: float | None = None
    """After an event, time in which no other one of its class starts [0]."""
    smoothing_seconds: float | None = None
    """Scores are averaged over so much time [0.5]."""
    lag_seconds: float | None = None
    """How late scores are: events are moved back by it [0]."""
    exclusive: bool | None = None
    """Whether one class is active at a time, that with the highest score [false]."""

    def __post_init__(self) -> None:
        super().__post_init__()
        # Refuses values out of range, and pairs of them that contradict each other.
        self._applied(EventSettings(enter=1.0, min_seconds=0.0))

    def applied(self, settings: EventSettings) -> EventSettings:
        """Settings with these in place of theirs, also in the rules of single classes.

        A score to enter comes with its own to leave: where only the first is given, the second is
        the default for it.

        Raises:
            ValueError: what they become together is not allowed.
        """
        try:
            return self._applied(settings)
        except ValueError as error:
            raise ValueError(f"{error} (what was not given is as the model file says)") from error

    def _applied(self, settings: EventSettings) -> EventSettings:
        given = {
            each.name: value
            for each in fields(EventOptions)
            if each.name in EventSettings.__dataclass_fields__
            and (value := getattr(self, each.name)) is not None
        }
        if self.enter is not None:
            given.setdefault("leave", None)
        of_rules = {name: given[name] for name in given if name in EventRule.__dataclass_fields__}
        rules = {label: replace(r, **of_rules) for label, r in settings.class_rules.items()}
        return replace(settings, **given, class_rules=rules)

    @property
    def times(self) -> ScoreTimes:
        """When scores are taken."""
        return ScoreTimes(**{name: getattr(self, name) for name in ScoreTimes.__dataclass_fields__})


@dataclass(frozen=True, kw_only=True)
class EventSwitch(EventOptions):
    """Events.

    Stretches of a class, with their start, end and score.
    """

    events: bool = False
    """Find events: when each action starts and ends."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for each in fields(EventOptions):
            is_given = getattr(self, each.name) is not None
            if is_given and not self.events and each.name not in self.shared:
                raise ValueError(f"{flag(each.name)} belongs to events; give --events too")

    @property
    def shared(self) -> tuple[str, ...]:
        """Settings that something else than events takes as well."""
        return ()


def refuse_views(protocol: str) -> None:
    """Raise a ValueError for a protocol of several views, which scores over time do not have."""
    if protocol != "1x1":
        raise ValueError(f"--protocol is {protocol}; events are found with 1x1: leave it out")


@dataclass(frozen=True, kw_only=True)
class StoredEvents:
    """What a model file says of events, in its notes."""

    settings: EventSettings = field(default_factory=EventSettings)
    """From scores to events."""
    times: ScoreTimes = field(default_factory=ScoreTimes)
    """When scores are taken."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """How the settings were chosen: the measure, its value and the recordings."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "settings": self.settings.to_dict(),
            "times": asdict(self.times),
            "facts": dict(self.facts),
        }

    @classmethod
    def from_notes(cls, notes: Mapping[str, Any], classes: tuple[str, ...]) -> "StoredEvents":
        """What the notes of a model file say; of one without, the defaults for its classes.

        Raises:
            ValueError: values that these settings do not have, or not allowed ones.
        """
        stored = notes.get(EVENTS_NOTE, {})
        try:
            settings = default_settings(classes)
            if "settings" in stored:
                settings = EventSettings.from_dict(stored["settings"])
                settings.require_classes(classes)
            times = ScoreTimes(**stored.get("times", {}))
            return cls(settings=settings, times=times, facts=stored.get("facts", {}))
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"the model file has damaged settings of events: {error}") from error


def default_settings(classes: tuple[str, ...]) -> EventSettings:
    """Settings not yet chosen on annotated recordings: a class `background` gives no events."""
    return EventSettings(background=tuple(name for name in classes if name == "background"))
