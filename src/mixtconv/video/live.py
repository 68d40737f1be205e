"""Reading a stream as it comes: its settings, its frames at a given rate, and the newest frame.

`LatestFrames` keeps up with a live source by dropping frames that are not taken in time.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

from mixtconv._types import Frame


@dataclass(frozen=True)
class SourceSettings:
    """Raw frames and live sources.

    What a source of frames cannot say itself, and how long it is waited for.
    """

    input_size: str | None = None
    """Width and height of raw frames on standard input, such as 640x480."""
    input_fps: float = 25.0
    """Frames a second of raw frames on standard input."""
    stall_seconds: float = 10.0
    """A live source that gives no frame for so many seconds has failed."""

    def __post_init__(self) -> None:
        if not self.input_fps > 0:
            raise ValueError(f"--input-fps is {self.input_fps}; give more than 0")
        if not self.stall_seconds > 0:
            raise ValueError(f"--stall-seconds is {self.stall_seconds}; give more than 0")


MAX_JUMP_SECONDS = 1.0
"""A time this many seconds before or after the expected one is a jump of the clock."""


class BrokenSourceError(ValueError):
    """A source failed after it had given frames; the message names it and the reason."""


@dataclass(frozen=True)
class StreamFrame:
    """One frame of a source."""

    to_rgb: Callable[[], Frame]
    """Converts it: uint8 (H, W, 3), upright. Only frames that are used are converted."""
    number: int
    """Its number in the source, from 0, dropped frames included."""
    seconds: float
    """Its time by the source's clock, from the first frame."""


def at_rate(
    frames: Iterable[StreamFrame], frames_per_second: float | None
) -> Iterator[StreamFrame]:
    """Take frames at a rate, by their times; all of them if None.

    The first frame at or after each due time is taken, each at most once: of a source slower than
    the rate, all frames are. Due times that pass without a frame, as when a source stalls, are left
    out, so that frames are no closer than at the rate afterwards. If the clock jumps back, or ahead
    by more than a second and a period, the frame is taken and the next one is due a period later.

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
            num_passed = int((frame.seconds - due + 1e-6) / period)
            due += period * (1 + num_passed)


def _jumps(late: float, period: float) -> bool:
    return not -period - 1e-6 <= late <= period + MAX_JUMP_SECONDS


Item = TypeVar("Item")


class LatestFrames(Generic[Item]):
    """The newest frame of a live source, which a separate thread reads.

    Iterating yields (number, frame) with the newest frame, and waits if there is none since the
    last. A frame that is replaced before it is taken counts as dropped.

    Args:
        name: name of the source, for errors.
        frames: the frames; the thread reads and closes them.
        stall_seconds: longest wait for a frame.

    Raises:
        BrokenSourceError: while iterating: no frame came for `stall_seconds`. Errors of `frames`
            are raised after the last frame.
    """

    def __init__(
        self, name: str, frames: Generator[Item, None, None], *, stall_seconds: float
    ) -> None:
        self.num_dropped = 0
        self._name, self._frames, self._stall_seconds = name, frames, stall_seconds
        self._changed = threading.Condition()
        self._newest: tuple[int, Item] | None = None
        self._ended = False
        self._closing = False
        self._error: Exception | None = None
        self._reader = threading.Thread(target=self._read, name=f"reader of {name}", daemon=True)
        self._reader.start()

    def __iter__(self) -> Iterator[tuple[int, Item]]:
        while True:
            with self._changed:
                arrived = self._changed.wait_for(
                    lambda: self._newest is not None or self._ended, self._stall_seconds
                )
                taken, self._newest = self._newest, None
                if not arrived:
                    raise BrokenSourceError(
                        f"{self._name} gave no frame for {self._stall_seconds:g} seconds"
                    )
                if taken is None and self._error is not None:
                    raise self._error
            if taken is None:
                return
            yield taken

    def close(self) -> None:
        """Stop reading. A thread that waits for the source ends with its answer or failure."""
        self._closing = True
        self._reader.join(timeout=1)

    def _read(self) -> None:
        error: Exception | None = None
        try:
            with closing(self._frames):
                for number, frame in enumerate(self._frames):
                    with self._changed:
                        if self._closing:
                            break
                        self.num_dropped += self._newest is not None
                        self._newest = (number, frame)
                        self._changed.notify()
        except Exception as caught:  # raised in the thread that iterates
            error = caught
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify()
