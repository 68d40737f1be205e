"""The journal of a folder of prepared videos: which are complete, one line of JSON each.

A video is entered once its file has its final name and is on the disk. It counts as done as long as
its size is the one entered, its original is unchanged and the same form is wanted. A line cut short
by a power failure is skipped: its video is prepared again.

The journal also holds the key by which the split rule knows each video, which is its name in the
original data. So a prepared folder is split as the original is, although an `a.avi` has become an
`a.mp4`. Reading is here, for all that list videos; `preparation/output.py` writes it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

OWN_FILES = ".mixtconv-prepared"
"""Beginning of the names of all files that are kept beside the videos."""

JOURNAL = f"{OWN_FILES}.jsonl"
"""Name of the journal; it is hidden, and hidden files are not taken for videos."""

JOURNAL_FORMAT = "mixtconv prepared videos"
"""The `format` in the first line of a journal."""


@dataclass(frozen=True)
class DoneVideo:
    """A video that was prepared."""

    target: str
    """The prepared file, relative to the folder of the journal, with `/` between names."""
    source: str
    """The original, relative to the folder of all originals."""
    key: str
    """Name by which the split rule knows the original."""
    stamp: str
    """State of the original, see `form.stat_original`."""
    form: str
    """Name of its form, see `PreparedForm.name`."""
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
    """Whether the run that wrote it finished."""

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences that a user of the folder should read."""
        if self.complete:
            return ()
        return ("only partly prepared: run the same mixtconv prepare again to continue",)


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
    if header is None or header.get("format") != JOURNAL_FORMAT:
        raise ValueError(
            f"{path}: not a journal of prepared videos; delete it, or give another folder"
        )
    names = {field.name for field in fields(DoneVideo)}
    entries = [values for values in map(_parse, lines[1:]) if values and values.keys() == names]
    videos = {values["target"]: DoneVideo(**values) for values in entries}
    return Journal(videos, header.get("complete") is True)


def _parse(line: str) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None
