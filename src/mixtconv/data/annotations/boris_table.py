"""BORIS: events exported as CSV or TSV, aggregated or tabular; see `boris.py`.

Columns have the names of BORIS 7 and later. Tabular events of BORIS 7 have lines about the
observation above the header.
"""

import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from mixtconv.data.annotations.boris import (
    MODIFIERS,
    NO_VIDEO,
    POINT,
    UNPAIRED,
    Key,
    Observation,
    State,
    pair,
    to_annotations,
)
from mixtconv.data.annotations.documents import exact, table_rows
from mixtconv.data.annotations.segment import Annotations, Omissions
from mixtconv.data.listing import ListPlace
from mixtconv.data.text_tables import TableRow

NOT_KNOWN = ("", "NA", "Not found")
"""What BORIS writes in place of a value that it does not have."""

_PREAMBLE = 100
"""Lines before the header in tabular events of BORIS 7: the observation, its files, variables."""

_PLAYER = re.compile(r"player #[0-9]+:", re.IGNORECASE)

_MEDIA = ("source", "media file(s)", "media file", "media file path", "media file name")
_TIMES = ("start (s)", "stop (s)")
_STATUS = ("behavior type", "status")


def find_delimiter(path: Path, beginning: str) -> str | None:
    """What separates the columns of an export with events; None if it is none."""
    for line in beginning.splitlines()[:_PREAMBLE]:
        for delimiter in (",", "\t", ";"):
            try:
                rows = table_rows(path, line, delimiter)
            except ValueError:
                continue
            if any(is_header(row.cells) for row in rows):
                return delimiter
    return None


def is_header(cells: Sequence[str]) -> bool:
    """Whether cells are the header of aggregated or tabular events.

    >>> is_header(["Media file", "Behavior", "Behavior type", "Start (s)", "Stop (s)"])
    True
    """
    names = {cell.lower() for cell in cells}
    if "behavior" not in names or not names.intersection(_MEDIA):
        return False
    return names.issuperset(_TIMES) or ("time" in names and bool(names.intersection(_STATUS)))


def read_table(path: Path, text: str, delimiter: str) -> Annotations:
    """Read aggregated or tabular events.

    Raises:
        ValueError: it is broken; the line is named.
    """
    rows = table_rows(path, text, delimiter)
    at = next((index for index, row in enumerate(rows) if is_header(row.cells)), None)
    if at is None:
        raise ValueError(f"{path}: the line of its columns is inside a quote; export it again")
    return _TableReader(path, rows, at).read()


class _TableReader:
    """Reads the events below a header."""

    def __init__(self, path: Path, rows: Sequence[TableRow], at: int) -> None:
        self._path = path
        self._width = len(rows[at].cells)
        # of columns of one name the first
        self._columns = {name.lower(): i for i, name in reversed([*enumerate(rows[at].cells)])}
        self._rows = rows[at + 1 :]
        self._preamble = {
            row.cells[0].lower(): row.cells[1] for row in rows[:at] if len(row.cells) > 1
        }
        self._omissions = Omissions()
        self._observed: dict[str, tuple[Observation, ListPlace]] = {}
        self._states: list[State] = []
        self._ends: list[tuple[Key, Fraction, ListPlace, bool | None]] = []

    def read(self) -> Annotations:
        """All that the rows say."""
        for row in self._rows:
            place = ListPlace(self._path.name, row.line)
            if len(row.cells) != self._width:
                raise ValueError(
                    f"{place}: {len(row.cells)} columns, not {self._width}; export it again"
                )
            observation = self._observation(row, place)
            if observation is None:
                self._omissions.add("event", NO_VIDEO)
            else:
                self._read_event(row, observation, place)
        for key, start, end, place in pair(self._ends, self._omissions):
            name, behavior, subject, *_ = key
            observation = self._observed[name][0]
            self._states.append(State(observation, behavior, subject, start, end, place))
        return to_annotations(self._states, self._observed, self._omissions)

    def _read_event(self, row: TableRow, observation: Observation, place: ListPlace) -> None:
        behavior, subject = self._cell(row, "behavior"), self._cell(row, "subject")
        if not behavior:
            raise ValueError(f"{place}: an event without a behavior; export it again")
        modifiers = [
            row.cells[i]
            for name, i in self._columns.items()
            if name.startswith("modifier") and row.cells[i]
        ]
        self._omissions.add("modifier set", MODIFIERS, bool(modifiers))
        status = self._cell(row, *_STATUS).upper()
        if status == "POINT":
            self._omissions.add("point event", POINT)
        elif self._columns.keys() >= set(_TIMES):
            start, stop = (self._cell(row, name) for name in _TIMES)
            if start in NOT_KNOWN or stop in NOT_KNOWN:
                self._omissions.add("state", UNPAIRED)
                return
            span = exact(start, "Start (s)", place), exact(stop, "Stop (s)", place)
            self._states.append(State(observation, behavior, subject, *span, place))
        elif status in ("START", "STOP"):
            key = (observation.name, behavior, subject, *modifiers)
            time = exact(self._cell(row, "time"), "Time", place)
            self._ends.append((key, time, place, status == "STOP"))
        else:
            raise ValueError(
                f"{place}: behavior type is {status!r}; give START, STOP or POINT, as BORIS does"
            )

    def _cell(self, row: TableRow, *names: str) -> str:
        """The first cell of these names that says something."""
        for name in names:
            at = self._columns.get(name)
            if at is not None and row.cells[at]:
                return row.cells[at]
        return ""

    def _observation(self, row: TableRow, place: ListPlace) -> Observation | None:
        """The observation of an event, the same for all its events; None without a video."""
        name = self._cell(row, "observation id") or self._preamble.get("observation id", "")
        listed = self._cell(row, *_MEDIA[:4])
        kind = self._cell(row, "observation type").lower()
        if listed.lower().startswith("live") or (kind and not kind.startswith("media")):
            return None
        files = _first_player(listed) or (self._cell(row, "media file name"),)
        if files[0] in NOT_KNOWN:
            return None
        key = name or files[0]
        if key not in self._observed:
            self._observed[key] = (self._new(key, files, row, place), place)
        observation = self._observed[key][0]
        if observation.files != files:
            raise ValueError(
                f"{place}: observation {key!r} has the file {files[0]!r} here and "
                f"{observation.files[0]!r} before, and this export does not say in which order "
                "they were played; give the project (.boris) instead"
            )
        return observation

    def _new(
        self, name: str, files: tuple[str, ...], row: TableRow, place: ListPlace
    ) -> Observation:
        texts = _first_player(self._cell(row, "media duration (s)"))
        lengths: tuple[Fraction | None, ...] = (None,) * len(files)
        if len(texts) == len(files):
            lengths = tuple(
                None if text in NOT_KNOWN else exact(text, "Media duration (s)", place)
                for text in texts
            )
        offset = self._cell(row, "time offset (s)") or self._preamble.get("time offset (s)", "")
        return Observation(
            name,
            files,
            lengths,
            Fraction(0) if offset in NOT_KNOWN else exact(offset, "Time offset (s)", place),
        )


def _first_player(text: str) -> tuple[str, ...]:
    """The files, or other values, of the first player: of several, the one that times belong to.

    >>> _first_player("player #1:a.mp4;b.mp4|player #2:c.mp4")
    ('a.mp4', 'b.mp4')
    """
    players = _PLAYER.split(text.partition("|")[0])
    first = next((player for player in players if player.strip()), "")
    return tuple(part.strip() for part in first.split(";") if part.strip())
