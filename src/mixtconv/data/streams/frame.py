"""A frame of a stream, and which frames are taken at a given rate."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mixtconv.data.decoding import Picture

MOST_SECONDS_BETWEEN = 1.0
"""A time this much before or after the one expected is a jump of the clock."""


class BrokenSourceError(ValueError):
    """A source that failed after it had given frames; the message names it and says why."""


@dataclass(frozen=True)
class StreamFrame:
    """One frame as a source gives it."""

    to_rgb: Callable[[], Picture]
    """Converts it: uint8 (H, W, 3), upright. Frames that are not wanted are not converted."""
    number: int
    """Its number in the source, from 0; frames that were dropped count."""
    seconds: float
    """Its time by the source's clock, from the first frame on."""


def at_rate(
    frames: Iterable[StreamFrame], frames_per_second: float | None
) -> Iterator[StreamFrame]:
    """Take frames at a rate, by their times; all of them if None.

    A frame is taken when its time has come, each at most once: a source slower than the rate gives
    all of its frames. Where its clock jumps, back or by more than a second and a period ahead, the
    frame is taken and the next one is due a period later.

    >>> frames = [StreamFrame(lambda: None, n, n / 10) for n in range(10)]
    >>> [frame.number for frame in at_rate(frames, 4)]
    [0, 3, 5, 8]
    """
    if frames_per_second is None:
        yield from frames
        return
    period, due = 1 / frames_per_second, None
    for frame in frames:
        if due is None or _jumps(frame.seconds - due, period):
            due = frame.seconds
        if frame.seconds >= due - 1e-6:
            yield frame
            due += period


def _jumps(late: float, period: float) -> bool:
    return not -period - 1e-6 <= late <= period + MOST_SECONDS_BETWEEN
