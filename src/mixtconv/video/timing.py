"""Frames of a file in order, with the exact times at which they are shown."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import count
from pathlib import Path
from typing import Generic, TypeVar

from mixtconv.video.decoding import TimedFrame, decode_every
from mixtconv.video.reader import DEFAULT_RATE, frame_rate, refuse_no_picture

MIN_RESET_SECONDS = 1
"""A step back of at least this much is a clock reset; a smaller one, times in the wrong order."""


Kept = TypeVar("Kept")


@dataclass(frozen=True)
class TimedItem(Generic[Kept]):
    """A frame, or the part of it that is kept, and its display time."""

    number: int
    """Number of the frame in the video, from 0."""
    seconds: Fraction
    """Start, from the first frame, exactly as the file says."""
    end_seconds: Fraction
    """End, one period of the average rate after the start."""
    kept: Kept


def timed_frames(path: str | Path) -> Iterator[TimedItem[TimedFrame]]:
    """Decode every frame of a file in order, one at a time, with times that never decrease.

    The frames are not yet converted.

    Swapped timestamps of adjacent frames are exchanged. A frame without a timestamp is shown one
    period after the previous one. So is a frame whose timestamp is a second or more before that of
    the previous one, and later times are counted from there.

    Raises:
        UnreadableVideoError: there is no frame.
    """
    period = 1 / (frame_rate(path) or DEFAULT_RATE)
    number, last, shift = -1, -period, None
    for number, (frame, timestamp) in enumerate(_ordered(decode_every(path))):
        now = last + period if timestamp is None or shift is None else timestamp + shift
        # The first frame is at 0; the first timestamp, and one after a clock reset, continue the
        # times so far: the shift leads from them to the times here.
        if timestamp is not None and (shift is None or last - now >= MIN_RESET_SECONDS):
            now = last + period
            shift = now - timestamp
        # A smaller step back is an error of the timestamps: the frame is shown with the last one.
        now = max(now, last)
        yield TimedItem(number, now, now + period, frame)
        last = now
    refuse_no_picture(path, number + 1)


LONGEST_SECONDS = 3600
"""A frame that is said to be shown for longer has damaged times."""

_ROUNDING = Fraction(1, 1000)
"""By how much times may be late: Matroska rounds them to milliseconds."""


def at_constant_rate(
    frames: Iterable[tuple[Fraction, Kept]], rate: Fraction, *, last_seconds: Fraction
) -> Iterator[Kept]:
    """For each moment of a constant rate the frame that is shown then; at least one.

    Args:
        frames: the time in seconds, ascending, and the frame.
        rate: moments a second, the first one at 0.
        last_seconds: how long the last frame is shown.

    Raises:
        ValueError: a frame is shown for more than an hour.

    >>> frames = [(Fraction(number, 4), number) for number in range(4)]
    >>> list(at_constant_rate(frames, Fraction(2), last_seconds=Fraction(1, 4)))
    [0, 2]
    >>> list(at_constant_rate(frames, Fraction(6), last_seconds=Fraction(1, 4)))
    [0, 0, 1, 2, 2, 3]
    """
    rounding = min(_ROUNDING, 1 / (4 * rate))
    moments = (Fraction(number) / rate for number in count())
    moment = next(moments)
    shown: tuple[Fraction, Kept] | None = None
    for seconds, frame in frames:
        if shown is not None:
            if seconds - shown[0] > LONGEST_SECONDS:
                since, until = (float(round(time, 3)) for time in (shown[0], seconds))
                raise ValueError(
                    f"a frame is shown from {since} to {until} s: its times are damaged"
                )
            while moment < seconds - rounding:
                yield shown[1]
                moment = next(moments)
        shown = seconds, frame
    if shown is not None:
        end = shown[0] + last_seconds
        while moment < end - rounding or moment == 0:
            yield shown[1]
            moment = next(moments)


def _ordered(frames: Iterator[TimedFrame]) -> Iterator[tuple[TimedFrame, Fraction | None]]:
    """Frames with their timestamps, after swapped ones of adjacent frames are exchanged.

    Containers without times of display, other than AVI, give frames those of their packets.
    """
    waiting: TimedFrame | None = None  # the previous frame, and the timestamp it would get
    latest: Fraction | None = None
    for frame in frames:
        earlier = frame.seconds
        if waiting is not None:
            # Unless this frame's timestamp is slightly before the last one, both keep their own.
            if latest is None or earlier is None or not 0 < latest - earlier < MIN_RESET_SECONDS:
                earlier, latest = latest, earlier
            yield waiting, earlier
        else:
            latest = earlier
        waiting = frame
    if waiting is not None:
        yield waiting, latest
