"""UCF-101 and HMDB-51, which have three official splits into train and test.

There is no validation list: the test list of the chosen split is what is scored, and what training
validates on. A paper's figure is often the mean of the three splits.

UCF-101 (Soomro et al., arXiv 1212.0402), as distributed: `UCF-101/<Class>/v_<Class>_g01_c01.avi`
from one archive and `ucfTrainTestlist/{classInd,trainlist01,testlist01,...}.txt` from another
("recognition task").

- Lines of `trainlist` are `Class/v_x.avi 1`, with the numbers of `classInd.txt`, from 1; those of
  `testlist` have no number.
- The files of the class HandstandPushups are called `v_HandStandPushups_...`; lists and copies
  differ in how they spell the folder. So names that differ in case only count as equal.
- The clips of a group (`g01` of a class) are cut from one recording; the official splits keep
  groups together.

HMDB-51 (Kuehne et al., "HMDB: A Large Video Database for Human Motion Recognition", ICCV 2011), as
distributed: an archive of one archive per class, `<class>/<video>.avi`, and
`testTrainMulti_7030_splits/<class>_test_split{1,2,3}.txt` (in another archive
`test_train_splits/`).

- A line is `<video>.avi FLAG` and a space: 1 is train, 2 is test, 0 is not used in this split.
  Every split has 70 videos per class to train on and 30 to test.
- `April_09_brush_hair_u_nm_np1_ba_goo_0.avi` is cut from the video `April_09`: before the class are
  its name, behind it visible body parts, camera motion, number of persons, viewpoint, quality and a
  number. Clips of one video and class are a group.
- Names of videos contain `#`, `&`, `!`, `[`, `(`, and letters that are not ASCII.
- No file lists the labels; they are the names of the split files, and published weights count
  them sorted.
"""

import re
from pathlib import Path

from mixtconv._names import composed
from mixtconv.data.datasets.classes import OrderedClasses, differences, order_classes
from mixtconv.data.datasets.layout import (
    FoundLists,
    VideoIndex,
    find_lists,
    folders_near,
    named_like,
    strip_suffix,
)
from mixtconv.data.datasets.lists import (
    ListEntry,
    ParsedLists,
    match_videos,
    read_lines,
    split_video,
)
from mixtconv.data.datasets.registry import register
from mixtconv.data.listing import DataSource, Split, VideoListing

_UCF101_NAME, _UCF101_TITLE = "ucf101", "UCF-101"
_UCF101_SPLITS: dict[str, Split] = {"train": "train", "test": "test"}
_UCF101_LISTS = r"(train|test)list0?[123]\.txt|classInd\.txt"
_UCF101_LIST_FOLDERS = ("ucfTrainTestlist", "annotations", "splits")
_UCF101_VIDEO_FOLDERS = ("UCF-101", "UCF101", "videos")
_UCF101_GROUP = re.compile(r"(.+_g\d+)_c\d+")


@register(_UCF101_NAME, title=_UCF101_TITLE)
def list_ucf101(root: Path, source: DataSource) -> VideoListing:
    """List UCF-101; see `registry.list_dataset`."""
    split_number = source.official_split
    patterns = {word: (rf"{word}list0?{split_number}\.txt",) for word in _UCF101_SPLITS}
    patterns["classes"] = (r"classInd\.txt",)
    lists = find_lists(
        root,
        patterns,
        needed=tuple(_UCF101_SPLITS),
        inner=_UCF101_LIST_FOLDERS,
        title=_UCF101_TITLE,
        expected=f"ucfTrainTestlist/trainlist0{split_number}.txt and testlist0{split_number}.txt",
        videos="the folder UCF-101",
    )
    parsed = ParsedLists()
    numbered = _read_class_numbers(lists, parsed)
    for word, split in _UCF101_SPLITS.items():
        if word in lists.files:
            _read_ucf101_list(lists.files[word], split, numbered, parsed)
        else:
            parsed.notes.append(f"no {word}list0{split_number}.txt: its videos are left out")
    classes = order_classes(
        _UCF101_NAME,
        source.class_order,
        labels=[numbered[number] for number in sorted(numbered)] or None,
        listed=(entry.class_name for entry in parsed.entries),
        labels_file="classInd.txt",
    )
    folders = folders_near(root, lists, _UCF101_VIDEO_FOLDERS)
    return match_videos(
        parsed,
        VideoIndex(folders, in_classes=True, any_case=True),
        root=root,
        classes=classes,
        lists=named_like(lists.folder, _UCF101_LISTS),
    )


def _read_class_numbers(lists: FoundLists, parsed: ParsedLists) -> dict[int, str]:
    numbered: dict[int, str] = {}
    if "classes" not in lists.files:
        return numbered
    for place, line in read_lines(lists.files["classes"]):
        number, _, name = line.partition(" ")
        if not number.isdecimal() or not name.strip():
            parsed.malformed(place, f"{line!r} is no number and class")
        elif numbered.setdefault(int(number), name.strip()) != name.strip():
            parsed.malformed(place, f"number {number} is also {numbered[int(number)]!r}")
    return numbered


def _read_ucf101_list(
    path: Path, split: Split, numbered: dict[int, str], parsed: ParsedLists
) -> None:
    spelled = {name.casefold(): name for name in numbered.values()}
    for place, line in read_lines(path):
        name, more = split_video(line)
        if name.count("/") != 1 or len(more) > 1 or not all(word.isdecimal() for word in more):
            reason = f"{line!r} is not Class/video.avi and a number at most"
            parsed.malformed(place, reason, split=split)
            continue
        folder = name.split("/")[0]
        class_name = spelled.get(folder.casefold(), folder)
        clip = _UCF101_GROUP.fullmatch(strip_suffix(name))
        entry = ListEntry(name, class_name, split, place, clip[1] if clip else "")
        if more and numbered and numbered.get(int(more[0])) != class_name:
            given = numbered.get(int(more[0]), "no class")
            parsed.mislabelled(entry, f"its folder is {class_name!r}, but {more[0]} is {given!r}")
            continue
        parsed.entries.append(entry)


_HMDB51_NAME, _HMDB51_TITLE = "hmdb51", "HMDB-51"
_HMDB51_LIST_FOLDERS = (
    "testTrainMulti_7030_splits",
    "test_train_splits/testTrainMulti_7030_splits",
    "test_train_splits",
    "splits",
)
_HMDB51_VIDEO_FOLDERS = ("hmdb51_org", "hmdb51", "videos")
_HMDB51_FLAGS: dict[str, Split | None] = {"0": None, "1": "train", "2": "test"}


@register(_HMDB51_NAME, title=_HMDB51_TITLE)
def list_hmdb51(root: Path, source: DataSource) -> VideoListing:
    """List HMDB-51; see `registry.list_dataset`."""
    ending = f"_test_split{source.official_split}.txt"
    pattern = f".+{re.escape(ending)}"
    lists = find_lists(
        root,
        {"any": (pattern,)},
        needed=("any",),
        inner=_HMDB51_LIST_FOLDERS,
        title=_HMDB51_TITLE,
        expected=f"testTrainMulti_7030_splits/<class>{ending}",
        videos="the class folders (or hmdb51_org)",
    )
    parsed = ParsedLists()
    found = named_like(lists.folder, pattern)
    files = {composed(path.name[: -len(ending)]): path for path in found}
    for class_name, path in files.items():
        _read_hmdb51_list(path, class_name, parsed)
    classes = tuple(sorted(files))
    folders = folders_near(root, lists, _HMDB51_VIDEO_FOLDERS)
    return match_videos(
        parsed,
        VideoIndex(folders, in_classes=True),
        root=root,
        classes=OrderedClasses(classes, differences(_HMDB51_NAME, classes)),
        lists=named_like(lists.folder, r".+_test_split[123]\.txt"),
    )


def _read_hmdb51_list(path: Path, class_name: str, parsed: ParsedLists) -> None:
    for place, line in read_lines(path):
        name, flags = split_video(line)
        if len(flags) != 1 or flags[0] not in _HMDB51_FLAGS:
            parsed.malformed(place, f"{line!r} is not a video and 0, 1 or 2")
            continue
        split = _HMDB51_FLAGS[flags[0]]
        if split is not None:
            key = f"{class_name}/{name}"
            group = f"{class_name}/{_source_video(strip_suffix(name), class_name)}"
            parsed.entries.append(ListEntry(key, class_name, split, place, group))


def _source_video(name: str, class_name: str) -> str:
    """The video that a clip of HMDB-51 is cut from.

    >>> _source_video("April_09_brush_hair_u_nm_np1_ba_goo_0", "brush_hair")
    'April_09'
    >>> _source_video("a_clip_of_my_own_12", "brush_hair")
    'a_clip_of_my_own'
    """
    tags = r"_[a-z]+_[a-z]+_np\d+_[a-z]+_[a-z]+"
    found = re.fullmatch(rf"(.+)_{re.escape(class_name)}{tags}_\d+", name)
    return found[1] if found else re.sub(r"_\d+$", "", name)
