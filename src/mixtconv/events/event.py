"""Events: found ones with their scores, annotated ones, and what a live stream says of them."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeVar


@dataclass(frozen=True)
class AnnotatedEvent:
    """A stretch of a recording with its class, as it was annotated.

    Raises:
        ValueError: it does not end after its start.
    """

    label: str
    """Its class."""
    start: float
    """Its onset, in seconds since the first frame."""
    end: float
    """Its offset, in seconds."""

    def __post_init__(self) -> None:
        if not self.end > self.start:  # nor NaN
            raise ValueError(
                f"an event of class {self.label!r} goes from {self.start:g} to {self.end:g} s; "
                "give an end after its start"
            )


@dataclass(frozen=True)
class Event(AnnotatedEvent):
    """A stretch of a recording in which a class was detected."""

    score: float
    """Mean score of its class from its onset to its offset, from 0 to 1."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them.

        >>> Event("wave", 0.5, 2.25, 0.75).to_dict()
        {'label': 'wave', 'start': 0.5, 'end': 2.25, 'score': 0.75}
        """
        return asdict(self) | {"start": round(self.start, 4), "end": round(self.end, 4)}


AnyEvent = TypeVar("AnyEvent", bound=AnnotatedEvent)


def in_order(events: Iterable[AnyEvent]) -> list[AnyEvent]:
    """Events by start, end and class."""
    return sorted(events, key=lambda event: (event.start, event.end, event.label))


@dataclass(frozen=True)
class OpenEvent:
    """An event that has started and may go on."""

    label: str
    """Its class."""
    start: float
    """Its onset, in seconds; it will not change."""
    score: float
    """Mean score of its class so far, from 0 to 1."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return asdict(self) | {"start": round(self.start, 4)}


@dataclass(frozen=True)
class EventMessage:
    """What a live stream says of an event: that it has started, and later that it has ended.

    Both come once for every event, in this order, with the same class and start; neither is ever
    taken back.
    """

    state: Literal["started", "ended"]
    """Which of the two."""
    event: OpenEvent | Event
    """Of one that has ended an `Event`."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them.

        >>> EventMessage("started", OpenEvent("wave", 0.5, 0.75)).to_dict()
        {'state': 'started', 'label': 'wave', 'start': 0.5, 'score': 0.75}
        """
        return {"state": self.state, **self.event.to_dict()}
