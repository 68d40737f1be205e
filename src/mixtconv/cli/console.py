"""Output of commands: results to standard output, everything else to standard error.

Names of files, classes and columns are other people's text: what would control a terminal, or show
a text in another order than it has, is printed as an escape (`visible`). JSON has its own.
"""

import argparse
import io
import logging
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rich import progress as rich_progress
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mixtconv._names import visible
from mixtconv._processes import is_rank_zero
from mixtconv._strict_json import to_json
from mixtconv._types import Progress
from mixtconv.cli.commands import Format, Result

logger = logging.getLogger(__name__)

_SHOWN = {"bars": True}
"""Whether progress is shown."""

VERBOSE = ("-v", "--verbose")
"""Flags with which also errors show where they were raised."""

SECONDS_BETWEEN_LINES = 60.0
"""Between two lines about progress where there is no terminal for a bar."""

FILE_WIDTH = 160
"""Width of a table that is written to a file or a pipe, in characters, unless COLUMNS says one."""

GAP = 2
"""Width between two columns of a table, in characters."""

LONGEST_WORD = 26
"""A word of a table is broken if it is longer than this, or the terminal too narrow for all."""

_QUIET = (
    "lightning",
    "httpx",
    "httpcore",
    "httpx2",
    "httpcore2",
    "huggingface_hub",
    "matplotlib",
    "timm",
    "PIL",
    "fsspec",
)


class _VisibleFormatter(logging.Formatter):
    """Messages in one line each; those of other packages, and tracebacks, keep their lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802, logging's name
        own = record.name.partition(".")[0] == "mixtconv"
        return visible(super().formatMessage(record), keep="" if own else "\n\t")

    def format(self, record: logging.LogRecord) -> str:
        return visible(super().format(record), keep="\n\t")


@dataclass(frozen=True)
class Messages:
    """Which messages of any command are shown, and where else they are written.

    Raises:
        ValueError: both more and less are asked for.
        OSError: the file cannot be written.
    """

    verbose: bool = False
    """Details too, and where an error was raised."""
    quiet: bool = False
    """Only warnings and errors, and no progress bar; results are printed all the same."""
    log_file: str | None = None
    """File that all messages are appended to, with the time, whatever is shown."""

    def __post_init__(self) -> None:
        if self.verbose and self.quiet:
            raise ValueError("--verbose shows more and --quiet less: give one")

    @classmethod
    def take(cls, words: Sequence[str]) -> "tuple[Messages, list[str]]":
        """What a command line says of messages, and its other words.

        >>> Messages.take(["clips", "-q", "--epochs", "3"])
        (Messages(verbose=False, quiet=True, log_file=None), ['clips', '--epochs', '3'])
        """
        parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
        add_message_flags(parser)
        try:
            values, others = parser.parse_known_args(words)
        except argparse.ArgumentError as error:
            raise ValueError("--log-file needs a value; give a file") from error
        return cls(**vars(values)), others


def add_message_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that every command has."""
    group = parser.add_argument_group("Messages")
    # without a default they are no settings of the command, and in no --print-config
    add = partial(group.add_argument, default=argparse.SUPPRESS)
    add(*VERBOSE, action="store_true", help="Details, and where an error was raised.")
    add("-q", "--quiet", action="store_true", help="Only warnings and errors beside the result.")
    text = "File that all messages are appended to, with the time."
    add("--log-file", metavar="FILE", help=text)


def set_up_logging(messages: Messages | None = None) -> None:
    """Log the package's messages to standard error; of other packages, errors only.

    Raises:
        OSError: the file for messages cannot be written.
    """
    messages = messages or Messages()
    details = logging.DEBUG if messages.verbose else logging.INFO
    shown = logging.WARNING if messages.quiet else details
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_VisibleFormatter("%(message)s"))
    handler.setLevel(shown if is_rank_zero() else logging.ERROR)
    handlers: list[logging.Handler] = [handler]
    if messages.log_file is not None and is_rank_zero():
        Path(messages.log_file).parent.mkdir(parents=True, exist_ok=True)
        file = logging.FileHandler(messages.log_file, encoding="utf-8", errors="backslashreplace")
        file.setFormatter(_VisibleFormatter("%(asctime)s %(levelname)s %(message)s"))
        handlers.append(file)
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.getLogger("mixtconv").setLevel(details)
    _SHOWN["bars"] = not messages.quiet
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that its encoding lacks is no error
        sys.stdout.reconfigure(errors="backslashreplace")
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("mixtconv.models.insertion").setLevel(logging.WARNING)


def print_result(result: Result, format: Format) -> int:
    """Print what a command found, in one process of several, and return its exit status."""
    if is_rank_zero() and format == "json":
        sys.stdout.write(to_json(result.content, indent=2) + "\n")
    elif is_rank_zero():
        for table in result.tables:
            print_table(table.columns, table.rows, title=table.title)
    for note in result.notes:
        logger.log(logging.WARNING if result.status else logging.INFO, "%s", note)
    return result.status


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = ""
) -> None:
    """Print a table; numbers are aligned right."""
    heading = Text(visible(title)) if title else None
    table = Table(title=heading, title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    table.padding = (0, GAP - 1, 0, 0)  # the border between columns is one more
    is_known = sys.stdout.isatty() or "COLUMNS" in os.environ
    console = Console(width=None if is_known else FILE_WIDTH)
    columns = [visible(column) for column in columns]
    texts = [[_text(cell) for cell in row] for row in rows]
    longest = [_longest_word(cells) for cells in zip(columns, *texts, strict=True)]
    fits = sum(longest) + GAP * len(columns) <= console.width
    for index, column in enumerate(columns):
        numeric = rows and not isinstance(rows[0][index], str)
        table.add_column(
            Text(column),
            justify="right" if numeric else "left",
            overflow="fold",
            min_width=longest[index] if fits else None,  # sentences wrap, names and numbers do not
        )
    for cells in texts:
        table.add_row(*map(Text, cells))  # as text: names may hold [brackets]
    console.print(table)


def _longest_word(cells: Sequence[str]) -> int:
    return min(max(map(len, " ".join(cells).split()), default=0), LONGEST_WORD)


def _text(cell: object) -> str:
    return f"{cell:.2f}" if isinstance(cell, float) else visible(str(cell))


@contextmanager
def progress(description: str) -> Iterator[Progress]:
    """A bar on standard error; the function it yields takes the number done and the total.

    Libraries that print inside the block write to standard error as well.
    """
    columns = (
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    # Earlier versions of rich end a bar with an empty line, also where it is not shown.
    bar: AbstractContextManager[rich_progress.Progress | None] = nullcontext()
    if is_interactive():
        console = Console(stderr=True)
        bar = rich_progress.Progress(*columns, console=console, transient=True)
    with redirect_stdout(sys.stderr), bar as shown:
        task = rich_progress.TaskID(0)
        if shown is not None:
            task = shown.add_task(visible(description), total=None)
        last = time.monotonic()

        def show(done: int, total: int) -> None:
            nonlocal last
            if shown is not None:
                shown.update(task, completed=done, total=total)
                if done >= total:
                    shown.stop()  # the next step may draw another bar
            elif time.monotonic() - last >= SECONDS_BETWEEN_LINES:
                last = time.monotonic()
                logger.info("%s: %d of %d", description, done, total)

        yield show


def is_interactive() -> bool:
    """Whether standard error is a terminal for progress bars, and this process rank 0."""
    return _SHOWN["bars"] and sys.stderr.isatty() and is_rank_zero()
