"""Rows of a list: a table of unknown delimiter (comma, semicolon, tab or spaces), JSON or Parquet.

JSON is a list of objects, or JSON Lines: an object a line. Its keys are the header, and its numbers
stay as they are written, so that no reader makes `1e3` or `010` into something else.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NoReturn

from mixtconv._names import first_few

_DELIMITERS = (",", ";", "\t")  # the last of equally good ones: names may contain commas

_JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
_JSON_START = re.compile(r'\s*(\[\s*\{|\{\s*")')

SEVERAL = "\0"
"""Beginning of a cell that holds a list or an object of JSON; no cell of a text table has it."""

IsHeader = Callable[[Sequence[str]], bool]


@dataclass(frozen=True)
class TableRow:
    """One row of a table."""

    line: int
    """Number of the row's last line in the file, or of its entry in a JSON list, from 1."""
    cells: tuple[str, ...]
    """Its cells, without the spaces around them."""
    unit: Literal["line", "entry"] = "line"
    """What is counted."""


def read_table(path: Path, *, is_header: IsHeader) -> list[TableRow]:
    """Read the rows of a list, without empty lines; of JSON the first row is the header.

    The delimiter is the one with which the first row is a header, else the one that splits most
    rows into two or three cells. Spaces are the delimiter only if none of the others is, and then
    rows are split from the right, so that the first cell may contain spaces. A line `sep=;`, which
    spreadsheets write, and comments (`#`) may stand before a header. Bytes that are not UTF-8 stay
    in the cells as surrogates, as in the names of files.

    Raises:
        ValueError: the file is not text (UTF-8, or UTF-16 with a byte order mark), a quote is not
            closed, or JSON is something else than objects.
    """
    if path.suffix.lower() == ".parquet":
        from mixtconv._parquet import rows_of  # noqa: PLC0415

        text = json.dumps(rows_of(path), default=str)
        return _read_json(path, text, is_header)
    text = read_text(path, fix="give a CSV with path,label lines", errors="surrogateescape")
    if path.suffix.lower() in _JSON_SUFFIXES or _JSON_START.match(text):
        return _read_json(path, text, is_header)
    tables: list[list[TableRow]] = []
    faults: list[tuple[int, str]] = []
    for delimiter in _DELIMITERS:
        try:
            tables.append(_split_delimited(text, delimiter))
        except csv.Error as error:
            faults.append((text.count(delimiter), str(error)))
    spaced = _split_spaces(text, is_header)
    for rows in (*tables, spaced):
        below = _below_comments(rows, is_header)
        if below:
            return below
    tables.sort(key=_share_of_pairs)
    if tables and _share_of_pairs(tables[-1]) >= 0.5:
        return tables[-1]
    if faults:
        raise ValueError(f"{path}: the table cannot be read: {max(faults)[1]}; check its quotes")
    return spaced


def read_text(
    path: Path, *, fix: str, errors: Literal["strict", "surrogateescape"] = "strict"
) -> str:
    """Read a text in UTF-8, with or without a byte order mark, or in UTF-16 with one.

    Args:
        path: the file.
        fix: the advice to the user, at the end of the message.
        errors: whether other bytes are refused, or stay as surrogates.

    Raises:
        ValueError: it is none of these.
    """
    data = path.read_bytes()
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding, "strict" if encoding == "utf-16" else errors)
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise not_text(path, fix)
    return text


def not_text(path: Path, fix: str) -> ValueError:
    """The error for a file in another encoding."""
    return ValueError(f"{path}: not a text file in UTF-8; {fix}")


def _below_comments(rows: Sequence[TableRow], is_header: IsHeader) -> list[TableRow]:
    """The rows from the header on, which `sep=;` and comments precede; empty without a header."""
    for place, row in enumerate(rows):
        if is_header(row.cells):
            return list(rows[place:])
        if not row.cells[0].lower().startswith(("sep=", "#")):
            break
    return []


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


def _split_spaces(text: str, is_header: IsHeader) -> list[TableRow]:
    lines = [(number, line.split()) for number, line in enumerate(text.splitlines(), 1)]
    lines = [(number, words) for number, words in lines if words]
    width = len(lines[0][1]) if lines and is_header(lines[0][1]) else 2
    return [
        TableRow(number, tuple(" ".join(words).rsplit(maxsplit=width - 1)))
        for number, words in lines
    ]


def _share_of_pairs(rows: Sequence[TableRow]) -> float:
    return sum(len(row.cells) in (2, 3) for row in rows) / max(len(rows), 1)


def _read_json(path: Path, text: str, is_header: IsHeader) -> list[TableRow]:
    """The objects of JSON as rows below a header of all their keys."""
    understood = (
        'give a list such as [{"path": "a.mp4", "label": "jump"}], or such an object a line'
    )

    def refuse(what: str) -> NoReturn:
        raise ValueError(f"{path}: {what}; {understood}")

    numbered: list[tuple[int, Any]] = []
    unit: Literal["line", "entry"] = "entry"
    try:
        content = _parse(text)
        if isinstance(content, list):
            numbered = list(enumerate(content, 1))
        else:
            numbered, unit = [(1, content)], "line"
    except (ValueError, RecursionError) as whole:
        unit = "line"
        for number, line in enumerate(text.split("\n"), 1):
            try:
                numbered += [(number, _parse(line))] if line.strip() else []
            except (ValueError, RecursionError) as error:
                fault = f"line {number}: {error}" if numbered else str(whole)
                refuse(f"not JSON: {fault}")
    others = [number for number, item in numbered if not isinstance(item, dict)]
    if others:
        refuse(f"{unit} {others[0]} is no object of a path and a label")
    keys = list(dict.fromkeys(key for _, item in numbered for key in item))
    if numbered and not is_header(keys):
        refuse(f"its objects have no path or no label but {first_few(list(map(repr, keys)))}")
    rows = [
        TableRow(number, tuple(_text(item.get(key)) for key in keys), unit)
        for number, item in numbered
    ]
    return [TableRow(0, tuple(keys), unit), *rows] if rows else []


def _parse(text: str) -> Any:
    return json.loads(
        text,
        parse_int=str,
        parse_float=str,
        parse_constant=str,
        object_pairs_hook=_without_repetition,
    )


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        raise ValueError(f"the key {next(n for n in names if names.count(n) > 1)!r} is there twice")
    return dict(pairs)


def _text(value: Any) -> str:
    """A value of JSON as the cell of a table."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    return SEVERAL + json.dumps(value)
