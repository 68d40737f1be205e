"""The frames of a file with the times at which they are shown."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mixtconv.data.clip import UnreadableVideoError
from mixtconv.data.decoding import Picture, TimedFrame, decode_every_timed
from mixtconv.data.picture_reader import frame_rate

DEFAULT_RATE = Fraction(25)
"""Frames a second of a file that does not say."""


@dataclass(frozen=True)
class ShownFrame:
    """A frame and when it is shown."""

    number: int
    """From 0."""
    start: Fraction
    """Seconds from the first frame on, exactly as the file says."""
    end: Fraction
    """A period of the average rate later."""
    decoded: TimedFrame
    """The frame, not yet converted."""

    def to_rgb(self) -> Picture:
        """The picture, uint8 RGB (H, W, 3), upright."""
        return self.decoded.to_rgb()


def timed_frames(path: str | Path) -> Iterator[ShownFrame]:
    """Decodes every frame of a file in order, one at a time; times never fall.

    A frame that has no time, or one before that of the frame before it, is shown a period after
    that one, and the clock goes on from there.

    Raises:
        UnreadableVideoError: there is no frame.
    """
    period = 1 / Fraction(frame_rate(path) or DEFAULT_RATE)
    number, last, shift = -1, -period, Fraction(0)
    for number, frame in enumerate(decode_every_timed(path)):
        own = frame.seconds
        now = last + period if own is None or number == 0 else own + shift
        if own is not None and (number == 0 or now < last):
            now = last + period
            shift = now - own
        yield ShownFrame(number, now, now + period, frame)
        last = now
    if number < 0:
        raise UnreadableVideoError(path, "not one picture in it can be decoded")
