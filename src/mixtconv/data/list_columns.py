"""The columns of a list of videos: what a header calls them, and what is refused or not used.

A column is known by its name, whatever its case and the way its words are joined (`video_path`,
`Video Path`, `videoPath`). Without a header, columns are path and label, or path, label and split,
or path, number of frames and label, as in lists of frames (TSN, mmaction2).

Columns of a start and an end name segments of recordings, in seconds (`start`, `t_start`,
`start_ms`; or as h:mm:ss), or in frames (`start_frame`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from mixtconv._names import composed
from mixtconv.data.listing import SPLIT_NAMES
from mixtconv.data.text_tables import TableRow
from mixtconv.video.find import exists
from mixtconv.video.segment import SpanUnit

Column = Literal["path", "label", "split", "key", "group"]

LabelKind = Literal["name", "number"]
"""Whether labels are names of classes or their numbers, counted from 0."""

_CLASS_NAMES = ("class_name", "label_name", "category_name", "action_name")
_CLASS_NUMBERS = ("class_index", "label_index", "class_idx", "label_idx")
_OTHER_LABELS = (
    *(
        "labels",
        "category",
        "category_id",
        "action",
        "action_id",
        "label_id",
        "class_id",
        "activity",
    ),
    *("gesture", "gloss", "tag", "target"),
)

_HEADERS: dict[Column, tuple[str, ...]] = {
    "path": (
        *("path", "file", "filename", "video", "file_path", "video_path", "video_file"),
        *("video_name", "clip", "clip_path", "clip_name", "clip_file", "frame_dir", "frames_dir"),
        *("frame_folder", "video_id", "clip_id", "youtube_id"),
    ),
    "label": (*_CLASS_NAMES, "label", "class", *_OTHER_LABELS, *_CLASS_NUMBERS),
    "split": ("split", "subset", "set", "partition", "fold"),
    "key": ("prepared_from",),
    "group": ("group", "session"),
}
"""Column -> its names in a header; of several in one header the earliest here counts."""

_UNITS: tuple[SpanUnit, ...] = get_args(SpanUnit)

_BORDER = re.compile(
    r"(?P<before>t|time|frame|clip|segment|action)?"
    r"((?P<start>start|begin|onset)|(?P<end>end|stop|finish|offset))"
    r"(?P<after>t|s|secs?|seconds?|ms|milliseconds?|times?|timestamp|timecode|frames?|index|idx)?"
)
"""Plain names of columns that say where a segment starts or ends."""


def plain_name(text: str) -> str:
    """Letters and digits of a name in lower case.

    >>> plain_name("Video Path"), plain_name("video_path"), plain_name("videoPath")
    ('videopath', 'videopath', 'videopath')
    """
    return "".join(filter(str.isalnum, text)).casefold()


_RANKS = {
    plain_name(name): (column, rank)
    for column, names in _HEADERS.items()
    for rank, name in enumerate(names)
}
"""Plain name -> its column, and its rank among the names of that column."""

_KINDS: dict[str, LabelKind] = {
    **{plain_name(name): "name" for name in _CLASS_NAMES},
    **{plain_name(name): "number" for name in _CLASS_NUMBERS},
}


@dataclass(frozen=True)
class SegmentColumns:
    """How the columns of start and end are read."""

    unit: SpanUnit
    """What they count."""
    places: tuple[int, int]
    """Indices of their cells."""
    names: tuple[str, str]
    """What the header calls them."""


@dataclass(frozen=True)
class ListColumns:
    """Where in a row a list says what."""

    places: Mapping[Column, int]
    """Column -> index of its cell."""
    width: int
    """Cells of a row."""
    label_kind: LabelKind | None = None
    """What labels are, if the header says so."""
    label_name: str = "label"
    """What the header calls them."""
    notes: tuple[str, ...] = ()
    """Sentences that the user should read."""
    is_grouped_as_asked: bool = False
    """Whether the groups are in the column that the user named."""
    segments: tuple[SegmentColumns, ...] = ()
    """How start and end are read, of a line those that are not empty, the first ones first; empty
    if the list is of whole videos."""
    classes: tuple[tuple[str, int], ...] = ()
    """Of a list with a column of 0 and 1 for each class their names and places; it has no column
    of labels."""


@dataclass(frozen=True)
class _Named:
    """A column below a header."""

    place: int
    name: str
    cells: tuple[str, ...]

    @property
    def plain(self) -> str:
        return plain_name(self.name)

    @property
    def is_worded(self) -> bool:
        """Whether a cell holds something else than a whole number."""
        return not all(map(is_number, self.cells))


def is_number(text: str) -> bool:
    """Whether a label is a whole number.

    >>> is_number("-1"), is_number("010"), is_number("1e3")
    (True, True, False)
    """
    return re.fullmatch(r"-?[0-9]+", text) is not None


OFF_AND_ON = ("0", "1", "0.0", "1.0", "false", "true", "")
"""Cells of a column of 0 and 1; an empty one is 0."""


def may_be_header(cells: Sequence[str]) -> bool:
    """Whether the cells of a row name a path and a label, or a path and perhaps classes."""
    is_path = any(_RANKS.get(plain_name(name), ("",))[0] == "path" for name in cells)
    are_names = len(cells) > 2 and not any(map(is_number, cells))
    return is_header(cells) or (is_path and are_names)


def has_class_columns(rows: Sequence[TableRow]) -> bool:
    """Whether the first row names a path and, in place of labels, classes, with 0 and 1 below.

    >>> rows = [["path", "walk", "wave"], ["a.mp4", "1", "0"], ["b.mp4", "1", "1"]]
    >>> has_class_columns([TableRow(line, tuple(cells)) for line, cells in enumerate(rows)])
    True
    """
    if len(rows) < 2 or is_header(rows[0].cells):
        return False
    return may_be_header(rows[0].cells) and len(_class_columns(rows[0].cells, rows[1:])) > 1


def _class_columns(header: Sequence[str], rows: Sequence[TableRow]) -> tuple[tuple[str, int], ...]:
    """The columns that nothing else is known of, and that hold 0 and 1.

    A few other cells, at most a tenth or one, make no other column of it: they are mistakes, and
    refused by line.
    """
    found = []
    for at, name in enumerate(header):
        plain = plain_name(name)
        if not name or plain in _RANKS or _BORDER.fullmatch(plain):
            continue
        cells = [row.cells[at].lower() for row in rows if at < len(row.cells)]
        filled = [cell for cell in cells if cell]
        wrong = sum(cell not in OFF_AND_ON for cell in filled)
        if filled and wrong < len(filled) and wrong <= max(1, len(filled) // 10):
            found.append((composed(name), at))
    return tuple(found)


def is_header(cells: Sequence[str]) -> bool:
    """Whether the cells of a row name a path and a label.

    >>> is_header(["id", "file_name", "Class"]), is_header(["clips/a.mp4", "jump"])
    (True, False)
    """
    found = {_RANKS[plain][0] for plain in map(plain_name, cells) if plain in _RANKS}
    return {"path", "label"} <= found


def refuse_half_header(path: Path, cells: Sequence[str]) -> None:
    """Raise for a first row that names a column of labels and none of paths, or the reverse.

    Raises:
        ValueError: it does, and names no file that exists.
    """
    found = {_RANKS[plain][0] for plain in map(plain_name, cells) if plain in _RANKS}
    missing = {"path", "label"} - found
    if len(missing) == 1 and len(cells) > 1 and not _any_exists(path, [cells[0]]):
        column: Column = "path" if "path" in missing else "label"
        names = ", ".join(_HEADERS[column][:6])
        raise ValueError(
            f"{path}: the first line, {', '.join(cells)}, is a header without a column of "
            f"{column}s: call it {names}, ... (docs/data.md has all)"
        )


def label_column(classes: Iterable[str]) -> str:
    """What a list calls the names of classes: numbers need a header that says that they are names.

    >>> label_column(["jump", "2"]), label_column(["1", "2"])
    ('label', 'class_name')
    """
    return "class_name" if all(map(is_number, classes)) else "label"


def named_columns(
    path: Path, header: Sequence[str], rows: Sequence[TableRow], *, group: str | None = None
) -> ListColumns:
    """The columns below a header.

    Args:
        path, header, rows: the list.
        group: what the user calls the column of groups; if there is none, it is something else.

    Raises:
        ValueError: a column has starts of segments and none their ends, or two give different
            labels, splits, starts or ends.
    """
    columns = [
        _Named(
            at,
            name or f"{at + 1} (without a name)",
            tuple(row.cells[at] if at < len(row.cells) else "" for row in rows),
        )
        for at, name in enumerate(header)
    ]
    filled = [column for column in columns if any(column.cells)]
    asked = plain_name(group) if group and re.fullmatch(r"[\w .-]+", group) else None
    own = next((column for column in columns if column.plain == asked), None)
    segments = _segment_columns(path, [column for column in filled if column is not own])
    ranked: dict[Column, list[_Named]] = {}
    for column in sorted(columns, key=lambda each: _RANKS.get(each.plain, ("", 0))[1]):
        if column.plain in _RANKS:
            ranked.setdefault(_RANKS[column.plain][0], []).append(column)
    splits = [c for c in ranked.pop("split", []) if c.plain == "split" or _has_splits(c.cells)]
    differing = [column for column in splits[1:] if column.cells != splits[0].cells]
    if differing:
        raise ValueError(
            f"{path}: columns {splits[0].name} and {differing[0].name} give different splits; call "
            "the one to use split and leave the other out"
        )
    classes = () if "label" in ranked else _class_columns(header, rows)
    if own is not None:
        classes = tuple(each for each in classes if each[1] != own.place)
    label = None if classes else _label_column(path, ranked.pop("label"))
    places: dict[Column, int] = {column: found[0].place for column, found in ranked.items()}
    places |= {"split": splits[0].place} if splits else {}
    places |= {} if label is None else {"label": label.place}
    places |= {} if own is None else {"group": own.place}
    used = {*places.values(), *(place for pair in segments for place in pair.places)}
    used |= {place for _, place in classes}
    unused = [column for column in filled if column.place not in used]
    return ListColumns(
        places,
        len(header),
        "name" if label is None else _KINDS.get(label.plain),
        "label" if label is None else label.name,
        _unused_note(unused),
        is_grouped_as_asked=own is not None,
        segments=segments,
        classes=classes,
    )


def _segment_columns(path: Path, columns: Sequence[_Named]) -> tuple[SegmentColumns, ...]:
    """The columns of start and end, those in time first; others where a line has those alone.

    Raises:
        ValueError: one without the other, or several that differ.
    """
    if lists := [column.name for column in columns if column.plain in ("segment", "segments")]:
        raise ValueError(
            f"{path}: {_listed(lists)} holds starts and ends together: give them as two columns, "
            "start and end"
        )
    found: dict[str, dict[SpanUnit, list[_Named]]] = {"start": {}, "end": {}}
    for column in columns:
        if match := _BORDER.fullmatch(column.plain):
            border = "start" if match["start"] else "end"
            found[border].setdefault(_unit(match), []).append(column)
    units = [unit for unit in _UNITS if unit in found["start"] and unit in found["end"]]
    if not units and (
        lone := [c.name for named in (found["start"] | found["end"]).values() for c in named]
    ):
        raise ValueError(
            f"{path}: {_listed(lone)}: a segment needs a column of starts and one of ends in "
            "the same unit, such as start and end (seconds), or start_frame and end_frame"
        )
    used: list[SegmentColumns] = []
    is_told = [False] * max((len(column.cells) for column in columns), default=0)  # by line
    for unit in units:
        start, end = (_agreeing(path, found[border][unit]) for border in ("start", "end"))
        has_some = [bool(a or b) for a, b in zip(start.cells, end.cells, strict=True)]
        if any(some and not told for some, told in zip(has_some, is_told, strict=True)):
            places, names = (start.place, end.place), (start.name, end.name)
            used.append(SegmentColumns(unit, places, names))
            is_told = [some or told for some, told in zip(has_some, is_told, strict=True)]
    return tuple(used)


def _agreeing(path: Path, columns: Sequence[_Named]) -> _Named:
    """The first of columns that say the same.

    Raises:
        ValueError: they do not.
    """
    if differing := [column for column in columns[1:] if column.cells != columns[0].cells]:
        raise ValueError(
            f"{path}: columns {columns[0].name} and {differing[0].name} differ: leave one out"
        )
    return columns[0]


def _unit(match: re.Match[str]) -> SpanUnit:
    """What a column of starts or ends counts, by its name."""
    before, after = match["before"], match["after"] or ""
    if before == "frame" or after.startswith(("frame", "index", "idx")):
        return "frames"
    return "milliseconds" if after.startswith(("ms", "milli")) else "seconds"


def _label_column(path: Path, ranked: Sequence[_Named]) -> _Named:
    """The column of labels: names rather than numbers."""
    if _KINDS.get(ranked[0].plain) == "name":
        return ranked[0]
    chosen = [column for column in ranked if column.plain in ("label", "class")] or ranked
    worded = [column for column in chosen if column.is_worded]
    if len(worded) > 1 and chosen is not ranked and worded[0].cells != worded[1].cells:
        names = " and ".join(column.name for column in worded)
        raise ValueError(
            f"{path}: columns {names} give different labels; call the one to use class_name"
        )
    return (worded or chosen)[0]


def _unused_note(columns: Sequence[_Named]) -> tuple[str, ...]:
    if not columns:
        return ()
    note = f"{_listed([column.name for column in columns])}: not used"
    splits = [c for c in columns if _RANKS.get(c.plain, ("",))[0] == "split"]
    others = [column.name for column in splits if not _has_splits(column.cells)]
    if others:
        note += f" ({', '.join(others)} would be, with splits in it: train, val, test)"
    return (note,)


def _listed(names: Sequence[str]) -> str:
    return f"column{'s' if len(names) > 1 else ''} {', '.join(names)}"


def _has_splits(cells: Sequence[str]) -> bool:
    return any(cell.lower() in SPLIT_NAMES for cell in cells)


def unnamed_columns(path: Path, rows: Sequence[TableRow]) -> tuple[ListColumns, Sequence[TableRow]]:
    """The columns of a list without a header, and its rows in them.

    Raises:
        ValueError: the lines give segments, of which only a header tells what the numbers are.
    """
    counted = _with_counts(path, rows)
    if counted:
        if {len(row.cells) for row in counted} == {4}:
            raise ValueError(
                f"{path}: lines of path, two numbers and label: say what the numbers are with a "
                "header, such as path,start_frame,end_frame,label (from 0, the end not included)"
            )
        note = "the second column, numbers of frames, is not used: frames are counted"
        return ListColumns({"path": 0, "label": 2}, 3, notes=(note,)), counted
    places: dict[Column, int] = {"path": 0, "label": 1}
    if any(_has_splits(row.cells[2:3]) for row in rows):
        places["split"] = 2
    return ListColumns(places, len(places)), rows


def _with_counts(path: Path, rows: Sequence[TableRow]) -> list[TableRow]:
    """The rows if they are those of a list of frames: a path, numbers, and a numbered label.

    Of rows with spaces the numbers are still in the cell of the path, which a path could end in as
    well: then what exists decides.
    """
    first = [re.fullmatch(r"(.*?\S)((?:\s+[0-9]+){1,2})", row.cells[0]) for row in rows]
    if all(len(row.cells) == 2 and match and is_number(row.cells[1])
           for row, match in zip(rows, first, strict=True)):  # fmt: skip
        matches = [match for match in first if match]
        names = [row.cells[0] for row in rows]
        if not _any_exists(path, names) and _any_exists(path, [match[1] for match in matches]):
            return [
                TableRow(row.line, (match[1], *match[2].split(), row.cells[1]))
                for row, match in zip(rows, matches, strict=True)
            ]
    if all(len(row.cells) in (3, 4) and all(map(is_number, row.cells[1:])) for row in rows):
        return list(rows)
    return []


def _any_exists(path: Path, names: Sequence[str]) -> bool:
    return any(exists(path.parent / name) for name in names)
