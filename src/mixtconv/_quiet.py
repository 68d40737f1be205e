"""Messages of other packages that are hidden for a while."""

import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from tempfile import TemporaryFile
from typing import TextIO

_MOST_LINES = 20
_BAR = re.compile(r"\d%\|")
"""In a progress bar of tqdm."""

_STANDARD_ERROR = threading.RLock()
"""Held while it is redirected: two threads that each put back what they found would swap theirs."""


@contextmanager
def only_errors(*names: str) -> Iterator[None]:
    """Show only errors of the loggers of these names within the block."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def no_native_messages(*, shown_if_failed: bool = False) -> Iterator[None]:
    """Hide what is written to the standard error of the process within the block, natively too.

    For libraries that report to their developers there, past every logger. What other threads write
    meanwhile is lost as well, so that a block should be short; errors are raised as ever. There is
    one such block at a time: those of other threads wait.

    Args:
        shown_if_failed: whether its last lines are written after all if the block raises, for where
            the error itself may not say what went wrong; but no progress bars.
    """
    with (
        _STANDARD_ERROR,
        TemporaryFile("w+", encoding="utf-8", errors="replace", buffering=1) as hidden,
    ):
        sys.stderr.flush()
        shown = os.dup(2)
        os.dup2(hidden.fileno(), 2)
        try:
            with redirect_stderr(hidden), _without_handlers_of(hidden):
                yield
        except BaseException:
            _restore(shown)
            if shown_if_failed:
                hidden.seek(0)
                _show_last_lines(hidden.read())
            raise
        _restore(shown)


@contextmanager
def _without_handlers_of(stream: TextIO) -> Iterator[None]:
    """Take handlers that write to a stream from all loggers at the end of the block.

    A library that calls `logging.warning` within it gives the root logger one, where it has none,
    and once the stream is closed every message of the process would end in an error.
    """
    try:
        yield
    finally:
        for logger in (logging.getLogger(), *logging.Logger.manager.loggerDict.values()):
            if isinstance(logger, logging.Logger):  # others are names without a logger yet
                for handler in [*logger.handlers]:
                    if getattr(handler, "stream", None) is stream:
                        logger.removeHandler(handler)


def _restore(shown: int) -> None:
    sys.stderr.flush()
    os.dup2(shown, 2)
    os.close(shown)


def _show_last_lines(text: str) -> None:
    lines = [line for line in text.splitlines() if line.strip() and not _BAR.search(line)]
    sys.stderr.writelines(f"{line}\n" for line in lines[-_MOST_LINES:])
