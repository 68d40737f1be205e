"""Kinetics-400 (Kay et al., "The Kinetics Human Action Video Dataset", arXiv 1705.06950).

The lists are `train.csv`, `validate.csv` (or `val.csv`) and `test.csv` with the columns label,
youtube_id, time_start, time_end and split, under several names (`kinetics-400_train.csv`,
`annotations/train.csv`). A video is `<id>_%06d_%06d.mp4`, from its start to its end in seconds, in
`train/`, `val/`, `test/` (`train_256/` for one scaled down), in class folders or not.

- The lists are links to YouTube. No two copies hold the same videos, so a missing one is reported
  but is not a fault.
- About 1400 videos of the common copy (CVDF) are damaged; it has a folder
  `replacement/replacement_for_corrupted_k400/`, which is searched first.
- Videos of one id are cut from one recording, and are a group.
- Ids may begin with `-` or `_`. Some copies name videos by the id alone.
- Names of class folders are not read (they have spaces or underscores, with brackets and
  apostrophes or without); the lists give the labels.
- Published weights count the labels sorted. A test list without labels, as some copies have it,
  is left out.
"""

import re
from pathlib import Path

from mixtconv.data.datasets.classes import order_classes
from mixtconv.data.datasets.layout import (
    FoundLists,
    VideoIndex,
    find_lists,
    folders_near,
    subfolders,
)
from mixtconv.data.datasets.lists import (
    EMPTY,
    ListEntry,
    ParsedLists,
    has_columns,
    match_videos,
    read_columns,
)
from mixtconv.data.datasets.registry import register
from mixtconv.data.listing import DataSource, Split, VideoListing

_NAME, _TITLE = "kinetics400", "Kinetics-400"
_PREFIX = r"(kinetics|k)?[-_]?(400)?[-_]?"
_WORDS = {"train": "train", "val": "val(idate|idation)?", "test": "test"}
_PATTERNS = {role: (rf"{_PREFIX}{word}\.csv",) for role, word in _WORDS.items()}
_SPLITS: dict[str, Split] = {"train": "train", "val": "val", "test": "test"}
_NEEDED = ("train", "val")
_LIST_FOLDERS = ("annotations", "labels", "kinetics400")
_COLUMNS = (("label",), ("youtube_id",), ("time_start",), ("time_end",))
_OUTER_FOLDERS = ("videos", "compress")
_SPLIT_FOLDER = re.compile(rf"(videos_)?({'|'.join(_WORDS.values())})(_.*)?", re.IGNORECASE)
_CLIP_TIMES = re.compile(r".*_\d{6}_\d{6}")
_SECONDS = re.compile(r"\d+(\.\d*)?")
_REPLACEMENTS = Path("replacement", "replacement_for_corrupted_k400")


@register(_NAME, title=_TITLE)
def list_kinetics400(root: Path, source: DataSource) -> VideoListing:
    """List Kinetics-400; see `registry.list_dataset`."""
    lists = find_lists(
        root,
        _PATTERNS,
        needed=_NEEDED,
        inner=_LIST_FOLDERS,
        title=_TITLE,
        expected="train.csv and val.csv (or validate.csv, kinetics-400_train.csv)",
        videos="the folders train and val",
    )
    parsed = ParsedLists()
    for role, split in _SPLITS.items():
        if role in lists.files:
            _read_list(lists.files[role], split, parsed)
        elif role in _NEEDED:
            parsed.notes.append(f"no {role}.csv: its videos are left out")
    labels = (entry.class_name for entry in parsed.entries)
    classes = order_classes(_NAME, source.class_order, labels=None, listed=labels)
    return match_videos(
        parsed,
        _ClipIndex(_video_folders(root, lists)),
        root=root,
        classes=classes,
        lists=lists.files.values(),
        may_lack_videos=True,
    )


class _ClipIndex(VideoIndex):
    def find(self, name: str) -> Path | None:  # some copies name videos by the id alone
        return super().find(name) or super().find(name[: -len("_000000_000000")])


def _read_list(path: Path, split: Split, parsed: ParsedLists) -> None:
    unlabelled = split == "test" and not has_columns(path, _COLUMNS)
    rows = [] if unlabelled else list(read_columns(path, _COLUMNS))
    if split == "test" and all(row.fault == EMPTY for row in rows):
        parsed.notes.append(f"{path.name} has no labels: its videos are left out")
        return
    for row in rows:
        if row.fault is not None:
            parsed.malformed(row.place, row.fault, split=split)
            continue
        label, code, *times = row.cells
        if all(_SECONDS.fullmatch(time) for time in times):
            start, end = (int(float(time)) for time in times)
            parsed.entries.append(
                ListEntry(f"{code}_{start:06d}_{end:06d}", label, split, row.place, group=code)
            )
        else:
            reason = f"times {times[0]!r} and {times[1]!r} are not seconds"
            parsed.malformed(row.place, reason, split=split)


def _video_folders(root: Path, lists: FoundLists) -> list[Path]:
    """The folders that are searched for videos, in this order."""
    around = folders_near(root, lists, _OUTER_FOLDERS)
    folders = [folder / _REPLACEMENTS for folder in around if (folder / _REPLACEMENTS).is_dir()]
    for folder in around:
        inside = _class_folders(folder)
        splits = [inner for inner in inside if _SPLIT_FOLDER.fullmatch(inner.name)]
        folders += [*splits, *(inner for split in splits for inner in _class_folders(split))]
        folders += [folder, *inside]
    return list(dict.fromkeys(folders))


def _class_folders(folder: Path) -> list[Path]:
    """The folders in a folder that are not videos themselves."""
    return [inner for inner in subfolders(folder) if not _CLIP_TIMES.fullmatch(inner.name)]
