"""What data say about videos, before any is opened: which there are, with which class and split.

`DataSource` is what the user names, `VideoListing` what is found there: `ListedVideo`s, and a
`Fault` for each entry that cannot be used. `VideoSample` is a video of which the label is known.
`hold_out` chooses the videos to validate on where the data do not say.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, get_args

from mixtconv._names import composed
from mixtconv.video.segment import (
    DatasetVideo,
    Span,
    Video,
    recording_name,
    segment_name,
    segment_of,
)

if TYPE_CHECKING:
    from mixtconv.data.recordings import AnnotatedRecording

Split = Literal["train", "val", "test"]

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
    "training": "train",
    "testing": "test",
}
"""Names of a split, as a folder or in a CSV -> the split; earlier ones win."""

ClassOrder = Literal["published", "distributed", "alphabetical"]

LabelMode = Literal["one", "several"]
"""Whether a video has one label, or may have several or none."""

Label = int | tuple[int, ...]
"""The index of a class; or, where videos may have several labels, 1 or 0 for each class."""


@dataclass(frozen=True)
class DataSource:
    """Dataset.

    What a user names: a folder, a list, or a known dataset with the folder that holds it.
    """

    data: str
    """Folder of class folders (with or without train/ and val/), CSV of path and label, or with
    --root the name of a known dataset: something_v1, something_v2, jester, ucf101, hmdb51,
    kinetics400."""
    root: str | None = None
    """Folder of the known dataset, in the layout in which it is distributed."""
    official_split: int = 1
    """Which of the dataset's splits, where it has several: 1, 2 or 3 of ucf101 and hmdb51."""
    class_order: ClassOrder = "published"
    """Order of a known dataset's classes: as in published weights, as in the file of labels that
    comes with it, or alphabetical."""
    group: str | None = None
    r"""What keeps videos on one side of a split, such as those cut from one recording: a column of
    the CSV, or a regular expression over the names (class/file) whose parentheses hold the group's,
    as 'v_(.*_g\d+)_'; default the columns group and session, and what a known dataset tells."""
    background: float | None = None
    """Of a list of segments, so many segments of time without a label for each labelled one, away
    from these, as a class of their own, 'background'; default 0, and in scoring that of the
    model's training."""
    labels: LabelMode | None = None
    """Whether a video has one label, or may have several or none; default what the list says:
    several where a column of labels holds a|b, or there is a column of 0 and 1 for each class; in
    scoring as in the model's training."""
    without: list[str] | None = None
    """Classes whose videos are left out, as if the data did not have them: '[other,idle]'."""

    def __post_init__(self) -> None:
        if self.official_split not in (1, 2, 3):
            raise ValueError(f"--official-split is {self.official_split}; give 1, 2 or 3")


@dataclass(frozen=True, slots=True)
class ListPlace:
    """A line or an entry of a list of videos.

    >>> str(ListPlace("train.csv", 12)), str(ListPlace("train.json", 3, "entry"))
    ('train.csv:12', 'train.json, entry 3')
    """

    file: str
    """Name of the list."""
    line: int
    """Number of the line, or of the entry, from 1."""
    unit: Literal["line", "entry"] = "line"
    """What is counted: a JSON file has entries."""

    def __str__(self) -> str:
        if self.unit == "line":
            return f"{self.file}:{self.line}"
        return f"{self.file}, {self.unit} {self.line}"


@dataclass(frozen=True)
class ListedVideo:
    """One video as the data list it."""

    path: Path
    """The video: a file or a folder of pictures."""
    class_name: str
    """Name of its class; of several all of them, as `a|b`."""
    split: Split | None
    """Its split; None where the data name no splits."""
    key: str
    """Its name inside the data, the same on every machine; the split rule hashes it."""
    place: ListPlace | None = None
    """Where a list names it; None in a folder of class folders."""
    group: str = ""
    """The recording session or the person, where a list says so."""
    span: Span | None = None
    """The segment of the recording that is meant; None for all of it."""
    labels: tuple[str, ...] | None = None
    """Its classes where a video may have several, sorted, empty for none; None where each has
    one."""
    own_labels: tuple[str, ...] | None = None
    """Those of them that are annotated for just this segment, not for others over it."""
    item: DatasetVideo | None = None
    """What a dataset gives, read in place of the path, which is then its name."""

    @property
    def video(self) -> Video:
        """What is read: the file, the folder of pictures, the segment of it, or the item."""
        return self.item or segment_of(self.path, self.span)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of its classes, one, several or none."""
        return (self.class_name,) if self.labels is None else self.labels

    @property
    def recording_key(self) -> str:
        """The key without the segment, the same for all segments of a recording."""
        return recording_name(self.key)


def listed_key(name: str, span: Span | None) -> str:
    """The key of a video or a segment that a list names, on systems with either separator.

    >>> listed_key("day 1\\\\a.mp4", None)
    'day 1/a.mp4'
    """
    return segment_name(PurePosixPath(name.replace("\\", "/")).as_posix(), span)


def contradiction(entry: Any, earlier: Any) -> tuple[str, str, str] | None:
    """How two entries of one video, of a list or listed, contradict each other, if they do.

    Returns:
        Whether in class or split, and what the entry and the earlier one say.
    """
    for name, word in (("class_name", "class"), ("split", "split")):
        here, before = getattr(entry, name), getattr(earlier, name)
        if here != before:
            return word, repr(here), repr(before)
    return None


def both_hold(word: str, entry: Any) -> str:
    """What to do about contradicting classes of a segment, which may both be right."""
    is_segment = word == "class" and getattr(entry, "span", None) is not None
    return " (--labels several, if both hold)" if is_segment else ""


FaultKind = Literal[
    "missing", "mislabelled", "leak", "malformed", "segment", "unreadable", "damaged", "short"
]
"""A video that does not exist, an impossible label, one content or group on both sides of a split,
an invalid line, a segment beyond the end of its recording or over one with another label; a video
of which no frame can be decoded (training leaves it out), or not all frames, or that has too few.
"""

FAULT_KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
"""All kinds, in the order in which they are reported."""


@dataclass(frozen=True)
class Fault:
    """A video or an entry of a list that cannot be used as it is."""

    kind: FaultKind
    """The kind of fault."""
    video: str
    """The video's name in the data, or the line that names none."""
    reason: str
    """What was found, in words."""
    path: str | None = None
    """The file or folder; None if it was not found."""
    label: str | None = None
    """The class that the data give it."""
    split: Split | None = None
    """Its split; None where the data name no splits."""
    place: ListPlace | None = None
    """Where a list names it; None in a folder of class folders."""
    group: str = ""
    """The group of the video, where a list or a known dataset tells."""
    key: str = ""
    """What the split rule hashes, if it is not `video`."""
    span: Span | None = None
    """The segment of it, if it is missing and would be one."""

    @property
    def file(self) -> str | None:
        """The list that names it."""
        return None if self.place is None else self.place.file

    @property
    def line(self) -> int | None:
        """Its line there, or the number of its entry in JSON, from 1."""
        return None if self.place is None else self.place.line

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "kind": self.kind,
            "video": self.video,
            "path": self.path,
            "split": self.split,
            "label": self.label,
            "reason": self.reason,
            "file": self.file,
            "line": self.line,
        }


BY_RECORDINGS = "recordings, by the names"
"""What the groups of a known dataset come from."""

BY_SEGMENTS = "recordings, which a list cuts into segments"
"""What the groups of segments come from."""


@dataclass(frozen=True)
class VideoListing:
    """All videos of a folder, a CSV or a known dataset."""

    source: Path
    """The folder, the CSV, or the folder of the known dataset."""
    videos: tuple[ListedVideo, ...]
    """The videos, in an order that does not depend on the machine."""
    ignored: tuple[Path, ...] = ()
    """Files and folders in the source that are not used, without hidden ones."""
    notes: tuple[str, ...] = ()
    """Sentences that the user should read."""
    classes: tuple[str, ...] | None = None
    """All class names in the order of labels, if the data define it; some may have no videos."""
    faults: tuple[Fault, ...] = ()
    """Entries to correct before training or scoring."""
    absent: tuple[Fault, ...] = ()
    """Entries whose video does not exist, where that is expected (Kinetics)."""
    lists: tuple[Path, ...] = ()
    """The lists of all splits and the file of labels, beside those that were read too."""
    group_column: str | None = None
    """The column of groups in a list, if the user named it."""
    grouped_by: str = ""
    """What the groups of the videos come from, if --group or a known dataset tells them."""

    @property
    def several(self) -> bool:
        """Whether a video may have several labels."""
        return any(video.labels is not None for video in self.videos)


@dataclass(frozen=True)
class VideoSample:
    """One video and its label, or its labels."""

    path: Path
    """The video: a file or a folder of pictures."""
    label: Label
    """Index of its class; where videos may have several, 1 or 0 for each class."""
    key: str = field(default="", compare=False)
    """Its name among the videos chosen with it, the same for all forms and modalities of it."""
    group: str = field(default="", compare=False)
    """The recording session or person, where the data say so."""
    span: Span | None = None
    """The segment of the recording that is meant; None for all of it."""
    recording: str = field(default="", compare=False)
    """Its recording, in the data's words: the same for all of its segments, cut or not."""
    own_labels: tuple[int, ...] | None = field(default=None, compare=False)
    """Where it may have several, the classes that are annotated for just this segment."""
    annotated: "AnnotatedRecording | None" = field(default=None, compare=False)
    """All that is annotated in its recording, where each frame has a label of its own."""
    item: DatasetVideo | None = field(default=None, compare=False)
    """What a dataset gives, read in place of the path, which is then its name."""

    @property
    def video(self) -> Video:
        """What is read: the file, the folder of pictures, the segment of it, or the item."""
        return self.item or segment_of(self.path, self.span)


def labels_of(label: Label) -> tuple[int, ...]:
    """The indices of the classes of a label.

    >>> labels_of(3), labels_of((1, 0, 1))
    ((3,), (0, 2))
    """
    return (label,) if isinstance(label, int) else tuple(i for i, on in enumerate(label) if on)


def label_text(label: Label, classes: Sequence[str]) -> str:
    """The names of the classes of a label, for people.

    >>> classes = ["walk", "run", "wave"]
    >>> label_text((1, 0, 1), classes), label_text((0, 0, 0), classes)
    ('walk, wave', 'no label')
    """
    return ", ".join(classes[number] for number in labels_of(label)) or "no label"


def one_label(label: Label, what: str = "this") -> int:
    """The index of the only class of a video.

    Args:
        label: the label.
        what: what takes no others, for the message.

    Raises:
        ValueError: the label is one of several.
    """
    if isinstance(label, int):
        return label
    raise ValueError(f"{what} takes videos of one label each, and these may have several")


def strata(labels: Sequence[Label]) -> list[int]:
    """Numbers of what is spread evenly over the parts of a division: classes, or sets of them.

    >>> strata([2, 0, 2]), strata([(1, 0), (1, 1), (1, 0)])
    ([2, 0, 2], [0, 1, 0])
    """
    numbers: dict[Label, int] = {}
    return [
        label if isinstance(label, int) else numbers.setdefault(label, len(numbers))
        for label in labels
    ]


def hold_out(names: Iterable[str], fraction: float) -> frozenset[str]:
    """Choose about `fraction` of the names by a hash of each name.

    Whether a name is chosen depends on the name alone, not on the others, the machine or the order.
    One exception: of two or more names at least one is chosen and one is not. If the hashes decide
    otherwise, the name with the lowest hash is added or the one with the highest removed.

    >>> sorted(hold_out(["a.mp4", "b.mp4", "c.mp4"], 0.3))
    ['c.mp4']
    """
    hashes = {name: unit_hash(name) for name in names}
    if len(hashes) < 2:
        return frozenset()
    chosen = {name for name, number in hashes.items() if number < fraction}
    if not chosen:
        chosen = {min(hashes, key=hashes.__getitem__)}
    if len(chosen) == len(hashes):
        chosen.remove(max(hashes, key=hashes.__getitem__))
    return frozenset(chosen)


def unit_hash(name: str) -> float:
    """A hash in [0, 1); of the composed form, since file systems differ in composing accents."""
    text = composed(name).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big") / 2**64
