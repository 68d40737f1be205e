"""Stretches of recordings with a label, and what an annotation file says in all."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from mixtconv._names import composed, count_of
from mixtconv.data.listing import ListPlace

TimeUnit = Literal["seconds", "frames"]
"""Frames count from 0, and the end is the frame after the last one; both from the video's start."""


@dataclass(frozen=True)
class AnnotatedSegment:
    """A stretch of a video with its label, as a file says it: it may lie outside of the video."""

    video: str
    """The video as the file names it: a path, relative to the file or not, or a bare name."""
    label: str
    """Name of the class, its accents composed; empty if the whole video is annotated as none."""
    start: Fraction | None
    """Where it starts; None from a file that labels whole videos."""
    end: Fraction | None
    """Where it ends, which is no longer part of it; None together with `start`."""
    unit: TimeUnit
    """What `start` and `end` count."""
    place: ListPlace
    """Where the file says so."""
    split: str | None = None
    """Its split (train, val or test); None where the file names none."""
    group: str = ""
    """What else was recorded with the video, where the file says so."""
    tier: str = ""
    """Which of several layers of labels it is in: tier, subject, attribute, control."""
    other_names: tuple[str, ...] = ()
    """Further names under which the video may be found, the likelier first."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", composed(self.label))


@dataclass(frozen=True)
class Annotations:
    """What an annotation file says. Each recording has a segment, if only one without a label."""

    title: str
    """Name of the format or of the tool."""
    segments: tuple[AnnotatedSegment, ...]
    """The labelled stretches, in the order of the file."""
    uncertain: tuple[AnnotatedSegment, ...] = ()
    """Stretches in which something is marked that is of no known class: not background either."""
    notes: tuple[str, ...] = ()
    """Sentences that the user should read: what was left out, and why."""

    @property
    def recordings(self) -> tuple[str, ...]:
        """The annotated videos, each once; those without a segment hold only background."""
        return tuple(dict.fromkeys(segment.video for segment in self.segments))


def with_empty_recordings(
    segments: Sequence[AnnotatedSegment], recordings: Sequence[AnnotatedSegment]
) -> tuple[AnnotatedSegment, ...]:
    """The segments, and of the recordings (without label and times) those that have none."""
    found = {segment.video for segment in segments}
    empty = {each.video: each for each in recordings if each.video not in found}
    return (*segments, *empty.values())


@dataclass
class Omissions:
    """Counts what a reader leaves out, by reason, for the notes."""

    def __post_init__(self) -> None:
        self._counts: dict[tuple[str, str, str], int] = {}

    def add(self, thing: str, why: str, count: int = 1, *, kind: str = "") -> None:
        """Count something that is left out: a noun in the singular, and which kind of it."""
        if count:
            key = (thing, kind, why)
            self._counts[key] = self._counts.get(key, 0) + count

    def __iter__(self) -> Iterator[str]:
        """A sentence for each reason."""
        for (thing, kind, why), count in self._counts.items():
            yield f"{count_of(count, thing)}{kind and ' '}{kind} left out: {why}"
