"""HMDB-51 (Kuehne et al., "HMDB: A Large Video Database for Human Motion Recognition", ICCV 2011).

As distributed: an archive of one archive a class, `<class>/<video>.avi`, and
`testTrainMulti_7030_splits/<class>_test_split{1,2,3}.txt` (in another archive
`test_train_splits/`).

- A line is `<video>.avi FLAG`, a space behind it: 1 trains, 2 tests, 0 is not used in this split.
  Every split has 70 videos a class to train on and 30 to test.
- Names of videos hold `#`, `&`, `!`, `[`, `(`, and letters that are not ASCII.
- No file lists the labels; they are the names of the split files, and published weights count
  them sorted.
- There is no validation list: the test videos of the chosen split are what is scored, and what
  training validates on. A paper's figure is often the mean of the three splits.
"""

import re
from pathlib import Path

from mixtconv.data.datasets.class_names import differences
from mixtconv.data.datasets.class_order import OrderedClasses
from mixtconv.data.datasets.entries import ListEntry, Reading, find_videos
from mixtconv.data.datasets.layout import (
    find_beside,
    find_lists,
    folders_near,
    lists_not_found,
    named_like,
    scan,
)
from mixtconv.data.datasets.registry import register
from mixtconv.data.datasets.text_lists import read_lines, split_video
from mixtconv.data.datasets.video_index import VideoIndex
from mixtconv.data.listing import Split, VideoListing
from mixtconv.data.source import DataSource

_NAME, _TITLE = "hmdb51", "HMDB-51"
_LIST_FOLDERS = (
    "testTrainMulti_7030_splits",
    "test_train_splits/testTrainMulti_7030_splits",
    "test_train_splits",
    "splits",
)
_VIDEO_FOLDERS = ("hmdb51_org", "hmdb51", "videos")
_FLAGS: dict[str, Split | None] = {"0": None, "1": "train", "2": "test"}


@register(_NAME, title=_TITLE)
def list_hmdb51(root: Path, source: DataSource) -> VideoListing:
    """List HMDB-51; see `registry.list_dataset`."""
    name = rf"(.+)_test_split{source.official_split}\.txt"
    patterns = {"any": (name,)}
    lists = find_lists(root, patterns, needed=("any",), inner=_LIST_FOLDERS)
    if lists is None:
        raise lists_not_found(
            root,
            title=_TITLE,
            lists=f"testTrainMulti_7030_splits/<class>_test_split{source.official_split}.txt",
            videos="the class folders (or hmdb51_org)",
            outer=find_beside(root, patterns, needed=("any",), inner=_LIST_FOLDERS),
        )
    reading, files = Reading(), _lists_of_classes(lists.folder, name)
    for class_name, path in files.items():
        _read_list(path, class_name, reading)
    classes = tuple(sorted(files))
    folders = folders_near(root, lists, _VIDEO_FOLDERS)
    index = VideoIndex()
    for folder in folders:
        index.add_class_folders(folder)
    found = find_videos(reading, index.find, classes=set(classes), looked_in=folders)
    ordered = OrderedClasses(classes, differences(_NAME, classes))
    return found.listing(root, ordered, lists=named_like(lists.folder, r".+_test_split[123]\.txt"))


def _lists_of_classes(folder: Path, pattern: str) -> dict[str, Path]:
    matches = [(re.fullmatch(pattern, entry.name), entry) for entry in scan(folder)]
    return {match[1]: Path(entry.path) for match, entry in matches if match is not None}


def _read_list(path: Path, class_name: str, reading: Reading) -> None:
    for place, line in read_lines(path):
        name, flags = split_video(line)
        if len(flags) != 1 or flags[0] not in _FLAGS:
            reading.malformed(place, f"{line!r} is not a video and 0, 1 or 2")
            continue
        split = _FLAGS[flags[0]]
        if split is not None:
            key = f"{class_name}/{name}"
            reading.entries.append(ListEntry(key, class_name, split, place))
