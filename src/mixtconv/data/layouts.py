"""The two layouts of a user's own data: class folders, and a CSV.

Class folders: `ROOT/<class>/*`, or `ROOT/train/<class>/*` beside `val/` or `test/`. A video is a
file with a video's suffix or a folder of pictures. Where `ROOT` holds two trees of optical flow,
`u` and `v`, its videos are those of `ROOT/u`. Deeper folders are not searched: a video there is
reported as ignored, not taken under a class that nobody meant.

CSV: lines of `path,label` or `path,label,split`, with or without a header. All lines are read
before any is refused, so that one run reports all faults. A column `prepared_from` holds the path
of the video from which a prepared one was made, by which the split rule goes; a column `group`
names the recording session or the person of a video.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path, PurePosixPath

from mixtconv._names import count_of, first_few, unknown_name
from mixtconv.data.journal import Journal, read_journal
from mixtconv.data.listing import (
    SPLIT_NAMES,
    Fault,
    FaultKind,
    ListedVideo,
    ListPlace,
    Split,
    VideoListing,
    contradiction,
)
from mixtconv.data.text_tables import TableRow, read_table
from mixtconv.video.find import (
    VIDEO_SUFFIXES,
    has_flow_trees,
    is_video,
    list_pictures,
    natural_order,
)

_LAYOUTS = "expected {root}/<class>/<video> or {root}/train/<class>/<video>"

_HEADERS = {
    "path": ("path", "file", "filename", "video"),
    "label": ("label", "class"),
    "split": ("split",),
    "key": ("prepared_from",),
    "group": ("group", "session"),
}

_FORMAT = "expected lines of path,label or path,label,split"


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
            videos += [
                ListedVideo(video, entry.name, split, f"{entry.name}/{video.name}")
                for video in class_videos
            ]
    if not videos:
        raise ValueError(_no_videos(root, ignored))
    if journal is None:
        return VideoListing(root, tuple(videos), tuple(ignored))
    return VideoListing(root, _with_keys(videos, root, journal), tuple(ignored), journal.notes)


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

    A folder with pictures and no video files is itself a video, so it has none.
    """
    entries = _entries(folder)
    videos = [entry for entry in entries if is_video(entry)]
    if all(video.is_dir() for video in videos) and list_pictures(folder):
        return [], entries
    chosen = set(videos)
    return videos, [entry for entry in entries if entry not in chosen]


def _entries(folder: Path) -> list[Path]:
    names = [entry.name for entry in folder.iterdir() if not entry.name.startswith(".")]
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
    deeper = next(filter(is_video, root.rglob("*")), None)
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


def list_csv(path: str | Path, *, classes: Sequence[str] | None = None) -> VideoListing:
    """List the videos of a CSV.

    Args:
        path: the CSV; relative paths in it start from its folder.
        classes: the only class names allowed; then a label may also be a number, 0 for the first.
            Without them every label is a name.

    Returns:
        The videos, and as `faults` the lines that cannot be used: a missing file, an unknown label
        or split, one video under two labels or in two splits.

    Raises:
        ValueError: the file is not such a CSV.
    """
    path = Path(path)
    rows = read_table(path, is_header=_is_header)
    has_header = len(rows) > 0 and _is_header(rows[0].cells)
    if has_header:
        columns, width = _columns(rows[0].cells), len(rows[0].cells)
        rows = rows[1:]
    else:
        width = 3 if any(_is_split(row.cells[2:]) for row in rows) else 2
        columns = {name: index for index, name in enumerate(_HEADERS) if index < width}
        _refuse_prose(path, rows)
    if not rows:
        raise ValueError(f"{path}: no lines in it; {_FORMAT}")
    if classes is not None:
        at = columns["label"]
        _refuse_one_based(path, {row.cells[at] for row in rows if len(row.cells) > at}, classes)
    reader = _LineReader(path, columns, width, classes)
    for row in rows:
        reader.read(row)
    notes = []
    if reader.repeated:
        lines = count_of(reader.repeated, "line")
        notes.append(f"{lines} repeated an earlier one and counted once")
    return VideoListing(
        path, tuple(reader.videos.values()), notes=tuple(notes), faults=tuple(reader.faults)
    )


class _LineError(ValueError):
    """A line that cannot be used."""

    def __init__(self, kind: FaultKind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass
class _LineReader:
    """Reads the lines of one CSV and collects the videos and the faults."""

    file: Path
    columns: Mapping[str, int]
    width: int
    classes: Sequence[str] | None
    videos: dict[Path, ListedVideo] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    real_folder: Callable[[Path], Path] = field(default_factory=lambda: cache(Path.resolve))
    repeated: int = 0

    def read(self, row: TableRow) -> None:
        place = ListPlace(self.file.name, row.line)
        values: dict[str, str] = {}
        try:
            values |= self._values(row.cells)
            self._add(self._video(values, place))
        except _LineError as error:
            video, label = values.get("path", str(place)), values.get("label")
            split = SPLIT_NAMES.get(values.get("split", "").lower())
            fault = Fault(error.kind, video, str(error), label=label, split=split, place=place)
            self.faults.append(fault)

    def _values(self, cells: tuple[str, ...]) -> dict[str, str]:
        while len(cells) > self.width and not cells[-1]:  # spreadsheets pad lines
            cells = cells[:-1]
        if len(cells) != self.width:
            raise _LineError(
                "malformed",
                f"{count_of(len(cells), 'column')}, not {self.width} (quote a name with a comma)",
            )
        values = {name: cells[index] for name, index in self.columns.items()}
        empty = next((name for name in values if not values[name] and name != "group"), None)
        if empty is not None:  # a video may have no group
            raise _LineError("malformed", f"an empty {empty}")
        if "split" in values and not _is_split([values["split"]]):
            allowed = ", ".join(SPLIT_NAMES)
            raise _LineError("malformed", f"split {values['split']!r} is none of {allowed}")
        return values

    def _video(self, values: dict[str, str], place: ListPlace) -> ListedVideo:
        split = SPLIT_NAMES[values["split"].lower()] if "split" in values else None
        class_name = values["label"] = _class_name(values["label"], self.classes)
        path = self._find(values["path"])
        name = values.get("key", values["path"])
        key = PurePosixPath(name.replace("\\", "/")).as_posix()
        return ListedVideo(path, class_name, split, key, place, values.get("group", ""))

    def _find(self, text: str) -> Path:
        folder = self.file.parent
        for path in (folder / text, folder / text.replace("\\", "/")):
            if _exists(path):
                if is_video(path):
                    return path
                kind = "a folder without pictures" if path.is_dir() else "no video by its suffix"
                raise _LineError("missing", f"{text!r} is {kind}")
        raise _LineError("missing", f"no file {str(folder / text)!r}")

    def _add(self, video: ListedVideo) -> None:
        real = self.real_folder(video.path.parent) / video.path.name
        earlier = self.videos.setdefault(real, video)
        if earlier is video:
            return
        assert earlier.place is not None
        if (conflict := contradiction(video, earlier)) is not None:
            word, here, before = conflict
            raise _LineError(
                "mislabelled",
                f"{video.path.name} is in {word} {here} here and in {before} on line "
                f"{earlier.place.line}",
            )
        self.repeated += 1


def _class_name(label: str, classes: Sequence[str] | None) -> str:
    """The class of a label: a name, or a number if the classes are known."""
    if classes is None or label in classes:
        return label
    if not _is_number(label):
        raise _LineError("mislabelled", str(unknown_name("class", label, classes)))
    if not 0 <= int(label) < len(classes):
        raise _LineError("mislabelled", f"label {label} is none of 0 to {len(classes) - 1}")
    return classes[int(label)]


def _refuse_one_based(path: Path, labels: set[str], classes: Sequence[str]) -> None:
    numbers = [int(label) for label in labels.difference(classes) if _is_number(label)]
    if len(numbers) > 1 and (min(numbers), max(numbers)) == (1, len(classes)):
        raise ValueError(
            f"{path}: labels run from 1 to {len(classes)} for {len(classes)} classes, but "
            "labels count from 0: subtract 1 from each, or write class names"
        )


def _is_header(cells: Sequence[str]) -> bool:
    return {"path", "label"} <= set(_columns(cells))


def _columns(cells: Sequence[str]) -> dict[str, int]:
    """The index of each column that a header names."""
    columns: dict[str, int] = {}
    for index, cell in enumerate(cells):
        for name, spellings in _HEADERS.items():
            if cell.lower() in spellings:
                columns.setdefault(name, index)
    return columns


def _is_split(cells: Sequence[str]) -> bool:
    return len(cells) > 0 and cells[0].lower() in SPLIT_NAMES


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name too long for the file system
        return False


def _is_number(label: str) -> bool:
    return re.fullmatch(r"-?[0-9]+", label) is not None


def _refuse_prose(path: Path, rows: Sequence[TableRow]) -> None:
    """Refuse a file of which no line starts with the name of a video."""
    names = [Path(row.cells[0]) for row in rows]
    if rows and not any(
        name.suffix.lower() in VIDEO_SUFFIXES or _exists(path.parent / name) for name in names
    ):
        first = " ".join(rows[0].cells)[:60]
        raise ValueError(
            f"{path}: not a list of videos, its first line is {first!r}; {_FORMAT}, "
            "under a header that says so or with paths of videos that exist"
        )


def bad_lines(listing: VideoListing) -> ValueError:
    """The error for a CSV with lines that cannot be used; the first few are named."""
    faults = [(fault.place.line, fault.reason) for fault in listing.faults if fault.place]
    lines = first_few([f"line {line}: {reason}" for line, reason in faults], separator="; ")
    text = f"{listing.source}: {count_of(len(faults), 'bad line')}: {lines}; correct or remove them"
    if faults[0][0] == 1:
        text += " (a header must name the columns path and label)"
    return ValueError(text)
