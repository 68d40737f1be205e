"""UCF-101 (Soomro et al., arXiv 1212.0402).

As distributed: `UCF-101/<Class>/v_<Class>_g01_c01.avi` from one archive and
`ucfTrainTestlist/{classInd,trainlist01,testlist01,...}.txt` from another ("recognition task").

- Lines of `trainlist` are `Class/v_x.avi 1`, numbers from 1 as in `classInd.txt`; those of
  `testlist` have no number.
- The files of the class HandstandPushups are called `v_HandStandPushups_...`; lists and copies
  differ in how they spell the folder. Names that differ in case only are therefore taken as one.
- There are three splits, and no validation list: the test list of the chosen split is what is
  scored, and what training validates on. A paper's figure is often the mean of the three.
- The clips of a group (`g01`) are cut from one recording; the official splits keep groups together.
"""

from pathlib import Path

from mixtconv.data.datasets.class_order import OrderedClasses, from_labels_file, from_lists
from mixtconv.data.datasets.entries import ListEntry, Reading, find_videos
from mixtconv.data.datasets.layout import (
    FoundLists,
    find_beside,
    find_lists,
    folders_near,
    lists_not_found,
    named_like,
)
from mixtconv.data.datasets.registry import register
from mixtconv.data.datasets.text_lists import read_lines, split_video
from mixtconv.data.datasets.video_index import VideoIndex
from mixtconv.data.listing import Split, VideoListing
from mixtconv.data.source import DataSource

_NAME, _TITLE = "ucf101", "UCF-101"
_SPLITS: dict[str, Split] = {"train": "train", "test": "test"}
_ALL_LISTS = r"(train|test)list0?[123]\.txt|classInd\.txt"
_LIST_FOLDERS = ("ucfTrainTestlist", "annotations", "splits")
_VIDEO_FOLDERS = ("UCF-101", "UCF101", "videos")


@register(_NAME, title=_TITLE)
def list_ucf101(root: Path, source: DataSource) -> VideoListing:
    """List UCF-101; see `registry.list_dataset`."""
    split_number = source.official_split
    patterns = {word: (rf"{word}list0?{split_number}\.txt",) for word in _SPLITS}
    patterns["classes"] = (r"classInd\.txt",)
    lists = find_lists(root, patterns, needed=tuple(_SPLITS), inner=_LIST_FOLDERS)
    if lists is None:
        raise lists_not_found(
            root,
            title=_TITLE,
            lists=f"ucfTrainTestlist/trainlist0{split_number}.txt and testlist0{split_number}.txt",
            videos="the folder UCF-101",
            outer=find_beside(root, patterns, needed=tuple(_SPLITS), inner=_LIST_FOLDERS),
        )
    reading = Reading()
    numbered = _read_class_numbers(lists, reading)
    for word, split in _SPLITS.items():
        if word in lists.files:
            _read_list(lists.files[word], split, numbered, reading)
        else:
            reading.notes.append(f"no {word}list0{split_number}.txt: its videos are left out")
    classes = _classes(numbered, reading, source)
    folders = folders_near(root, lists, _VIDEO_FOLDERS)
    index = VideoIndex(any_case=True)
    for folder in folders:
        index.add_class_folders(folder)
    found = find_videos(reading, index.find, classes=set(classes.names), looked_in=folders)
    return found.listing(root, classes, lists=named_like(lists.folder, _ALL_LISTS))


def _read_class_numbers(lists: FoundLists, reading: Reading) -> dict[int, str]:
    numbered: dict[int, str] = {}
    if "classes" not in lists.files:
        return numbered
    for place, line in read_lines(lists.files["classes"]):
        number, _, name = line.partition(" ")
        if not number.isdecimal() or not name.strip():
            reading.malformed(place, f"{line!r} is no number and class")
        elif numbered.setdefault(int(number), name.strip()) != name.strip():
            reading.malformed(place, f"number {number} is also {numbered[int(number)]!r}")
    return numbered


def _read_list(path: Path, split: Split, numbered: dict[int, str], reading: Reading) -> None:
    spelled = {name.casefold(): name for name in numbered.values()}
    for place, line in read_lines(path):
        name, more = split_video(line)
        if name.count("/") != 1 or len(more) > 1 or not all(word.isdecimal() for word in more):
            reason = f"{line!r} is not Class/video.avi and a number at most"
            reading.malformed(place, reason, split=split)
            continue
        folder = name.split("/")[0]
        class_name = spelled.get(folder.casefold(), folder)
        entry = ListEntry(name, class_name, split, place)
        if more and numbered and numbered.get(int(more[0])) != class_name:
            given = numbered.get(int(more[0]), "no class")
            reading.mislabelled(entry, f"its folder is {class_name!r}, but {more[0]} is {given!r}")
            continue
        reading.entries.append(entry)


def _classes(numbered: dict[int, str], reading: Reading, source: DataSource) -> OrderedClasses:
    if numbered:
        labels = [numbered[number] for number in sorted(numbered)]
        return from_labels_file(_NAME, labels, source.class_order)
    return from_lists(
        _NAME,
        (entry.class_name for entry in reading.entries),
        source.class_order,
        labels_file="classInd.txt",
    )
