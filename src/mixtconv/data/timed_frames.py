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

SET_BACK_SECONDS = 1
"""A step back of so much is a clock that was set back; of less, times in the wrong order."""


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

    Where neighbours have each other's times, they change them. A frame that has no time is shown a
    period after the one before it; so is one whose time lies a second or more before, and the clock
    goes on from there.

    Raises:
        UnreadableVideoError: there is no frame.
    """
    period = 1 / Fraction(frame_rate(path) or DEFAULT_RATE)
    number, last, shift = -1, -period, Fraction(0)
    for number, (frame, own) in enumerate(_ordered(decode_every_timed(path))):
        now = last + period if own is None or number == 0 else own + shift
        if own is not None and (number == 0 or last - now >= SET_BACK_SECONDS):
            now = last + period
            shift = now - own
        now = max(now, last)
        yield ShownFrame(number, now, now + period, frame)
        last = now
    if number < 0:
        raise UnreadableVideoError(path, "not one picture in it can be decoded")


def _ordered(frames: Iterator[TimedFrame]) -> Iterator[tuple[TimedFrame, Fraction | None]]:
    """Frames with their times in order, where only neighbours stand the wrong way round.

    AVI has no times of its own: with B-frames, FFmpeg gives pictures those of their packets.
    """
    waiting: TimedFrame | None = None
    latest: Fraction | None = None
    for frame in frames:
        earlier = frame.seconds
        if waiting is not None:
            if latest is None or earlier is None or not 0 < latest - earlier < SET_BACK_SECONDS:
                earlier, latest = latest, earlier
            yield waiting, earlier
        else:
            latest = earlier
        waiting = frame
    if waiting is not None:
        yield waiting, latest
