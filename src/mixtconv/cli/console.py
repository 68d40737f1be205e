"""What commands say: results to standard output, everything else to standard error."""

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, Literal

from rich import progress as rich_progress
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mixtconv._processes import is_rank_zero
from mixtconv._types import Progress

Format = Literal["table", "json"]

FILE_WIDTH = 160
"""Columns of a table that goes to a file or another program."""

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


def set_up_logging() -> None:
    """Send the package's messages to standard error; other packages' only if they are serious."""
    level = logging.INFO if is_rank_zero() else logging.ERROR
    logging.basicConfig(level=level, format="%(message)s", stream=sys.stderr, force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("mixtconv.models.insertion").setLevel(logging.WARNING)


def print_json(value: Any) -> None:
    """Print the result of a command for programs."""
    if is_rank_zero():
        sys.stdout.write(json.dumps(value, indent=2) + "\n")


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = ""
) -> None:
    """Print the result of a command for people; numbers are aligned right."""
    if not is_rank_zero():
        return
    table = Table(
        title=Text(title) if title else None, title_justify="left", box=SIMPLE_HEAD, pad_edge=False
    )
    for index, column in enumerate(columns):
        numeric = rows and not isinstance(rows[0][index], str)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*[Text(_text(cell)) for cell in row])  # as text: names may hold [brackets]
    Console(width=None if sys.stdout.isatty() else FILE_WIDTH).print(table)


def _text(cell: object) -> str:
    return f"{cell:.2f}" if isinstance(cell, float) else str(cell)


@contextmanager
def progress(description: str) -> Iterator[Progress]:
    """A bar on standard error, moved by calls with the number done and the number of all.

    What libraries print meanwhile goes to standard error as well.
    """
    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.MofNCompleteColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    console = Console(stderr=True)
    with (
        redirect_stdout(sys.stderr),
        rich_progress.Progress(
            *columns, console=console, transient=True, disable=not is_interactive()
        ) as bar,
    ):
        task = bar.add_task(description, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            if done >= total:
                bar.stop()  # what comes next may draw a bar of its own

        yield show


def is_interactive() -> bool:
    """Whether somebody watches standard error."""
    return sys.stderr.isatty() and is_rank_zero()
