"""Segments: stretches of a long recording, each read as if it were a video of its own.

Nothing is cut. A segment is named as in Media Fragments URI (W3C): `game.mp4#t=12.5,15`, in
seconds, or in frames `game.mp4#frame=300,375`. A frame belongs to it if it is first shown at or
after the start and before the end.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time.

    Raises:
        ValueError: it starts before 0, ends where it starts or earlier, or ends within a frame.

    >>> Span(Fraction("12.50"), Fraction(15)), str(Span(Fraction(300), Fraction(375), True))
    (Span(start=Fraction(25, 2), end=Fraction(15, 1), in_frames=False), 'frame=300,375')
    """

    start: Fraction
    """Its start, in seconds from the first frame, or the number of its first frame, from 0."""
    end: Fraction
    """Its end, in seconds, or the number of the first frame after it."""
    in_frames: bool = False
    """Whether both are numbers of frames."""

    def __post_init__(self) -> None:
        unit = "frame " if self.in_frames else ""
        seconds = "" if self.in_frames else " s"
        if self.start < 0:
            raise ValueError(
                f"a segment starts at {unit}{in_words(self.start)}{seconds}; give 0 or more"
            )
        if self.end <= self.start:
            raise ValueError(
                f"a segment goes from {unit}{in_words(self.start)} to {in_words(self.end)}{seconds}"
                "; give an end after its start"
            )
        if self.in_frames and (self.start.denominator, self.end.denominator) != (1, 1):
            raise ValueError(
                f"a segment goes from frame {in_words(self.start)} to {in_words(self.end)}; give "
                "whole numbers of frames"
            )

    def __str__(self) -> str:
        unit = "frame" if self.in_frames else "t"
        return f"{unit}={in_words(self.start)},{in_words(self.end)}"


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a recording."""

    path: Path
    """The recording: a file, or a folder of pictures, which has no seconds but frames."""
    span: Span
    """From when to when."""

    @property
    def name(self) -> str:
        """Name of the file with the stretch."""
        return segment_name(self.path.name, self.span)

    def __str__(self) -> str:
        return segment_name(str(self.path), self.span)


Stretch: TypeAlias = tuple[Fraction, Fraction]
"""A start and an end, of which the unit is known otherwise."""

SpanUnit = Literal["seconds", "milliseconds", "frames"]
"""What the start and the end of a segment are given in; seconds may be h:mm:ss."""

_NUMBER = re.compile(r"-?([0-9]{1,15}([.,][0-9]{0,15})?|[.,][0-9]{1,15})(e[+-]?[0-9]{1,2})?", re.I)
_TIMECODE = re.compile(r"([0-9]{1,5}):([0-5]?[0-9])(?::([0-5]?[0-9]))?([.,][0-9]{1,9})?")


def parse_span(start: str, end: str, unit: SpanUnit) -> Span:
    """Read a start and an end as a list gives them.

    Raises:
        ValueError: they are no such numbers or times, or no stretch.

    >>> str(parse_span("1:02:03.5", "1:03:00", "seconds")), str(parse_span("250", "500", "frames"))
    ('t=3723.5,3780', 'frame=250,500')
    """
    first, last = (_parse_border(text, unit) for text in (start, end))
    return Span(first, last, in_frames=unit == "frames")


def _parse_border(text: str, unit: SpanUnit) -> Fraction:
    if _NUMBER.fullmatch(text):
        number = Fraction(text.replace(",", "."))
        return number / 1000 if unit == "milliseconds" else number
    code = _TIMECODE.fullmatch(text) if unit == "seconds" else None
    if code is None:
        allowed = {
            "seconds": "seconds such as 12.5, or h:mm:ss",
            "milliseconds": "milliseconds such as 12500",
            "frames": "numbers of frames, from 0",
        }[unit]
        raise ValueError(f"a segment goes from or to {text[:40]!r}; give {allowed}")
    parts = [Fraction(part) for part in code.groups()[:3] if part is not None]
    seconds = sum((part * 60**place for place, part in enumerate(reversed(parts))), Fraction(0))
    return seconds + Fraction((code[4] or "0").replace(",", "."))


_DIGITS = 15
"""Digits behind the point that `parse_span` reads."""


def border_texts(span: Span) -> tuple[str, str]:
    """Start and end as a list holds them, in frames or in seconds.

    Times with more digits than a list can hold are cut off, which changes no frame of a segment
    that begins or ends exactly at one.

    >>> border_texts(Span(Fraction(2, 3), Fraction(5, 2)))
    ('0.666666666666666', '2.5')
    """
    start, end = (_border_text(border) for border in (span.start, span.end))
    return start, end


def _border_text(border: Fraction) -> str:
    whole, rest = divmod(int(border * 10**_DIGITS), 10**_DIGITS)
    return f"{whole}.{rest:0{_DIGITS}d}".rstrip("0").rstrip(".")


def as_listed(span: Span) -> Span:
    """A span as it is read again from a list that holds its `border_texts`."""
    return parse_span(*border_texts(span), "frames" if span.in_frames else "seconds")


_NAMED = re.compile(r"(?P<recording>.+)#(t|frame)=[0-9.]+,[0-9.]+")


def is_segment_name(name: str) -> bool:
    """Whether a name is that of a segment.

    >>> is_segment_name("a.mp4#t=1,2.5"), is_segment_name("a#1.mp4")
    (True, False)
    """
    return _NAMED.fullmatch(name) is not None


def segment_name(recording: str, span: Span | None) -> str:
    """The name of a segment of a recording, or that of all of it; `recording_name` undoes it.

    >>> segment_name("a.mp4", Span(Fraction(1), Fraction("2.5"))), segment_name("a.mp4", None)
    ('a.mp4#t=1,2.5', 'a.mp4')
    """
    return recording if span is None else f"{recording}#{span}"


def recording_name(name: str) -> str:
    """The name of a video without the segment.

    >>> recording_name("a.mp4#t=1,2.5"), recording_name("a#1.mp4")
    ('a.mp4', 'a#1.mp4')
    """
    match = _NAMED.fullmatch(name)
    return name if match is None else match["recording"]


@dataclass(frozen=True, eq=False)
class DatasetVideo:
    """A video that a dataset of a program gives by its number, each time that it is read."""

    give: Callable[[int], Any] = field(repr=False)
    """From the number to the video, in any form that `in_memory.opened` takes."""
    number: int
    """Its number in the dataset."""
    name: str
    """What messages call it."""
    is_known: bool = False
    """Whether its frames were seen before, so that it need not be opened to be checked."""

    def __str__(self) -> str:
        return self.name


Video: TypeAlias = Path | Segment | DatasetVideo
"""A whole file or folder of pictures, or a segment of one; or what a dataset gives."""


def segment_of(path: Path, span: Span | None) -> Video:
    """The segment of a recording, or all of it where there is no span."""
    return path if span is None else Segment(path, span)


def recording_of(video: Video) -> Path:
    """The file or folder that holds a video; of one that a dataset gives its name."""
    if isinstance(video, DatasetVideo):
        return Path(video.name)
    return video.path if isinstance(video, Segment) else video


def named(video: Video) -> Path | Segment:
    """What messages call a video, without the dataset that gives it."""
    return Path(video.name) if isinstance(video, DatasetVideo) else video


def in_words(number: Fraction) -> str:
    """A number of seconds or frames without needless digits, to the microsecond.

    >>> in_words(Fraction(25, 2)), in_words(Fraction(1, 3)), in_words(Fraction(100))
    ('12.5', '0.333333', '100')
    """
    text = f"{float(round(number, 6)):.6f}"
    return text.rstrip("0").rstrip(".")
