"""BORIS: events of observations, from a project (`boris_project.py`) or exported as a table.

Aggregated events are states with start and stop; of tabular events each start is paired with the
next stop of the same behaviour, subject and modifiers, as BORIS pairs the events of a project.
Point events last no time and are left out. Times are seconds from the start of an observation: its
offset is taken off, and of several files in a row the lengths of those before. A state that goes on
in the next file is a segment in each.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from mixtconv.data.annotations.segment import (
    AnnotatedSegment,
    Annotations,
    Omissions,
    with_empty_recordings,
)
from mixtconv.data.listing import ListPlace

TITLE = "BORIS"

POINT = "without a duration; only states are segments"
"""Why point events are left out."""

NO_VIDEO = "live observations and pictures have no video"
"""Why an observation is left out."""

MODIFIERS = "labels are behaviors without them"
"""Why modifiers are left out."""

UNPAIRED = "a start without a stop, or the reverse"
"""Why a state is left out."""


@dataclass(frozen=True)
class Observation:
    """An observation: the files that were played one after the other."""

    name: str
    """Its name in the project."""
    files: tuple[str, ...]
    """Its files, as BORIS names them."""
    lengths: tuple[Fraction | None, ...]
    """Seconds of each file, where they are known."""
    offset: Fraction
    """Seconds that BORIS added to all times."""

    def parts(
        self, start: Fraction, end: Fraction, place: ListPlace
    ) -> Iterator[tuple[str, Fraction, Fraction]]:
        """The stretches of files in a stretch of the observation: file, start and end in it.

        Raises:
            ValueError: there are several files, and the length of one is not known.
        """
        start, end = start - self.offset, end - self.offset
        before = Fraction(0)
        last = len(self.files) - 1
        for index, (file, length) in enumerate(zip(self.files, self.lengths, strict=True)):
            if index < last and length is None:
                raise ValueError(
                    f"{place}: observation {self.name!r} has several files, and the length of "
                    f"{file!r} is not in this export; give the project (.boris) instead"
                )
            behind = before + length if length is not None and index < last else None
            if behind is None or start < behind:  # it starts here, or went on from before
                here = end if behind is None else min(end, behind)
                yield file, start - before, here - before
                if behind is None or end <= behind:
                    return
                start = behind
            before = before if behind is None else behind


@dataclass(frozen=True)
class State:
    """A state event: a behaviour that goes on for a while."""

    observation: Observation
    behavior: str
    subject: str
    start: Fraction
    end: Fraction
    place: ListPlace


def to_annotations(
    states: Sequence[State], observed: Mapping[str, tuple[Observation, ListPlace]], notes: Omissions
) -> Annotations:
    """Segments from states, and what is observed without any."""
    segments = []
    for state in states:
        group = _group(state.observation)
        for file, start, end in state.observation.parts(state.start, state.end, state.place):
            segments.append(
                AnnotatedSegment(
                    file,
                    state.behavior,
                    start,
                    end,
                    "seconds",
                    state.place,
                    group=group,
                    tier=state.subject,
                )
            )
    recordings = [
        AnnotatedSegment(file, "", None, None, "seconds", place, group=_group(observation))
        for observation, place in observed.values()
        for file in observation.files
    ]
    return Annotations(TITLE, with_empty_recordings(segments, recordings), notes=tuple(notes))


def _group(observation: Observation) -> str:
    """Files of one observation are one recording."""
    return observation.name if len(observation.files) > 1 else ""


Key = tuple[str, ...]
"""What the start and the stop of a state have in common."""


def pair(
    events: Sequence[tuple[Key, Fraction, ListPlace, bool | None]], omissions: Omissions
) -> list[tuple[Key, Fraction, Fraction, ListPlace]]:
    """Pair each start with the next stop of the same key.

    Args:
        events: key, seconds and place of each, in the order of time, and whether it is a stop;
            None if it is one after a start.
        omissions: counts those without a partner.
    """
    started: dict[Key, tuple[Fraction, ListPlace]] = {}
    pairs = []
    for key, time, place, is_stop in events:
        if is_stop is not False and key in started:
            start, start_place = started.pop(key)
            pairs.append((key, start, time, start_place))
        elif is_stop:
            omissions.add("state", UNPAIRED)
        else:
            omissions.add("state", UNPAIRED, key in started)
            started[key] = (time, place)
    omissions.add("state", UNPAIRED, len(started))
    return sorted(pairs, key=lambda each: each[3].line)
