"""Rows of a text table of unknown delimiter: comma, semicolon, tab or spaces."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_DELIMITERS = (",", ";", "\t")  # the last of equally good ones: names may contain commas


@dataclass(frozen=True)
class TableRow:
    """One row of a table."""

    line: int
    """Number of the row's last line in the file, from 1."""
    cells: tuple[str, ...]
    """Its cells, without the spaces around them."""


def read_table(path: Path, *, is_header: Callable[[Sequence[str]], bool]) -> list[TableRow]:
    """Read the rows of a text table, without empty lines.

    The delimiter is the one with which the first row is a header, else the one that splits most
    rows into two or three cells. Spaces are the delimiter only if none of the others is, and then
    rows are split from the right, so that the first cell may contain spaces.

    Raises:
        ValueError: the file is not text in UTF-8 (or UTF-16 with a byte order mark), or a quote is
            not closed.
    """
    text = read_text(path, fix="give a CSV with path,label lines")
    tables: list[list[TableRow]] = []
    faults: list[tuple[int, str]] = []
    for delimiter in _DELIMITERS:
        try:
            tables.append(_split_delimited(text, delimiter))
        except csv.Error as error:
            faults.append((text.count(delimiter), str(error)))
    spaced = _split_spaces(text, is_header)
    for rows in (*tables, spaced):
        if rows and is_header(rows[0].cells):
            return rows
    tables.sort(key=_share_of_pairs)
    if tables and _share_of_pairs(tables[-1]) >= 0.5:
        return tables[-1]
    if faults:
        raise ValueError(f"{path}: the table cannot be read: {max(faults)[1]}; check its quotes")
    return spaced


def read_text(path: Path, *, fix: str) -> str:
    """Read a text in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    Raises:
        ValueError: it is none of these; the message ends in `fix`, the advice to the user.
    """
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError(f"{path}: not a text file in UTF-8; {fix}")
    return text


def _split_delimited(text: str, delimiter: str) -> list[TableRow]:
    # strict: a quote that is never closed would put the rest of the file into one cell
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    rows: list[TableRow] = []
    try:
        rows.extend(TableRow(reader.line_num, tuple(map(str.strip, cells))) for cells in reader)
    except csv.Error as error:
        after = rows[-1].line if rows else 0
        raise csv.Error(f"{error}, in the row after line {after}") from error
    return [row for row in rows if any(row.cells)]


def _split_spaces(text: str, is_header: Callable[[Sequence[str]], bool]) -> list[TableRow]:
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, words) for number, words in lines if words]
    width = len(lines[0][1]) if lines and is_header(lines[0][1]) else 2
    return [
        TableRow(number, tuple(" ".join(words).rsplit(maxsplit=width - 1)))
        for number, words in lines
    ]


def _share_of_pairs(rows: Sequence[TableRow]) -> float:
    return sum(len(row.cells) in (2, 3) for row in rows) / max(len(rows), 1)
