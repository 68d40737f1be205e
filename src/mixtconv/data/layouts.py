"""The two layouts of a user's own data: class folders, and a list.

Class folders: `ROOT/<class>/*`, or `ROOT/train/<class>/*` beside `val/` or `test/`. A video is a
file with a video's suffix or a folder of pictures; its pictures in a folder beside it are no
further one, in both layouts (`find.left_out`). Where `ROOT` holds two trees of optical flow,
`u` and `v`, its videos are those of `ROOT/u`. Deeper folders are not searched: a video there is
reported as ignored, not taken under a class that nobody meant.

List: a CSV, lines of `path,label` or `path,label,split` with or without a header, or JSON; see
`text_tables`, `list_columns` and `label_reading`. All lines are read before any is refused, so that
one run reports all faults. A file in it is taken whatever its suffix. A column `prepared_from`
holds the path of the video from which a prepared one was made, by which the split rule goes; a
column `group` names the recording session or the person of a video. With columns of a start and an
end, lines name segments of recordings.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath

from mixtconv._names import composed, count_of, first_few
from mixtconv.data.groups import by_recordings
from mixtconv.data.journal import Journal, read_journal
from mixtconv.data.label_reading import LabelReading, read_list_labels
from mixtconv.data.list_columns import (
    ListColumns,
    has_class_columns,
    is_header,
    may_be_header,
    named_columns,
    refuse_half_header,
    unnamed_columns,
)
from mixtconv.data.listing import (
    SPLIT_NAMES,
    Fault,
    FaultKind,
    LabelMode,
    ListedVideo,
    ListPlace,
    Split,
    VideoListing,
    contradiction,
)
from mixtconv.data.several_labels import SEPARATOR, with_labels
from mixtconv.data.text_tables import SEVERAL, TableRow, not_text, read_table
from mixtconv.video.find import (
    VIDEO_SUFFIXES,
    composed_names,
    exists,
    has_flow_trees,
    is_hidden,
    is_one_video,
    is_video,
    left_out,
    natural_order,
    other_spellings,
)
from mixtconv.video.segment import Span, is_segment_name, parse_span

_LAYOUTS = "expected {root}/<class>/<video> or {root}/train/<class>/<video>"

_FORMAT = "expected lines of path,label or path,label,split"

_MAY_BE_EMPTY = ("group", "start", "end")


def list_folder(root: str | Path) -> VideoListing:
    """List the videos of a folder of class folders.

    The folders of `root` are splits if one of them is `train`, or if all are named for splits
    (`train`, `val`, `valid`, `validation`, `test`, in any case). A folder `train` that itself holds
    videos, beside folders of other names, is a class.

    Raises:
        ValueError: no class folder holds a video; the message says where videos were found.
    """
    root = Path(root)
    journal = read_journal(root)
    top = root / "u" if has_flow_trees(root) else root
    splits = _split_folders(top)
    videos: list[ListedVideo] = []
    ignored: list[Path] = []
    if splits:
        ignored += [entry for entry in _entries(top) if entry not in splits.values()]
    for split, folder in splits.items() or [(None, top)]:
        for entry in _entries(folder):
            class_videos, others = _class_videos(entry) if entry.is_dir() else ([], [])
            ignored += others if class_videos else [entry]
            name = composed(entry.name)
            videos += [
                ListedVideo(video, name, split, f"{name}/{video.name}") for video in class_videos
            ]
    if not videos:
        raise ValueError(_no_videos(root, ignored))
    belonging, notes = left_out([video.path for video in videos], below=root)
    videos = [video for video in videos if video.path not in belonging]
    if journal is None:
        return VideoListing(root, tuple(videos), tuple(ignored), notes)
    notes = (*notes, *journal.notes)
    return VideoListing(root, _with_keys(videos, root, journal), tuple(ignored), notes)


def _with_keys(
    videos: Sequence[ListedVideo], root: Path, journal: Journal
) -> tuple[ListedVideo, ...]:
    """Give prepared videos the keys of their originals, so that the same ones are held out."""
    entries = [journal.videos.get(video.path.relative_to(root).as_posix()) for video in videos]
    return tuple(
        video if entry is None else replace(video, key=entry.key)
        for video, entry in zip(videos, entries, strict=True)
    )


def _split_folders(root: Path) -> dict[Split, Path]:
    """The folder of each split, the first of `SPLIT_NAMES`; empty if `root` holds classes."""
    folders = {entry.name.lower(): entry for entry in _entries(root) if entry.is_dir()}
    only_splits = set(folders) <= set(SPLIT_NAMES)
    if not only_splits and ("train" not in folders or _class_videos(folders["train"])[0]):
        return {}
    splits: dict[Split, Path] = {}
    for name, split in SPLIT_NAMES.items():
        if name in folders:
            splits.setdefault(split, folders[name])
    return splits


def _class_videos(folder: Path) -> tuple[list[Path], list[Path]]:
    """The videos directly in a class folder, and its other entries.

    A folder that is itself a video has none.
    """
    entries = _entries(folder)
    if is_one_video(folder):
        return [], entries
    videos = [e for e in entries if (is_one_video(e) if e.is_dir() else is_video(e))]
    chosen = set(videos)
    return videos, [entry for entry in entries if entry not in chosen]


def _entries(folder: Path) -> list[Path]:
    names = [entry.name for entry in folder.iterdir() if not is_hidden(entry.name)]
    return [folder / name for name in natural_order(names)]


def _no_videos(root: Path, ignored: Sequence[Path]) -> str:
    layouts = _LAYOUTS.format(root=root)
    loose = [entry for entry in ignored if is_video(entry)]
    if loose:
        names = first_few([entry.relative_to(root) for entry in loose])
        return (
            f"{root}: its videos ({names}) are not in class folders; {layouts}: put each into "
            "a folder named for its class, or give a CSV with the columns path,label"
        )
    visible = (e for e in root.rglob("*") if not any(map(is_hidden, e.relative_to(root).parts)))
    deeper = next(filter(is_video, visible), None)
    if deeper is not None:
        return (
            f"{root}: no videos in class folders, but there is {deeper.relative_to(root)} deeper; "
            f"{layouts}: give the folder that holds the class folders"
        )
    suffixes = " ".join(VIDEO_SUFFIXES)
    return (
        f"{root}: no videos in it; {layouts}, where a video is a folder of pictures or a file "
        f"ending in one of {suffixes}"
    )


def list_csv(
    path: str | Path,
    *,
    classes: Sequence[str] | None = None,
    group: str | None = None,
    labels: LabelMode | None = None,
) -> VideoListing:
    """List the videos of a CSV, or of a JSON list.

    Args:
        path: the list; relative paths in it start from its folder.
        classes: the only class names allowed; then labels may also be numbers, 0 for the first.
            Without them every label is a name.
        group: the column of groups, in any case, in place of `group`; nothing if there is none.
        labels: whether videos have one label or several; by default what the list says, see
            `label_reading.read_list_labels`.

    Returns:
        The videos, and as `faults` the lines that cannot be used: a missing file, an unknown label
        or split, one video under two labels or in two splits. Columns that are not used, and labels
        that are numbers, are named in its `notes`.

    Raises:
        ValueError: the file is not such a list, it lists parts of videos, or its labels could be
            names of classes as well as their numbers.
    """
    path = Path(path)
    rows: Sequence[TableRow] = read_table(path, is_header=may_be_header)
    has_header = has_class_columns(rows) or (len(rows) > 0 and is_header(rows[0].cells))
    if has_header:
        header, rows = rows[0].cells, rows[1:]
        columns = named_columns(path, header, rows, group=group)
    else:
        if rows:
            refuse_half_header(path, rows[0].cells)
        columns, rows = unnamed_columns(path, rows)
        _refuse_prose(path, rows)
    if not rows:
        raise ValueError(f"{path}: no lines in it; {_FORMAT}")
    reading = read_list_labels(path, rows, columns, classes, mode=labels, has_header=has_header)
    reader = _LineReader(path, columns, reading)
    for row in rows:
        reader.read(row)
    notes = [*columns.notes, *reader.labels.notes, *reader.leave_out()]
    if reader.repeated:
        lines = count_of(reader.repeated, "line")
        notes.append(f"{lines} repeated an earlier one and counted once")
    listing = VideoListing(
        path,
        tuple(reader.videos.values()),
        notes=tuple(notes),
        classes=reading.own_classes if classes is None else None,
        faults=tuple(reader.faults),
        group_column=group if columns.is_grouped_as_asked else None,
    )
    # Prepared segments are whole files, which their recordings keep together all the same.
    are_segments = columns.segments is not None or any(
        is_segment_name(video.key) for video in listing.videos if "key" in columns.places
    )
    return by_recordings(listing) if are_segments else listing


class _LineError(ValueError):
    """A line that cannot be used."""

    def __init__(self, kind: FaultKind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass
class _LineReader:
    """Reads the lines of one list and collects the videos and the faults."""

    file: Path
    columns: ListColumns
    labels: LabelReading
    videos: dict[tuple[Path, Span | None], ListedVideo] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    real_folder: Callable[[Path], Path] = field(default_factory=lambda: cache(Path.resolve))
    names_in: Callable[[Path], Mapping[str, Sequence[str]]] = field(
        default_factory=lambda: cache(composed_names)
    )
    repeated: int = 0

    def read(self, row: TableRow) -> None:
        place = ListPlace(self.file.name, row.line, row.unit)
        values: dict[str, str] = {}
        try:
            values |= self._values(row.cells)
            self._add(self._video(values, row.cells, place))
        except _LineError as error:
            video, label = values.get("path", str(place)), values.get("label")
            split = SPLIT_NAMES.get(values.get("split", "").lower())
            fault = Fault(error.kind, video, str(error), label=label, split=split, place=place)
            key = _key(values) if error.kind == "missing" else ""
            self.faults.append(replace(fault, group=values.get("group", ""), key=key))

    def _values(self, cells: tuple[str, ...]) -> dict[str, str]:
        width = self.columns.width
        while len(cells) > width and not cells[-1]:  # spreadsheets pad lines
            cells = cells[:-1]
        if len(cells) != width:
            raise _LineError(
                "malformed",
                f"{count_of(len(cells), 'column')}, not {width} (quote a name with a comma)",
            )
        values: dict[str, str] = {name: cells[at] for name, at in self.columns.places.items()}
        for name, value in values.items():
            if SEVERAL in value and not (name == "label" and self.labels.several):
                what = value.removeprefix(SEVERAL)
                raise _LineError("malformed", f"{name} is {what[:60]!r}; give one text")
            if name not in ("path", "key") and not _is_utf8(value):
                raise not_text(self.file, f"{value!r} is none; save it in UTF-8")
        # A video may have no group, and one without start and end is meant whole.
        may_be_empty = (*_MAY_BE_EMPTY, "label") if self.labels.several else _MAY_BE_EMPTY
        empty = next((n for n in values if not values[n] and n not in may_be_empty), None)
        if empty is not None:
            raise _LineError("malformed", f"an empty {empty}")
        if "split" in values and not _is_split([values["split"]]):
            allowed = ", ".join(SPLIT_NAMES)
            raise _LineError("malformed", f"split {values['split']!r} is none of {allowed}")
        return values

    def _video(self, values: dict[str, str], cells: Sequence[str], place: ListPlace) -> ListedVideo:
        split = SPLIT_NAMES[values["split"].lower()] if "split" in values else None
        names: tuple[str, ...] | None = None
        try:
            if self.labels.several:
                names = self.labels.class_names(values.get("label", ""), cells)
                values["label"] = SEPARATOR.join(names)
            else:
                values["label"] = self.labels.class_name(composed(values["label"]))
        except ValueError as error:
            raise _LineError("mislabelled", str(error)) from error
        span = self._span(values)
        path = self._find(values["path"])
        key = _key(values) if span is None else f"{_key(values)}#{span}"
        group = values.get("group", "")
        return ListedVideo(path, values["label"], split, key, place, group, span, names)

    def _span(self, values: dict[str, str]) -> Span | None:
        """The segment of a line; None if it means the whole video."""
        segments = self.columns.segments
        if segments is None:
            return None
        borders = values.get("start", ""), values.get("end", "")
        if not any(borders):
            return None
        for border, name in zip(borders, segments.names, strict=True):
            if not border:
                raise _LineError("malformed", f"an empty {name} (leave both empty for all of it)")
        try:
            return parse_span(*borders, segments.unit)
        except ValueError as error:
            raise _LineError("malformed", str(error)) from error

    def leave_out(self) -> tuple[str, ...]:
        """Take away folders of pictures that belong to another video.

        Returns:
            Sentences that say so. Where class or split contradict the video's, that is a fault.
        """
        videos = {v.path: (real, v) for real, v in self.videos.items() if v.span is None}
        belonging, notes = left_out(list(videos))
        for path, owner in belonging.items():
            real, video = videos[path]
            del self.videos[real]
            if (conflict := contradiction(video, videos[owner][1])) is not None:
                word, here, there = conflict
                reason = f"pictures of {owner.name}, in {word} {here} here and the video in {there}"
                self.faults.append(
                    Fault("mislabelled", video.key, reason, str(path), video.class_name,
                          video.split, video.place)
                )  # fmt: skip
        return notes

    def _find(self, text: str) -> Path:
        folder = self.file.parent
        paths = [folder / text, folder / text.replace("\\", "/")]
        found = [path for path in paths if exists(path)]
        if not found:
            found = other_spellings(paths[1], self.names_in)
            if len(found) > 1:
                names = " or ".join(repr(str(path.relative_to(folder))) for path in found)
                reason = f"{text!r} may be {names}, alike but for how accents are encoded"
                raise _LineError("missing", f"{reason}; rename one")
        for path in found:
            if path.is_file() or is_video(path):
                return path
            kind = "a folder without pictures" if path.is_dir() else "neither file nor folder"
            raise _LineError("missing", f"{text!r} is {kind}")
        if not _is_utf8(text):
            raise not_text(self.file, f"there is no file {str(folder / text)!r}; save it in UTF-8")
        raise _LineError("missing", f"no file {str(folder / text)!r}")

    def _add(self, video: ListedVideo) -> None:
        real = self.real_folder(video.path.parent) / video.path.name
        earlier = self.videos.setdefault((real, video.span), video)
        if earlier is video:
            return
        if video.labels is not None and earlier.labels is not None:
            joined = with_labels(earlier, {*video.labels, *earlier.labels})
            self.videos[real, video.span] = joined
            video = replace(video, class_name=joined.class_name)
            self.repeated -= joined.labels != earlier.labels  # it says something new
            earlier = joined
        assert earlier.place is not None
        if (conflict := contradiction(video, earlier)) is not None:
            word, here, before = conflict
            raise _LineError(
                "mislabelled",
                f"{video.video.name} is in {word} {here} here and in {before} on line "
                f"{earlier.place.line}",
            )
        self.repeated += 1


def _key(values: Mapping[str, str]) -> str:
    """What the split rule hashes of a line: the path in it, of a prepared video the original's."""
    return PurePosixPath(values.get("key", values["path"]).replace("\\", "/")).as_posix()


def _is_split(cells: Sequence[str]) -> bool:
    return len(cells) > 0 and cells[0].lower() in SPLIT_NAMES


def _is_utf8(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _refuse_prose(path: Path, rows: Sequence[TableRow]) -> None:
    """Refuse a file of which no line starts with the name of a video."""
    names = [Path(row.cells[0]) for row in rows]
    if rows and not any(
        name.suffix.lower() in VIDEO_SUFFIXES or exists(path.parent / name) for name in names
    ):
        first = " ".join(rows[0].cells)[:60]
        raise ValueError(
            f"{path}: not a list of videos, its first line is {first!r}; {_FORMAT}, "
            "under a header that says so or with paths of videos that exist"
        )


def bad_lines(listing: VideoListing) -> ValueError:
    """The error for a CSV with lines that cannot be used; the first few are named."""
    faults = [(fault.place, fault.reason) for fault in listing.faults if fault.place]
    lines = first_few([f"{p.unit} {p.line}: {reason}" for p, reason in faults], separator="; ")
    unit = faults[0][0].unit
    number = count_of(len(faults), f"bad {unit}")
    text = f"{listing.source}: {number}: {lines}; correct or remove them"
    if faults[0][0].line == 1 and unit == "line":
        text += (
            " (a header must name the columns path and label, or what docs/data.md lists for them)"
        )
    return ValueError(text)
