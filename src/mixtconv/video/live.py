"""How a stream is read: flag, help text and YAML key are one field.

A frame of a stream, and which frames are taken at a given rate.

Keeping up with a source that does not wait: a mailbox for one item, where the newest wins.
"""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Generic, TypeVar

from mixtconv._types import Frame

DEFAULT_RATE = 25.0
"""Frames a second of a source that does not say its own."""


@dataclass(frozen=True)
class SourceSettings:
    """How a source is read."""

    input_size: str | None = None
    """Width and height of raw frames on standard input, such as 640x480."""
    input_fps: float = DEFAULT_RATE
    """Frames a second of raw frames on standard input."""
    stall_seconds: float = 10.0
    """A live source that gives no frame for so long has failed."""

    def __post_init__(self) -> None:
        if not self.input_fps > 0:
            raise ValueError(f"--input-fps is {self.input_fps}; give more than 0")
        if not self.stall_seconds > 0:
            raise ValueError(f"--stall-seconds is {self.stall_seconds}; give more than 0")


MAX_JUMP_SECONDS = 1.0
"""A time this much before or after the one expected is a jump of the clock."""


class BrokenSourceError(ValueError):
    """A source that failed after it had given frames; the message names it and says why."""


@dataclass(frozen=True)
class StreamFrame:
    """One frame as a source gives it."""

    to_rgb: Callable[[], Frame]
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
    return not -period - 1e-6 <= late <= period + MAX_JUMP_SECONDS


Item = TypeVar("Item")


class LatestFrames(Generic[Item]):
    """Frames of a live source, read by a thread of its own; one that is not taken is dropped.

    Iterating gives (number, frame) with the newest frame each time, and waits for one where there
    is none newer than the last. A frame that is replaced before it was taken counts as dropped.

    Args:
        name: of the source, for errors.
        frames: the frames as they come; the thread reads them and closes them.
        stall_seconds: longest wait for a frame.

    Raises:
        BrokenSourceError: while iterating: no frame came for `stall_seconds`. What `frames` raises
            is raised after the last frame.
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
        """Stop reading. A reader that waits for the source ends when that answers or gives up."""
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
        except Exception as caught:  # whatever it is, it belongs to the thread that iterates
            error = caught
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify()
