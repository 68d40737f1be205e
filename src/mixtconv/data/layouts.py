"""The layouts of a user's own data: class folders, a list, and a folder with lists in it.

Class folders: `ROOT/<class>/*`, or `ROOT/train/<class>/*` beside `val/` or `test/`. A video is a
file with a video's suffix or a folder of pictures; its pictures in a folder beside it are no
further one, in both layouts (`find.left_out`). Where `ROOT` holds two trees of optical flow,
`u` and `v`, its videos are those of `ROOT/u`. Deeper folders are not searched: a video there is
reported as ignored, not taken under a class that nobody meant.

List: a CSV, lines of `path,label` or `path,label,split` with or without a header, or JSON; see
`text_tables`, `list_columns`, `list_lines` and `label_reading`. All lines are read before any is
refused, so that one run reports all faults. A file in it is taken whatever its suffix. A column
`prepared_from` holds the path of the video from which a prepared one was made, by which the split
rule goes; a column `group` names the recording session or the person of a video. With columns of a
start and an end, lines name segments of recordings.

Folder with lists: as Hugging Face's `videofolder` has it, `ROOT/metadata.csv` (`.jsonl`,
`.parquet`), or one in `ROOT/train`, `ROOT/validation` and so on, each with its videos.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mixtconv._names import composed, count_of, first_few
from mixtconv.data.groups import by_recordings
from mixtconv.data.journal import Journal, read_journal
from mixtconv.data.label_reading import read_list_labels
from mixtconv.data.list_columns import (
    has_class_columns,
    is_header,
    may_be_header,
    named_columns,
    refuse_half_header,
    unnamed_columns,
)
from mixtconv.data.list_lines import LineReader
from mixtconv.data.listing import (
    SPLIT_NAMES,
    Fault,
    LabelMode,
    ListedVideo,
    Split,
    VideoListing,
)
from mixtconv.data.text_tables import TableRow, read_table
from mixtconv.video.find import (
    VIDEO_SUFFIXES,
    exists,
    has_flow_trees,
    is_hidden,
    is_one_video,
    is_video,
    left_out,
    natural_order,
    real_path,
)
from mixtconv.video.segment import Span, is_segment_name

_LAYOUTS = "expected {root}/<class>/<video> or {root}/train/<class>/<video>"

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
    reader = LineReader(path, columns, reading)
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
    are_segments = len(columns.segments) > 0 or any(
        is_segment_name(video.key) for video in listing.videos if "key" in columns.places
    )
    return by_recordings(listing) if are_segments else listing


METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
"""Names of a list that a folder holds beside its videos, in a column `file_name`."""


def list_metadata(
    root: Path,
    *,
    classes: Sequence[str] | None = None,
    group: str | None = None,
    labels: LabelMode | None = None,
) -> VideoListing | None:
    """List the videos of a folder that holds lists, as `list_csv` does those of one.

    Args:
        root: the folder.
        classes, group, labels: as for `list_csv`.

    Returns:
        None if there is no such list.

    Raises:
        ValueError: as `list_csv`; or several lists of one folder.
    """
    splits = {folder: split for split, folder in _split_folders(root).items()}
    lists = {
        folder: [path for name in METADATA if _names_files(path := folder / name)]
        for folder in (root, *splits)
    }
    if (several := next((paths for paths in lists.values() if len(paths) > 1), None)) is not None:
        raise ValueError(f"{several[0].parent}: {first_few(several)} list its videos; leave one")
    found = {folder: paths[0] for folder, paths in lists.items() if paths}
    if not found:
        return None
    if root not in found and (without := splits.keys() - found.keys()):
        raise ValueError(
            f"{root}: {first_few(sorted(each.name for each in without))} has no list as "
            f"{first_few([each.name for each in found])} has: give it one, or take it away"
        )
    listings = {
        folder: list_csv(path, classes=classes, group=group, labels=labels)
        for folder, path in found.items()
    }
    videos: dict[tuple[Path, Span | None], ListedVideo] = {}
    faults: list[Fault] = []
    notes: list[str] = []
    for folder, listing in listings.items():
        below = "" if folder == root else f"{folder.name}/"
        name = f"{below}{found[folder].name}"
        for video in listing.videos:
            split = video.split or splits.get(folder) or _split_of(video.key, splits)
            place = None if video.place is None else replace(video.place, file=name)
            moved = replace(video, split=split, key=below + video.key, place=place)
            known = real_path(video.path), video.span
            if (earlier := videos.setdefault(known, moved)) is not moved:
                raise ValueError(
                    f"{root}: {moved.key} is in {earlier.place} and {place}; leave one"
                )
        for fault in listing.faults:
            place = None if fault.place is None else replace(fault.place, file=name)
            split = fault.split or splits.get(folder)
            faults.append(replace(fault, split=split, video=below + fault.video, place=place))
        notes += [f"{name}: {note}" for note in listing.notes]
    columns = {listing.group_column for listing in listings.values()}
    merged = VideoListing(
        root,
        tuple(videos.values()),
        notes=tuple(notes),
        faults=tuple(faults),
        group_column=columns.pop() if len(columns) == 1 else None,
    )
    return by_recordings(merged) if any(video.span for video in merged.videos) else merged


def _split_of(name: str, splits: Mapping[Path, Split]) -> Split | None:
    """The split of a video that a list above the folders of splits names."""
    top = name.partition("/")[0]
    return next((split for folder, split in splits.items() if folder.name == top), None)


def _names_files(path: Path) -> bool:
    """Whether there is a list that names files and labels, not something beside class folders."""
    try:
        rows = read_table(path, is_header=may_be_header) if path.is_file() else []
    except ValueError:
        return False
    return len(rows) > 0 and "file_name" in rows[0].cells and is_header(rows[0].cells)


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
