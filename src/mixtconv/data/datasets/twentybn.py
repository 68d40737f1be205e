"""The datasets of TwentyBN: Jester and Something-Something v1, whose lists have one format.

Jester (Materzynska et al., "The Jester Dataset", ICCV 2019 workshops); Something-Something v1
(Goyal et al., "something something", arXiv 1706.04261). STEM below is `jester-v1` or
`something-something-v1`. `something_v2.py` lists a third, whose lists are JSON, in the same way.

As first distributed: `STEM-train.csv` and `STEM-validation.csv` have lines `id;label` and no
header, `STEM-labels.csv` has one label per line, and the folder `20bn-STEM/` has a folder of
pictures `%05d.jpg` per video. Later copies name the lists `train.csv` and so on, some in a folder
`labels/`; others have commas, more columns and a header that names `video_id` (or `id`) and
`label`. `STEM-test.csv` has ids alone and is not read (nor are the answers of later copies): scores
are those on the validation list.

Jester:

- Another layout has `Train.csv`, `Validation.csv` and `Test.csv` with a header and more columns
  (one of them, the shape, has a comma in quotes) beside the folders `Train/`, `Validation/` and
  `Test/`, without a file of labels.
- Published weights count the labels in the order of the labels file. If it is missing, the list in
  this package gives the order; the numbers in a column `label_id` are those of a sorted list and
  are not used.
- A mirror exchanges "Turning Hand Clockwise" and "Counterclockwise", as it does the sides.

Something-Something v1:

- The labels file is not sorted. Published weights (those of TSM and its successors) count the
  labels sorted, which is the order `published`; `distributed` is that of the file.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mixtconv.data.datasets.classes import order_classes
from mixtconv.data.datasets.layout import VideoIndex, find_lists, folders_near
from mixtconv.data.datasets.lists import (
    ListEntry,
    ParsedLists,
    match_videos,
    read_columns,
    read_lines,
)
from mixtconv.data.datasets.registry import register
from mixtconv.data.listing import DataSource, Split, VideoListing

_SPLITS: dict[str, Split] = {"train": "train", "validation": "val"}
_LIST_FOLDERS = ("labels", "annotations")
_COLUMNS = (("video_id", "id"), ("label",))


def _read_csv(path: Path, split: Split, parsed: ParsedLists) -> None:
    for row in read_columns(path, _COLUMNS, without_header=";"):
        if row.fault is not None:
            parsed.malformed(row.place, row.fault, split=split)
        else:
            key, class_name = row.cells
            parsed.entries.append(ListEntry(key, class_name, split, row.place))


def _read_csv_labels(path: Path) -> list[str]:
    return [line for _, line in read_lines(path)]


@dataclass(frozen=True)
class NumberedDataset:
    """A dataset whose videos are named by numbers."""

    name: str
    """Its name on the command line."""
    title: str
    """Its name in papers."""
    stem: str
    """Beginning of the names of its lists."""
    video_folders: tuple[str, ...]
    """Folders of videos as distributed, beside the lists or beside the folder of the lists."""
    published_sorted: bool = False
    """Whether the classes of published weights are sorted."""
    suffix: str = "csv"
    """Suffix of the names of its lists."""
    read_list: Callable[[Path, Split, ParsedLists], None] = _read_csv
    """Reads the list of a split."""
    read_labels: Callable[[Path], Sequence[str]] = _read_csv_labels
    """Reads the file of labels, in its order."""


def register_numbered(dataset: NumberedDataset) -> None:
    """Register such a dataset under its name."""
    register(dataset.name, title=dataset.title)(partial(_list_numbered, dataset))


def _list_numbered(dataset: NumberedDataset, root: Path, source: DataSource) -> VideoListing:
    stem, suffix = dataset.stem, dataset.suffix
    names = (*_SPLITS, "labels")
    lists = find_lists(
        root,
        {name: (rf"{stem}-{name}\.{suffix}", rf"{name}\.{suffix}") for name in names},
        needed=tuple(_SPLITS),
        inner=_LIST_FOLDERS,
        title=dataset.title,
        expected=f"{stem}-train.{suffix} (or train.{suffix}) and {stem}-validation.{suffix}",
        videos=f"the folder {dataset.video_folders[0]}",
    )
    parsed = ParsedLists()
    for word, split in _SPLITS.items():
        if word in lists.files:
            dataset.read_list(lists.files[word], split, parsed)
        else:
            parsed.notes.append(f"no {stem}-{word}.{suffix}: its videos are left out")
    classes = order_classes(
        dataset.name,
        source.class_order,
        labels=dataset.read_labels(lists.files["labels"]) if "labels" in lists.files else None,
        listed=(entry.class_name for entry in parsed.entries),
        labels_file=f"{stem}-labels.{suffix}",
        published_sorted=dataset.published_sorted,
    )
    index = VideoIndex(folders_near(root, lists, dataset.video_folders))
    return match_videos(parsed, index, root=root, classes=classes, lists=lists.files.values())


register_numbered(
    NumberedDataset("jester", "Jester", "jester-v1", ("20bn-jester-v1", "Train", "Validation"))
)
register_numbered(
    NumberedDataset(
        "something_v1",
        "Something-Something v1",
        "something-something-v1",
        ("20bn-something-something-v1",),
        published_sorted=True,
    )
)
