"""The lists of Something-Something v1 and Jester, which are of one kind.

`STEM-train.csv` and `STEM-validation.csv` have lines `id;label` and no header, `STEM-labels.csv`
one label a line, `STEM-test.csv` ids alone, which are not read. Later copies name them `train.csv`
and so on, some in a folder `labels/`; others have commas, more columns and a header that names
`video_id` (or `id`) and `label`.
"""

from dataclasses import dataclass
from pathlib import Path

from mixtconv.data.datasets.class_order import OrderedClasses, from_labels_file, from_lists
from mixtconv.data.datasets.entries import ListEntry, Reading, find_videos
from mixtconv.data.datasets.layout import (
    FoundLists,
    find_beside,
    find_lists,
    folders_near,
    lists_not_found,
)
from mixtconv.data.datasets.text_lists import read_columns, read_lines
from mixtconv.data.datasets.video_index import index_of
from mixtconv.data.listing import Split, VideoListing
from mixtconv.data.source import DataSource

SPLITS: dict[str, Split] = {"train": "train", "validation": "val"}
"""Word in the name of a list -> the split."""
LIST_FOLDERS = ("labels", "annotations")
"""Folders in which the lists may lie."""

_COLUMNS = (("video_id", "id"), ("label",))


@dataclass(frozen=True)
class NumberedDataset:
    """A dataset of videos that are named by numbers."""

    name: str
    """Its name on the command line."""
    title: str
    """Its name in papers."""
    stem: str
    """What the names of its lists begin with."""
    video_folders: tuple[str, ...]
    """Folders of videos as distributed, beside the lists or beside the folder of the lists."""
    published_sorted: bool
    """Whether the classes of published weights are sorted."""


def list_numbered(dataset: NumberedDataset, root: Path, source: DataSource) -> VideoListing:
    """List the videos of a dataset of this kind; see `registry.list_dataset`."""
    lists = _find_lists(dataset, root)
    reading = Reading()
    for word, split in SPLITS.items():
        if word in lists.files:
            _read_list(lists.files[word], split, reading)
        else:
            reading.notes.append(f"no {dataset.stem}-{word}.csv: its videos are left out")
    classes = _classes(dataset, lists, reading, source)
    folders = folders_near(root, lists, dataset.video_folders)
    found = find_videos(
        reading, index_of(folders).find, classes=set(classes.names), looked_in=folders
    )
    return found.listing(root, classes, lists=tuple(lists.files.values()))


def _find_lists(dataset: NumberedDataset, root: Path) -> FoundLists:
    patterns = {
        word: (rf"{dataset.stem}-{word}\.csv", rf"{word}\.csv") for word in (*SPLITS, "labels")
    }
    lists = find_lists(root, patterns, needed=tuple(SPLITS), inner=LIST_FOLDERS)
    if lists is not None:
        return lists
    raise lists_not_found(
        root,
        title=dataset.title,
        lists=f"{dataset.stem}-train.csv (or train.csv) and {dataset.stem}-validation.csv",
        videos=f"the folder {dataset.video_folders[0]}",
        outer=find_beside(root, patterns, needed=tuple(SPLITS), inner=LIST_FOLDERS),
    )


def _read_list(path: Path, split: Split, reading: Reading) -> None:
    for row in read_columns(path, _COLUMNS, without_header=";"):
        if row.fault is not None:
            reading.malformed(row.place, row.fault, split=split)
        else:
            key, class_name = row.cells
            reading.entries.append(ListEntry(key, class_name, split, row.place))


def _classes(
    dataset: NumberedDataset, lists: FoundLists, reading: Reading, source: DataSource
) -> OrderedClasses:
    if "labels" in lists.files:
        labels = [line for _, line in read_lines(lists.files["labels"])]
        return from_labels_file(
            dataset.name, labels, source.class_order, published_sorted=dataset.published_sorted
        )
    return from_lists(
        dataset.name,
        (entry.class_name for entry in reading.entries),
        source.class_order,
        labels_file=f"{dataset.stem}-labels.csv",
    )
