"""Ending long work by Ctrl-C or SIGTERM at a place from which it goes on, and saying how.

A first signal asks; the work ends where nothing of it is lost. A second Ctrl-C ends it at once, as
the first does wherever nothing asks for more.
"""

import logging
import shlex
import signal
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import Any, Literal

from typing_extensions import Self

from mixtconv._processes import find_launcher

logger = logging.getLogger(__name__)

GoOn = Literal["resume", "same", "never"]
"""By which command stopped work goes on: the same with --resume, just the same, or none."""

SECONDS_OF_ONE = 0.5
"""In which two of the same are one Ctrl-C, which a launcher passes on that a terminal sends too."""

_DEFAULTS = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}
"""Signals that ask, and their handlers where nobody else has set one."""


class Stopped(KeyboardInterrupt):
    """Work that a signal has ended, of which something is kept.

    Args:
        kept: what is kept and where, in words.
        go_on: how it goes on.
        signal_number: what has ended it.
    """

    def __init__(self, kept: str, *, go_on: GoOn, signal_number: int = signal.SIGINT) -> None:
        super().__init__(kept)
        self.kept = kept
        self.go_on = go_on
        self.signal_number = signal_number

    @classmethod
    def after(cls, stop: KeyboardInterrupt, kept: str, *, go_on: GoOn) -> Self:
        """What the work around that which was stopped keeps; the signal is that of the inner."""
        return cls(kept, go_on=go_on, signal_number=signal_of(stop))


def signal_of(stop: KeyboardInterrupt) -> int:
    """The signal that has ended something."""
    return stop.signal_number if isinstance(stop, Stopped) else signal.SIGINT


def in_one_line(stop: KeyboardInterrupt, words: Sequence[str]) -> str:
    """What is kept of stopped work, and the command by which it goes on.

    Args:
        stop: what has ended it.
        words: of the command line that was stopped, after `mixtconv`.

    >>> stop = Stopped("last.ckpt holds 3 of 30 epochs", go_on="resume")
    >>> in_one_line(stop, ["train", "my clips"])
    "stopped: last.ckpt holds 3 of 30 epochs; go on with: mixtconv train 'my clips' --resume"
    """
    if not isinstance(stop, Stopped) or not stop.kept:
        return "stopped"
    line = f"stopped: {stop.kept}"
    if stop.go_on == "never":
        return line
    is_said = stop.go_on == "same" or "--resume" in words
    if find_launcher() is not None:  # of whose command line nothing is known here
        return f"{line}; go on with the same command{'' if is_said else ' and --resume'}"
    command = shlex.join(["mixtconv", *words, *([] if is_said else ["--resume"])])
    return f"{line}; go on with: {command}"


class StopSignals:
    """Keeps Ctrl-C and SIGTERM as a wish to stop, for as long as the context is open.

    Handlers that others have set stay, also that which ignores Ctrl-C in the background; outside
    the main thread, which alone may set handlers, nothing is changed.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        """The signal that has asked; None if none has."""
        self.where = "after this step"
        """Where the work will end, in words."""
        self._since = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {
                number: default
                for number, default in _DEFAULTS.items()
                if signal.getsignal(number) == default
            }
        self.take_again()
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def take_again(self) -> None:
        """Set the handlers again, after a library has put its own in their place."""
        for number in self._before:
            signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if number == signal.SIGINT and self.received == signal.SIGINT:
            if now - self._since > SECONDS_OF_ONE:
                raise KeyboardInterrupt
            return
        # A launcher may send SIGTERM several times, and after Ctrl-C: it asks for no more.
        if self.received is None or number == signal.SIGINT:
            self.received, self._since = number, now
            logger.info(
                "%s: stopping %s, and saving; Ctrl-C %sends it at once",
                *(signal.Signals(number).name, self.where),
                "again " if number == signal.SIGINT else "twice ",
            )
