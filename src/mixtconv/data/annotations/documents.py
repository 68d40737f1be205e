"""Annotation files as trees and tables: JSON with exact numbers, XML with lines, CSV.

Numbers stay as they are written until they are made exact fractions. XML declares no types and no
entities here: files of annotation tools have none, and entities can blow up or open other files.
"""

import csv
import io
import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any
from xml.parsers import expat

from mixtconv.data.listing import ListPlace
from mixtconv.data.text_tables import TableRow, read_text

MOST_BYTES = 256 * 2**20
"""Of an annotation file."""

_MOST_DIGITS = 40
"""Of a time or a number of a frame, before the point and behind it."""

_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,3})?")

_DEEPEST = 100
"""Nesting of XML; that of annotation tools is below 10."""


class Written(str):
    """A number of JSON as it is written; text is a `str`."""

    __slots__ = ()


def read_document(path: Path) -> str:
    """The text of an annotation file.

    Raises:
        ValueError: it is not text, or larger than `MOST_BYTES`.
    """
    if (size := path.stat().st_size) > MOST_BYTES:
        raise ValueError(
            f"{path}: {size / 2**20:.0f} MiB; an annotation file of at most "
            f"{MOST_BYTES // 2**20} MiB is read: export fewer recordings at a time"
        )
    return read_text(path, fix="export it again, or save it in UTF-8")


def parse_json(text: str) -> Any:
    """JSON with numbers as `Written`.

    Raises:
        ValueError: it is not JSON, or an object has a key twice.
    """
    try:
        return json.loads(
            text,
            parse_int=Written,
            parse_float=Written,
            parse_constant=Written,
            object_pairs_hook=_without_repetition,
        )
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return content


def exact(value: Any, what: str, place: ListPlace | Path) -> Fraction:
    """A finite number as it is written, without rounding.

    Args:
        value: text of a file, or what `parse_json` gives.
        what: its name, for the message.
        place: where the file says so.

    Raises:
        ValueError: it is no such number.

    >>> exact("12.345", "start", Path("a.csv"))
    Fraction(2469, 200)
    """
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        number = Decimal(value.strip())
        exponent = number.as_tuple().exponent
        assert isinstance(exponent, int)
        if exponent >= -_MOST_DIGITS and number.adjusted() < _MOST_DIGITS:
            return Fraction(number)
    raise ValueError(f"{place}: {what} is {shown(value)}; give a finite number")


def frame(value: Any, what: str, place: ListPlace | Path) -> int:
    """A whole number.

    Raises:
        ValueError: it is none.
    """
    number = exact(value, what, place)
    if number.denominator != 1:
        raise ValueError(f"{place}: {what} is {shown(value)}; frames are whole numbers")
    return number.numerator


def shown(value: Any) -> str:
    """The beginning of a value, for a message."""
    if isinstance(value, Written):
        return str(value)[:60]
    try:
        return repr(value)[:60]
    except RecursionError:
        return "nested too deeply"


def a_dict(value: Any, what: str, place: ListPlace | Path) -> dict[str, Any]:
    """An object of JSON; raises a ValueError for anything else."""
    if not isinstance(value, dict):
        raise ValueError(f"{place}: {what} is {shown(value)}, not an object; export it again")
    return value


def a_list(value: Any, what: str, place: ListPlace | Path) -> list[Any]:
    """A list of JSON; raises a ValueError for anything else."""
    if not isinstance(value, list):
        raise ValueError(f"{place}: {what} is {shown(value)}, not a list; export it again")
    return value


def a_text(value: Any, what: str, place: ListPlace | Path) -> str:
    """A text without spaces around it, or a number as it is written.

    Raises:
        ValueError: it is neither, or empty.
    """
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{place}: {what} is {shown(value)}; give a text")
    return str(value).strip()


@dataclass
class Element:
    """An element of XML."""

    tag: str
    """Its name."""
    attributes: dict[str, str]
    """Its attributes, of those that are kept."""
    line: int
    """The line on which it starts, from 1."""
    children: list["Element"] = field(default_factory=list)
    """Its elements."""
    text: str = ""
    """Its text without that of its elements, without spaces around it."""

    def all(self, tag: str) -> Iterator["Element"]:
        """Its elements of a name."""
        return (child for child in self.children if child.tag == tag)

    def first(self, *tags: str) -> "Element | None":
        """What a path of names leads to, the first of several."""
        here: Element | None = self
        for tag in tags:
            here = next(here.all(tag), None) if here is not None else None
        return here

    def text_of(self, *tags: str) -> str:
        """The text of what a path of names leads to; empty if there is none."""
        found = self.first(*tags)
        return "" if found is None else found.text


def parse_xml(path: Path, text: str, *, keep: Collection[str] | None = None) -> Element:
    """The root of an XML document.

    Args:
        path: named in messages.
        text: the document.
        keep: names of the attributes to keep, for files with many others; None keeps all.

    Raises:
        ValueError: it is not well-formed, declares a document type or an entity, or is nested
            deeply.
    """
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    top = Element("", {}, 0)
    opened = [top]
    texts: list[list[str]] = [[]]

    def refuse(*_: object) -> None:
        raise ValueError(
            f"{path}:{parser.CurrentLineNumber}: a document type or an entity is declared, which "
            "annotation tools do not write and which is not read; export the file again"
        )

    def start(tag: str, attributes: dict[str, str]) -> None:
        if len(opened) > _DEEPEST:
            raise ValueError(f"{path}:{parser.CurrentLineNumber}: nested too deeply")
        if keep is not None:
            attributes = {name: attributes[name] for name in keep if name in attributes}
        element = Element(tag, attributes, parser.CurrentLineNumber)
        opened[-1].children.append(element)
        opened.append(element)
        texts.append([])

    def end(tag: str) -> None:
        opened.pop().text = "".join(texts.pop()).strip()

    def characters(text: str) -> None:
        texts[-1].append(text)

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = characters
    try:
        # The declaration names the encoding of the bytes, and this text is decoded already.
        parser.Parse(text.encode(), True)
    except expat.ExpatError as error:
        what = expat.errors.messages.get(error.code, str(error))
        raise ValueError(
            f"{path}:{error.lineno}: not well-formed XML ({what}); export the file again"
        ) from error
    return top.children[0]


def table_rows(path: Path, text: str, delimiter: str) -> list[TableRow]:
    """The rows of a CSV, without empty ones.

    Raises:
        ValueError: a quote is not closed, or a cell is too long.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[TableRow] = []
    try:
        for cells in reader:
            rows.append(TableRow(reader.line_num, tuple(cell.strip() for cell in cells)))
    except csv.Error as error:
        raise ValueError(
            f"{path}:{reader.line_num}: the table cannot be read: {error}; export it again"
        ) from error
    return [row for row in rows if any(row.cells)]
