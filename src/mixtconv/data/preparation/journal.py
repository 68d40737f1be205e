"""What is already prepared in a folder: a journal beside the videos, one line of JSON each.

A video is entered when it lies under its name, whole and on the disk. It counts as done as long as
its size is the one entered, its source is as it was and the same form is asked for. A line cut
short by a power failure is passed over: its video is prepared again.

The journal also holds the key by which each video is held out for validation, which is its name in
the original data. With it a prepared folder is split as the original is, although an `a.avi` has
become an `a.mp4`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, TextIO

from mixtconv._atomic_write import write_atomically

OWN_FILES = ".mixtconv-prepared"
"""What the names of all files begin with that are kept beside the videos."""

JOURNAL = f"{OWN_FILES}.jsonl"
"""Name of the journal; hidden files are never taken for videos."""

_FORMAT = "mixtconv prepared videos"


@dataclass(frozen=True)
class DoneVideo:
    """A video that was prepared."""

    target: str
    """The prepared file, from the folder it is in, with `/` between names."""
    source: str
    """The original, from the folder that all originals are in."""
    key: str
    """Name by which the split rule knows the original."""
    stamp: str
    """State of the original, see `original.look_at`."""
    form: str
    """Name of the form that it was put into."""
    num_frames: int
    num_bytes: int
    """Size of the prepared file."""
    source_bytes: int
    """Size of the original."""


@dataclass(frozen=True)
class Journal:
    """The videos that are prepared in a folder."""

    videos: Mapping[str, DoneVideo]
    """Prepared videos by target."""
    complete: bool
    """Whether the run that wrote it came to its end."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a user of the folder should read."""
        if self.complete:
            return ()
        return ("prepared in part only: run the same mixtconv prepare again to go on",)


def read_journal(folder: Path) -> Journal | None:
    """Read the journal of a folder; None if it has none.

    Raises:
        ValueError: the file is the journal of another version, or something else.
    """
    path = folder / JOURNAL
    if not path.is_file():
        return None
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    header = _parse(lines[0]) if lines else None
    if header is None or header.get("format") != _FORMAT:
        raise ValueError(
            f"{path}: not a journal of prepared videos; delete it, or give another folder"
        )
    names = {field.name for field in fields(DoneVideo)}
    entries = [values for values in map(_parse, lines[1:]) if values and values.keys() == names]
    videos = {values["target"]: DoneVideo(**values) for values in entries}
    return Journal(videos, header.get("complete") is True)


def append_to_journal(file: TextIO, video: DoneVideo) -> None:
    """Enter one more video."""
    file.write(json.dumps(asdict(video)) + "\n")
    file.flush()


def write_journal(folder: Path, videos: Iterable[DoneVideo], *, complete: bool) -> None:
    """Write a journal anew, unless it says the same already."""
    head = {"format": _FORMAT, "complete": complete}
    text = "".join(json.dumps(line) + "\n" for line in (head, *map(asdict, videos)))
    path = folder / JOURNAL
    if path.is_file() and path.read_text(encoding="utf-8", errors="replace") == text:
        return
    write_atomically(path, text.encode())


def _parse(line: str) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None
