"""Datasets of a program: whatever gives a video and its label for a number.

They are those of torch and torchvision, whose items are pairs, those of Hugging Face, whose items
are dictionaries, and plain lists of pairs. A video is read when it is needed, in the processes that
load clips, and may be anything that `mixtconv.video.in_memory.opened` takes.
"""

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mixtconv._names import composed, count_of, first_few, unknown_name
from mixtconv.data.listing import ListedVideo, Split, VideoListing
from mixtconv.data.several_labels import with_labels
from mixtconv.video.in_memory import VideoFrames, raised
from mixtconv.video.segment import DatasetVideo

logger = logging.getLogger(__name__)

VIDEO_COLUMNS = ("video", "clip", "frames", "images", "pixel_values", "path", "file", "bytes")
"""Names of what is read in items that are dictionaries, in this order."""

LABEL_COLUMNS = ("label", "labels", "class", "action", "target")
"""Names of the label in them."""

MOST_NUMBERED = 10_000
"""Labels below this may be numbers without names, each of which is a class."""

SECONDS_BETWEEN_LINES = 10.0
"""Between two lines of the log that say how many labels were read."""

_WANTED = "an item is a pair (video, label), or a dictionary with both"


def list_own(train: Any, *, val: Any = None, classes: Sequence[str] | None = None) -> VideoListing:
    """List the videos of datasets with their labels.

    Labels come from `targets` or, of Hugging Face, from the column. Of other datasets each item is
    read once.

    Args:
        train: has `len()` and gives an item for a number.
        val: the same, of the videos held out for validation; by default they are drawn.
        classes: what numbers mean, in all of them; by default each dataset's own `classes`, or the
            `features` of Hugging Face, else the numbers themselves.

    Raises:
        ValueError: no such dataset or item, or a label that is none.
    """
    parts: list[tuple[Split | None, Any]] = [("train", train), ("val", val)]
    if val is None:
        parts = [(None, train)]
    if isinstance(val, str | os.PathLike):
        raise ValueError(
            f"val is {str(val)!r}, a path beside a dataset; give a dataset or a list as val too, "
            "or the path of data that has both"
        )
    explicit = None if classes is None else tuple(composed(str(name)) for name in classes)
    readers = [(split, _reader(dataset)) for split, dataset in parts]
    numbers: set[int] = set()
    videos = [
        video
        for split, reader in readers
        for video in _listed(reader, split or "data", split, explicit or reader.classes, numbers)
    ]
    names = explicit or next((each.classes for _, each in readers if each.classes), None)
    found = sorted({name for video in videos for name in video.class_names})
    if names is not None:
        names = tuple(dict.fromkeys([*names, *found]))
    elif numbers and len(numbers) == len(found):  # all labels are numbers, none is a name
        names = tuple(map(str, range(max(numbers) + 1)))
    return VideoListing(Path(describe(train)), tuple(videos), classes=names)


def describe(dataset: Any) -> str:
    """What a dataset is called in the record of a run.

    >>> describe([("a.mp4", "wave")])
    '<list of 1 video>'
    """
    return f"<{type(dataset).__name__} of {count_of(len(dataset), 'video')}>"


@dataclass(frozen=True)
class _Reader:
    """How the videos and the labels of a dataset are read."""

    video: Callable[[int], Any]
    """From a number to the video."""
    labels: Iterable[tuple[Any, bool]]
    """Of each item the label, and whether its frames were seen."""
    classes: tuple[str, ...] | None
    """What numbers mean, if the dataset knows."""


def _reader(dataset: Any) -> _Reader:
    if isinstance(dataset, Mapping):
        raise ValueError(
            f"got a {type(dataset).__name__} as a dataset, with {first_few([*dataset])}; give one "
            "of its parts, and as val another"
        )
    if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
        raise ValueError(
            f"got {type(dataset).__name__} as a dataset; give one with len() and a video for each "
            "number, or a list"
            + (": of a loader its dataset" if hasattr(dataset, "__iter__") else "")
        )
    if len(dataset) == 0:
        raise ValueError("got a dataset without items; give at least two classes of videos")
    if hasattr(dataset, "cast_column"):
        return _hugging_face(dataset)
    if (targets := _targets(dataset)) is not None:
        labels: Iterable[tuple[Any, bool]] = ((label, False) for label in targets)
    else:
        labels = _labels_of_items(dataset)
    return _Reader(partial(_video_of, dataset), labels, _own_classes(dataset))


def _is_subset(dataset: Any) -> bool:
    """Whether a dataset has some of another one's items, as torch's `Subset`."""
    return hasattr(dataset, "indices") and hasattr(dataset, "dataset")


def _own_classes(dataset: Any) -> tuple[str, ...] | None:
    """The names that a dataset knows, also one of which a subset is taken."""
    names = getattr(dataset, "classes", None)
    if names is None and _is_subset(dataset):
        return _own_classes(dataset.dataset)
    are_names = isinstance(names, list | tuple) and all(isinstance(each, str) for each in names)
    return tuple(map(composed, names)) if names and are_names else None


def _hugging_face(dataset: Any) -> _Reader:
    """A dataset of Hugging Face, whose columns of videos are left as files."""
    kinds = {name: type(feature).__name__ for name, feature in dataset.features.items()}
    video = _column(kinds, "Video", VIDEO_COLUMNS, "videos")
    label = _column(kinds, "ClassLabel", LABEL_COLUMNS, "labels")
    feature = dataset.features[video]
    if kinds[video] == "Video":  # to decode it takes torchcodec, and gives no frames but a decoder
        dataset = dataset.cast_column(video, type(feature)(decode=False))
    elif _are_numbers(dataset[0][video]):
        dataset = dataset.with_format("numpy", dtype=_dtype(feature))
    kind = dataset.features[label]
    inner = getattr(kind, "feature", None)  # of several labels a video, lists of numbers
    names = getattr(kind, "names", None) or getattr(inner, "names", None)
    values = dataset[label]
    if inner is not None and names:
        values = [[names[number] for number in each] for each in values]
    classes = tuple(map(composed, names)) if names else None
    return _Reader(partial(_cell, dataset, video), ((each, False) for each in values), classes)


def _are_numbers(cell: Any) -> bool:
    """Whether a cell holds nested lists of numbers, not pictures."""
    return isinstance(cell, list) and len(cell) > 0 and isinstance(cell[0], list)


def _dtype(feature: Any) -> str:
    """The type of the numbers in nested lists, which NumPy would be given as int64."""
    while hasattr(feature, "feature"):
        feature = feature.feature
    return str(getattr(feature, "dtype", "uint8"))


def _column(kinds: Mapping[str, str], kind: str, usual: Sequence[str], what: str) -> str:
    """The column with a kind of feature, or else one of the usual names."""
    found = [name for name in kinds if kinds[name] == kind] or [n for n in usual if n in kinds]
    if not found:
        raise ValueError(
            f"the dataset has the columns {first_few([*kinds])}, and none of {what}: rename one to "
            f"{usual[0]!r}"
        )
    return found[0]


def _targets(dataset: Any) -> Sequence[Any] | None:
    """The labels that a dataset of torchvision tells, also one of which a subset is taken.

    Not where they are changed when an item is read.
    """
    if getattr(dataset, "target_transform", None) is not None:
        return None
    targets = getattr(dataset, "targets", None)
    if targets is None and _is_subset(dataset):
        whole = _targets(dataset.dataset)
        targets = None if whole is None else [whole[index] for index in dataset.indices]
    return targets if targets is not None and len(targets) == len(dataset) else None


def _labels_of_items(dataset: Any) -> Iterator[tuple[Any, bool]]:
    """The label of each item, and whether its frames were seen with it."""
    last = time.monotonic()
    for number in range(len(dataset)):
        try:
            item = dataset[number]
        except Exception as error:
            raise ValueError(f"item {number}: {raised(error)}") from error
        video, label = _pair(item, number)
        yield label, _are_frames(video)
        if time.monotonic() - last >= SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            logger.info(
                "labels read from items: %d of %d (a dataset with `targets` tells them at once)",
                number + 1,
                len(dataset),
            )


def _are_frames(video: Any) -> bool:
    if not hasattr(video, "ndim"):
        return isinstance(video, VideoFrames)
    try:
        VideoFrames(video)
    except ValueError:  # to be named with all others that cannot be read
        return False
    return True


def _pair(item: Any, number: int) -> tuple[Any, Any]:
    """The video and the label of an item."""
    if isinstance(item, tuple | list) and len(item) == 2:
        return _source(item[0]), item[1]
    if isinstance(item, Mapping):
        names = [next((n for n in usual if n in item), None)
                 for usual in (VIDEO_COLUMNS, LABEL_COLUMNS)]  # fmt: skip
        if names[0] is not None and names[1] is not None:
            return _source(item[names[0]]), item[names[1]]
        raise ValueError(f"item {number} has the keys {first_few([*item])}; {_WANTED}")
    size = f" of {len(item)}" if isinstance(item, tuple | list) else ""
    raise ValueError(f"item {number} is a {type(item).__name__}{size}; {_WANTED}")


def _source(video: Any) -> Any:
    """A video as `opened` takes it: of a file as Hugging Face gives it the bytes, or the path."""
    if isinstance(video, Mapping) and video.keys() & {"bytes", "path"}:
        return video.get("path") if video.get("bytes") is None else video["bytes"]
    return video


def _video_of(dataset: Any, number: int) -> Any:
    return _pair(dataset[number], number)[0]


def _cell(dataset: Any, column: str, number: int) -> Any:
    return _source(dataset[number][column])


def _listed(
    reader: _Reader,
    part: str,
    split: Split | None,
    classes: Sequence[str] | None,
    numbers: set[int],
) -> Iterator[ListedVideo]:
    """The videos of one dataset; labels that are numbers without names are added to `numbers`."""
    for number, (label, is_known) in enumerate(reader.labels):
        name = f"{part}[{number}]"
        item = DatasetVideo(reader.video, number, name, is_known)
        names = _class_names(label, classes, name)
        if classes is None and isinstance(names, str) and not isinstance(label, str):
            numbers.add(int(names))
        video = ListedVideo(Path(name), "", split, name, item=item)
        if isinstance(names, str):
            yield replace(video, class_name=names)
        else:
            yield with_labels(video, names)


def _class_names(label: Any, classes: Sequence[str] | None, name: str) -> str | tuple[str, ...]:
    """The class of a label; of one that names several, or marks them with 1 and 0, all of them."""
    if hasattr(label, "tolist"):  # of NumPy or torch
        label = label.tolist()
    if isinstance(label, str):
        if classes is not None and composed(label) not in classes:
            raise ValueError(f"{name}: {unknown_name('class', label, classes)}")
        return composed(label)
    if isinstance(label, int) and not isinstance(label, bool) and label >= 0:
        if classes is None and label < MOST_NUMBERED:
            return str(label)
        if classes is None:
            raise ValueError(f"{name}: the label is {label}; give `classes`, the names of numbers")
        if label < len(classes):
            return classes[label]
    elif isinstance(label, list | tuple):
        if all(isinstance(each, str) for each in label):
            return tuple(str(_class_names(each, classes, name)) for each in label)
        if classes is not None and len(label) == len(classes) and set(label) <= {0, 1}:
            return tuple(each for each, held in zip(classes, label, strict=True) if held)
    known = "" if classes is None else f" of {len(classes)} classes"
    raise ValueError(
        f"{name}: the label is {str(label)[:60]}; give the name of a class or its number{known}, "
        "or of several a list of names, or 1 and 0 for each of `classes`"
    )
