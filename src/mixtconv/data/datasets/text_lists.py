"""Lines and cells of the text files in which datasets list their videos."""

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mixtconv._names import count_of
from mixtconv.data.listing import ListPlace
from mixtconv.data.table_text import read_text

_FIX = "save it in UTF-8, or take the file as it is distributed"


EMPTY = "an empty column"
"""Fault of a row in which a wanted column is empty."""

_VIDEO_AND_WORDS = re.compile(r"(\S.*?\.\w+)((?:\s+\S+)*)")


@dataclass(frozen=True, slots=True)
class ListRow:
    """The wanted columns of a line."""

    place: ListPlace
    """File and line."""
    cells: tuple[str, ...]
    """The columns, if the line has them."""
    fault: str | None
    """Why the line cannot be used."""


def read_lines(path: Path) -> Iterator[tuple[ListPlace, str]]:
    """The lines of a file with their places, empty ones left out.

    Raises:
        ValueError: the file is no text in UTF-8 or UTF-16.
    """
    # Not splitlines: it also cuts at characters that may stand in a name.
    for number, line in enumerate(re.split(r"\r\n|\n|\r", read_text(path, fix=_FIX)), 1):
        text = line.strip()
        if text:
            yield ListPlace(path.name, number), text


def read_columns(
    path: Path, wanted: Sequence[Sequence[str]], *, without_header: str | None = None
) -> Iterator[ListRow]:
    """The wanted columns of a file with commas and a header that names them.

    Args:
        path: the file.
        wanted: of each column, the names that it may have.
        without_header: what separates the columns where there is no header; then there are no
            others than the wanted ones, in this order.

    Raises:
        ValueError: there is no header and none may be missing.
    """
    columns: list[int] = []
    width = 0
    for number, (place, line) in enumerate(read_lines(path)):
        if number == 0:
            names = [name.lower() for name in split_commas(line) or ()]
            columns = _places(names, wanted)
            if columns:
                width = len(names)
                continue
            if without_header is None:
                raise ValueError(_no_header(path, line, wanted))
        if columns:
            cells = split_commas(line)
        else:
            cells = tuple(cell.strip() for cell in line.split(without_header))
        yield _row(place, cells, columns or list(range(len(wanted))), width or len(wanted))


def has_columns(path: Path, wanted: Sequence[Sequence[str]]) -> bool:
    """Says whether a file has a header that names the wanted columns."""
    line = next((line for _, line in read_lines(path)), "")
    return bool(_places([name.lower() for name in split_commas(line) or ()], wanted))


def _row(
    place: ListPlace, cells: tuple[str, ...] | None, columns: Sequence[int], width: int
) -> ListRow:
    if cells is None:
        return ListRow(place, (), "a quote is not closed")
    if len(cells) != width:
        return ListRow(place, (), f"{count_of(len(cells), 'column')}, not {width}")
    chosen = tuple(cells[at] for at in columns)
    return ListRow(place, chosen, EMPTY if "" in chosen else None)


def _places(names: Sequence[str], wanted: Sequence[Sequence[str]]) -> list[int]:
    """Where the wanted columns stand in a header; empty if it lacks one."""
    found = [next((name for name in choices if name in names), None) for choices in wanted]
    return [] if None in found else [names.index(name) for name in found if name is not None]


def _no_header(path: Path, line: str, wanted: Sequence[Sequence[str]]) -> str:
    expected = ",".join(choices[0] for choices in wanted)
    return f"{path}: its first line is {line[:60]!r}; expected a header with the columns {expected}"


def split_video(line: str) -> tuple[str, list[str]]:
    """The name of a video file, which may hold spaces, and the words behind it.

    >>> split_video("Apply Make up/v 1.avi 1"), split_video("nothing")
    (('Apply Make up/v 1.avi', ['1']), ('', []))
    """
    match = _VIDEO_AND_WORDS.fullmatch(line)
    return (match[1].replace("\\", "/"), match[2].split()) if match else ("", [])


def split_commas(line: str) -> tuple[str, ...] | None:
    """The cells of a line with commas and perhaps quotes; None where a quote is not closed.

    >>> split_commas('7,"a, b",c')
    ('7', 'a, b', 'c')
    """
    try:
        return tuple(cell.strip() for cell in next(csv.reader([line], strict=True)))
    except csv.Error:
        return None
