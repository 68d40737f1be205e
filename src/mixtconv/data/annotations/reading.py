"""Annotation files: which format one has, by its content, and what it says."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixtconv.data.annotations import (
    activitynet,
    boris,
    boris_project,
    boris_table,
    create_ml,
    cvat,
    elan,
    label_studio,
    thumos,
    via,
)
from mixtconv.data.annotations.documents import parse_json, parse_xml, read_document, table_rows
from mixtconv.data.annotations.segment import Annotations, with_empty_recordings
from mixtconv.video.find import is_hidden, natural_order

SUFFIXES = (".eaf", ".xml", ".json", ".boris", ".csv", ".tsv", ".txt")
"""Endings of the files of a folder that may be annotation files."""

_HEAD_BYTES = 2**20
"""What is looked at before a file is read as a whole."""

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)

Reader = Callable[[], Annotations]


@dataclass(frozen=True)
class _JsonFormat:
    """A format in JSON."""

    title: str
    marks: tuple[str, ...]
    """Keys that are all in the beginning of a file of it, so that a broken one is known too; none
    if other lists have them as well."""
    fits: Callable[[Any], bool]
    """Whether content is of the format."""
    read: Callable[[Path, Any], Annotations]


_JSON_FORMATS = (
    _JsonFormat(
        label_studio.TITLE,
        ("annotations", "data", "result"),
        label_studio.is_export,
        label_studio.read_export,
    ),
    _JsonFormat(
        label_studio.TITLE,
        ("annotation_id", "timelinelabels"),
        label_studio.is_short_export,
        label_studio.read_short_export,
    ),
    _JsonFormat(
        boris.TITLE,
        ("behaviors_conf", "observations"),
        boris_project.is_project,
        boris_project.read_project,
    ),
    _JsonFormat(via.TITLE, ("project", "vid_list"), via.is_project, via.read_project),
    _JsonFormat(
        activitynet.TITLE,
        ("database", "annotations", "segment"),
        activitynet.is_database,
        activitynet.read_database,
    ),
    _JsonFormat(create_ml.TITLE, (), create_ml.is_list, create_ml.read_list),
)

_HINTS = (
    *("annotations", "completions", "annotation_id", "database", "metadata", "observations"),
    "image",
)
"""Keys of which a file in one of the formats has one in its beginning."""


def read_annotations(path: Path) -> Annotations | None:
    """Read an annotation file, or all those of a folder.

    Args:
        path: of any name; the content decides.

    Returns:
        What is annotated; None if the file is in none of the formats, or the folder holds none.

    Raises:
        ValueError: the file is in one of the formats and broken; the message says where.
        OSError: it cannot be opened.
    """
    if path.is_dir():
        return _joined(path)
    reader = _find_reader(path)
    return None if reader is None else reader()


def annotation_files(folder: Path) -> list[Path]:
    """The annotation files directly in a folder, in natural order.

    A file that looks like one and cannot be read is among them, so that reading it says why.
    """
    names = natural_order(
        entry.name
        for entry in folder.iterdir()
        if entry.suffix.lower() in SUFFIXES and not is_hidden(entry.name)
    )
    return [folder / name for name in names if _is_annotations(folder / name)]


def _is_annotations(path: Path) -> bool:
    if not path.is_file():
        return False
    try:
        return _find_reader(path) is not None
    except ValueError:
        return True


def _joined(folder: Path) -> Annotations | None:
    """What the files of a folder say together, each note once."""
    found = [(path, read_annotations(path)) for path in annotation_files(folder)]
    read = [(path, each) for path, each in found if each is not None]
    if not read:
        return None
    notes: dict[str, list[str]] = {}
    for path, each in read:
        for note in each.notes:
            notes.setdefault(note, []).append(path.name)
    said = [
        note if len(files) == len(read) else f"{files[0]}: {note}" + _more(len(files) - 1)
        for note, files in notes.items()
    ]
    segments = [segment for _, each in read for segment in each.segments]
    labelled = [segment for segment in segments if segment.label]
    return Annotations(
        ", ".join(dict.fromkeys(each.title for _, each in read)),
        with_empty_recordings(labelled, [s for s in segments if not s.label]),
        tuple(segment for _, each in read for segment in each.uncertain),
        tuple(said),
    )


def _more(count: int) -> str:
    return f" (and in {count} more)" if count else ""


def _find_reader(path: Path) -> Reader | None:
    """What reads a file; None if it is in none of the formats.

    Raises:
        ValueError: it is in one of the formats and cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    beginning = _decoded(head)
    if beginning is None:
        return None
    start = beginning.lstrip("\ufeff \t\r\n")[:1]
    if start == "<":
        return _find_xml(path, beginning)
    if start in ("{", "["):
        return _find_json(path, beginning)
    return _find_table(path, beginning)


def _decoded(head: bytes) -> str | None:
    """The beginning of a text, whatever its bytes; None if it is no text."""
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return head.decode("utf-16", "replace")
    return None if b"\0" in head else head.decode("utf-8", "replace")


def _find_xml(path: Path, beginning: str) -> Reader | None:
    root = re.search(r"<([A-Za-z_][\w.-]*)", _COMMENT.sub("", beginning))
    name = root[1] if root else ""
    if name == "ANNOTATION_DOCUMENT":
        return lambda: elan.read_document(path, parse_xml(path, read_document(path)))
    if name == "annotations" and re.search(r"<meta\b", beginning):
        document = parse_xml(path, read_document(path), keep=cvat.KEPT)
        return (lambda: cvat.read_export(path, document)) if cvat.is_export(document) else None
    return None


def _find_json(path: Path, beginning: str) -> Reader | None:
    likely = [
        each
        for each in _JSON_FORMATS
        if each.marks and all(f'"{mark}"' in beginning for mark in each.marks)
    ]
    if not likely and not any(f'"{hint}"' in beginning for hint in _HINTS):
        return None
    try:
        content = parse_json(read_document(path))
    except ValueError as error:
        if not likely:
            return None
        what = str(error).removeprefix(f"{path}: ")
        if isinstance(error, json.JSONDecodeError):
            what = f"not JSON: {what}"
        raise ValueError(
            f"{path}: looks like an export of {likely[0].title}, but {what}; export it again"
        ) from error
    for each in _JSON_FORMATS:
        if each.fits(content):
            return _later(each.read, path, content)
    return None


def _later(read: Callable[[Path, Any], Annotations], path: Path, content: Any) -> Reader:
    return lambda: read(path, content)


def _find_table(path: Path, beginning: str) -> Reader | None:
    if re.search(rf'^["\s]*{re.escape(via.HEADER_MARK)}', beginning, re.MULTILINE):
        return lambda: via.read_csv(path, read_document(path))
    if thumos.is_text(path, beginning):
        return lambda: thumos.read_text(path, read_document(path))
    for delimiter in (",", "\t"):
        first = beginning.split("\n", 1)[0].lstrip("\ufeff")
        if label_studio.is_short_header(_cells(path, first, delimiter)):
            return _later_table(path, delimiter)
    separator = boris_table.find_delimiter(path, beginning)
    if separator is not None:
        return lambda: boris_table.read_table(path, read_document(path), separator)
    return None


def _later_table(path: Path, delimiter: str) -> Reader:
    return lambda: label_studio.read_csv(path, read_document(path), delimiter)


def _cells(path: Path, line: str, delimiter: str) -> tuple[str, ...]:
    try:
        rows = table_rows(path, line, delimiter)
    except ValueError:
        return ()
    return rows[0].cells if rows else ()
