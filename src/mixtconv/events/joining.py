"""From stretches in which classes are active to events: bridging, cool-down, least and longest.

    active     ###.##......#.........########      . for less than the gap that is bridged
    event      ======                ========      # too short

What is said here is final: an event is announced when it is long enough whatever follows, and it
ends when no later stretch can be joined to it. With one class at a time, a gap is also bridged over
stretches of other classes that are too short to be events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from mixtconv.events.event import Event, EventMessage, OpenEvent
from mixtconv.events.scores import MILLION, to_whole
from mixtconv.events.settings import EventRule


class Steps(Protocol):
    """Steps as far as they are known; times in microseconds, scores in millionths."""

    def index_at(self, time: int) -> int:
        """The first step that begins at a time or later."""

    def total(self, column: int, index: int) -> int:
        """Sum of a class's scores in the steps before one."""


@dataclass(slots=True)
class _Candidate:
    """A stretch that may become an event."""

    onset: int
    first: tuple[int, int] | None = None  # its first step, and the total before; once it is known
    offset: int = 0  # these two while it waits for its class to become active again
    score: float = 0.0
    is_announced: bool = False

    @property
    def length(self) -> int:
        return self.offset - self.onset


class _Rule:
    """A rule in microseconds."""

    def __init__(self, rule: EventRule) -> None:
        durations = rule.min_seconds, rule.bridge_seconds, rule.cooldown_seconds
        self.least, self.bridge, self.cooldown = map(int, to_whole(durations))
        self.longest = None if rule.max_seconds is None else max(1, round(rule.max_seconds * 1e6))


class EventJoiner:
    """Joins stretches of activity to events; it is told when classes become active and stop.

    Args:
        classes: class names by column.
        rules: of each.
        exclusive: whether one class is active at a time.
        steps: what is known of the steps.
        announces: whether messages also say that events have started.
    """

    def __init__(
        self,
        classes: Sequence[str],
        rules: Sequence[EventRule],
        *,
        exclusive: bool,
        steps: Steps,
        announces: bool,
    ) -> None:
        self._classes = classes
        self._rules = [_Rule(rule) for rule in rules]
        self._exclusive = exclusive
        self._steps = steps
        self._announces = announces
        self._active: dict[int, _Candidate] = {}
        self._waiting: dict[int, _Candidate] = {}  # those that a later stretch may be joined to
        self._ready: dict[int, int] = {}  # column -> end of its cool-down
        self._latest: int | None = None  # offset of the latest event of all
        self.messages: list[EventMessage] = []
        """What has become certain, in order."""

    def begin(self, column: int, time: int) -> None:
        """A class becomes active."""
        candidate = self._waiting.get(column)
        if candidate is not None and self._is_bridged(column, candidate, time):
            self._active[column] = self._waiting.pop(column)
            return
        if candidate is not None:
            self._close(column)
        self._active[column] = _Candidate(max(time, self._ready.get(column, time)))

    def advance(self, column: int, time: int, *, goes_on: bool = False) -> None:
        """An active class stays so at least until a time; `goes_on` if certainly beyond it."""
        candidate, rule = self._active[column], self._rules[column]
        while time >= candidate.onset:
            if candidate.first is None:
                index = self._steps.index_at(candidate.onset)
                candidate.first = index, self._steps.total(column, index)
            if rule.longest is None or time - candidate.onset < rule.longest:
                break
            cut = candidate.onset + rule.longest
            self._announce(column, candidate, cut)
            self._wait(column, cut)
            self._close(column)
            candidate = self._active[column] = _Candidate(self._ready[column])
        length = time - candidate.onset
        if length >= rule.least and (length > 0 or (goes_on and length == 0)):
            self._announce(column, candidate, time)

    def end(self, column: int, time: int) -> None:
        """An active class stops being so."""
        self.advance(column, time)
        if time > self._active[column].onset:
            self._wait(column, time)
        else:  # all of it was in the cool-down
            del self._active[column]

    def expire(self, time: int) -> None:
        """No class becomes active before a time: say what has ended for good."""
        for column, candidate in list(self._waiting.items()):
            if time - candidate.offset >= self._rules[column].bridge:
                self._close(column)

    def finish(self) -> None:
        """No class is active, and none will be."""
        for column in list(self._waiting):
            self._close(column)

    def open_events(self, time: int) -> list[OpenEvent]:
        """What was announced and has not ended, by onset; scores are those up to a time."""
        scores = {column: each.score for column, each in self._waiting.items()}
        for column, each in self._active.items():
            if each.is_announced:
                scores[column] = self._mean(column, each, time)
        announced = [
            (each.onset, column)
            for column, each in (self._waiting | self._active).items()
            if each.is_announced
        ]
        return [
            OpenEvent(self._classes[column], onset / MILLION, scores[column])
            for onset, column in sorted(announced)
        ]

    def _announce(self, column: int, candidate: _Candidate, time: int) -> None:
        if self._announces and not candidate.is_announced:
            candidate.is_announced = True
            start, score = candidate.onset / MILLION, self._mean(column, candidate, time)
            event = OpenEvent(self._classes[column], start, score)
            self.messages.append(EventMessage("started", event))

    def _is_bridged(self, column: int, candidate: _Candidate, time: int) -> bool:
        rule = self._rules[column]
        if time - candidate.offset >= rule.bridge:
            return False
        if rule.longest is not None and time - candidate.onset >= rule.longest:
            return False
        if not self._exclusive:
            return True
        if self._latest is not None and self._latest > candidate.offset:
            return False
        between = [at for at, each in self._waiting.items() if each.offset > candidate.offset]
        if any(self._waiting[at].length >= self._rules[at].least for at in between):
            return False
        for at in between:
            del self._waiting[at]
        return True

    def _wait(self, column: int, time: int) -> None:
        """The class of a candidate stops being active; it may become so again."""
        candidate = self._active.pop(column)
        candidate.offset, candidate.score = time, self._mean(column, candidate, time)
        self._waiting[column] = candidate

    def _mean(self, column: int, candidate: _Candidate, time: int) -> float:
        """Mean score from the onset to a time; if no step begins between, that of the step."""
        assert candidate.first is not None
        index, total = candidate.first
        after = self._steps.index_at(time)
        if after <= index:
            after = self._steps.index_at(candidate.onset + 1)
            index, total = after - 1, self._steps.total(column, after - 1)
        return (self._steps.total(column, after) - total) / ((after - index) * MILLION)

    def _close(self, column: int) -> None:
        """A candidate cannot grow any more: it is an event if it is long enough."""
        candidate, rule = self._waiting.pop(column), self._rules[column]
        if candidate.length < rule.least:
            return
        self._ready[column] = candidate.offset + rule.cooldown
        self._latest = max(candidate.offset, self._latest or candidate.offset)
        start, end = candidate.onset / MILLION, candidate.offset / MILLION
        event = Event(self._classes[column], start, end, candidate.score)
        self.messages.append(EventMessage("ended", event))
