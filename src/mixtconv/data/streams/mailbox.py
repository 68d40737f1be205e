"""Keeping up with a source that does not wait: a mailbox for one item, where the newest wins."""

import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Generic, TypeVar

from mixtconv.data.streams.frame import BrokenSourceError

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
