"""The lists of a known dataset: their lines and cells, and the video of each entry.

A dataset reads its files with `read_lines` or `read_columns` into `ParsedLists`. `match_videos`
then looks up the video of each entry, compares the entries with each other and with the classes,
and returns the videos and the faults.
"""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mixtconv._names import composed, count_of, first_few, unknown_name
from mixtconv.data.datasets.classes import OrderedClasses
from mixtconv.data.datasets.layout import VideoIndex
from mixtconv.data.listing import (
    BY_RECORDINGS,
    Fault,
    FaultKind,
    ListedVideo,
    ListPlace,
    Split,
    VideoListing,
    contradiction,
)
from mixtconv.data.text_tables import read_text

_FIX = "save it in UTF-8, or take the file as it is distributed"

EMPTY = "an empty column"
"""Fault of a row in which a column that is read is empty."""

_VIDEO_AND_WORDS = re.compile(r"(\S.*?\.\w+)((?:\s+\S+)*)")


@dataclass(frozen=True, slots=True)
class ListEntry:
    """One video as a list gives it."""

    key: str
    """Its name in the dataset."""
    class_name: str
    """Its label."""
    split: Split
    """The split that the list is of."""
    place: ListPlace
    """File and line that say so."""
    group: str = ""
    """The recording that it is cut from, where its name tells."""

    def fault(self, kind: FaultKind, reason: str) -> Fault:
        """A fault of this entry."""
        return Fault(
            *(kind, self.key, reason),
            label=self.class_name,
            split=self.split,
            place=self.place,
            group=self.group,
        )


@dataclass
class ParsedLists:
    """The content of the lists of a dataset."""

    entries: list[ListEntry] = field(default_factory=list)
    """The entries in the order of the lists."""
    faults: list[Fault] = field(default_factory=list)
    """Lines that cannot be used."""
    notes: list[str] = field(default_factory=list)
    """Sentences that the user should read."""

    def malformed(self, place: ListPlace, reason: str, *, split: Split | None = None) -> None:
        """Report a line that cannot be used."""
        reason = f"{reason}; correct or remove it"
        self.faults.append(Fault("malformed", str(place), reason, split=split, place=place))

    def mislabelled(self, entry: ListEntry, reason: str) -> None:
        """Report a video with an impossible label."""
        self.faults.append(entry.fault("mislabelled", f"{entry.place}: {reason}"))


def match_videos(
    parsed: ParsedLists,
    index: VideoIndex,
    *,
    root: Path,
    classes: OrderedClasses,
    lists: Iterable[Path],
    may_lack_videos: bool = False,
) -> VideoListing:
    """List the videos of all entries; compare these with each other and with the classes.

    Args:
        parsed: the entries, and faults that the result takes over.
        index: finds the video of a key.
        root: the folder of the dataset.
        classes: its classes, the labels allowed.
        lists: the files of the lists.
        may_lack_videos: whether missing videos are `absent` instead of faults.

    Raises:
        ValueError: none of the videos exists.
    """
    videos: list[ListedVideo] = []
    faults, missing = list(parsed.faults), []
    reasons: dict[str, str] = {}
    first: dict[str, ListEntry] = {}
    repeated, known = 0, set(classes.names)
    for entry in parsed.entries:
        earlier = first.setdefault(entry.key, entry)
        if earlier is not entry:
            repeated += (conflict := contradiction(entry, earlier)) is None
            if conflict is not None:
                word, here, before = conflict
                reason = f"in {word} {here} at {entry.place} and in {before} at {earlier.place}"
                faults.append(entry.fault("mislabelled", reason))
            continue
        if entry.class_name not in known:
            if entry.class_name not in reasons:  # the near names take long to find
                reasons[entry.class_name] = str(unknown_name("class", entry.class_name, known))
            reason = f"{entry.place}: {reasons[entry.class_name]}"
            faults.append(entry.fault("mislabelled", reason))
            continue
        path = index.find(entry.key)
        if path is None:
            missing.append(entry.fault("missing", f"not there; {entry.place} lists it"))
        else:
            videos.append(
                ListedVideo(
                    *(path, entry.class_name, entry.split, entry.key, entry.place, entry.group)
                )
            )
    if missing and not videos:
        raise ValueError(_no_videos(missing, index.folders))
    notes = list(parsed.notes)
    if repeated:
        notes.append(f"{count_of(repeated, 'line')} repeated an earlier one and counted once")
    return VideoListing(
        root,
        tuple(videos),
        notes=(*notes, *classes.notes),
        classes=classes.names,
        faults=tuple(faults) if may_lack_videos else (*faults, *missing),
        absent=tuple(missing) if may_lack_videos else (),
        lists=tuple(lists),
        grouped_by=BY_RECORDINGS if any(video.group for video in videos) else "",
    )


def _no_videos(missing: Sequence[Fault], looked_in: Sequence[Path]) -> str:
    names = first_few([fault.video for fault in missing])
    folders = first_few(looked_in, count=4) or "no folder of videos, none was found"
    return (
        f"none of the {len(missing)} videos of the lists is there ({names}); looked in {folders}; "
        "put the videos beside the lists as they are distributed, or give the folder that holds "
        "both"
    )


@dataclass(frozen=True, slots=True)
class ListRow:
    """The columns of a line that are read."""

    place: ListPlace
    """File and line."""
    cells: tuple[str, ...]
    """The columns; empty if the line lacks one."""
    fault: str | None
    """Why the line cannot be used."""


def read_lines(path: Path) -> Iterator[tuple[ListPlace, str]]:
    """The lines of a file with their places, without empty ones.

    Raises:
        ValueError: the file is not text in UTF-8 or UTF-16.
    """
    # Not splitlines: it also splits at characters that may be in a name.
    for number, line in enumerate(re.split(r"\r\n|\n|\r", read_text(path, fix=_FIX)), 1):
        text = composed(line.strip())
        if text:
            yield ListPlace(path.name, number), text


def read_columns(
    path: Path, wanted: Sequence[Sequence[str]], *, without_header: str | None = None
) -> Iterator[ListRow]:
    """Some columns of a file with commas and a header that names them.

    Args:
        path: the file.
        wanted: the names that each of the columns may have.
        without_header: separator of the columns if the file has no header; then its columns are
            exactly the wanted ones, in this order. By default a header is required.

    Raises:
        ValueError: the header is missing, and it is required.
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
    """Whether a file has a header that names the wanted columns."""
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
    """The indices of the wanted columns in a header; empty if it lacks one."""
    chosen = [next((name for name in choices if name in names), None) for choices in wanted]
    return [] if None in chosen else [names.index(name) for name in chosen if name is not None]


def _no_header(path: Path, line: str, wanted: Sequence[Sequence[str]]) -> str:
    expected = ",".join(choices[0] for choices in wanted)
    return f"{path}: its first line is {line[:60]!r}; expected a header with the columns {expected}"


def split_video(line: str) -> tuple[str, list[str]]:
    """The name of a video file, which may contain spaces, and the words behind it.

    >>> split_video("Apply Make up/v 1.avi 1"), split_video("nothing")
    (('Apply Make up/v 1.avi', ['1']), ('', []))
    """
    match = _VIDEO_AND_WORDS.fullmatch(line)
    return (match[1].replace("\\", "/"), match[2].split()) if match else ("", [])


def split_commas(line: str) -> tuple[str, ...] | None:
    """The cells of a line with commas and perhaps quotes; None if a quote is not closed.

    >>> split_commas('7,"a, b",c')
    ('7', 'a, b', 'c')
    """
    try:
        return tuple(cell.strip() for cell in next(csv.reader([line], strict=True)))
    except csv.Error:
        return None
