"""THUMOS14: the folder `annotation/` as distributed, a text a class and subset.

`CleanAndJerk_val.txt` has lines of a video's name, start and end in seconds. Stretches of the file
`Ambiguous_val.txt` are neither of a class nor background. The training set of THUMOS14 holds cut
clips, so that the recordings of its validation set are trained on, and those of its test set
evaluated.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mixtconv.data.annotations.documents import exact
from mixtconv.data.annotations.segment import (
    AnnotatedSegment,
    Annotations,
    Omissions,
    with_empty_recordings,
)
from mixtconv.data.listing import ListPlace

TITLE = "THUMOS14"

AMBIGUOUS = "Ambiguous"
"""Class of stretches of which nobody could say the class."""

AMBIGUOUS_NOTE = "ambiguous; no background is taken there"

_VALIDATION_TRAINS = (
    "the validation set of THUMOS14 is trained on, as usual: its training set holds no recordings"
)

_NAME = re.compile(r"video_(?P<split>validation|test|background)_[0-9]{7}")
_FILE = re.compile(r"(?P<label>.+)_(?P<split>val|test)", re.IGNORECASE)


def is_thumos(name: str) -> bool:
    """Whether a video is one of THUMOS14, by its name."""
    return _NAME.fullmatch(name) is not None


def is_text(path: Path, text: str) -> bool:
    """Whether a text is one of the folder, by its first line and its name."""
    words = next((line.split() for line in text.splitlines() if line.strip()), [])
    return len(words) > 0 and is_thumos(words[0]) and _FILE.fullmatch(path.stem) is not None


def read_text(path: Path, text: str) -> Annotations:
    """Read the text of a class.

    Raises:
        ValueError: a line is not a video's name, start and end.
    """
    match = _FILE.fullmatch(path.stem)
    assert match is not None
    omissions = Omissions()
    segments = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        place = ListPlace(path.name, number)
        video = _NAME.fullmatch(words[0])
        if len(words) != 3 or video is None:
            raise ValueError(
                f"{place}: {line.strip()[:60]!r}; give a video's name, start and end, as in "
                "video_validation_0000051 67.5 75.9"
            )
        start, end = (exact(word, "a time", place) for word in words[1:])
        split = "test" if video["split"] == "test" else "val"
        segments.append(
            AnnotatedSegment(words[0], match["label"], start, end, "seconds", place, split)
        )
    whole = [replace(segment, label="", start=None, end=None) for segment in segments]
    segments, recordings, notes = with_training(segments, whole)
    uncertain: list[AnnotatedSegment] = []
    if match["label"] == AMBIGUOUS:
        uncertain = [replace(segment, label="") for segment in segments]
        segments = []
        omissions.add("segment", AMBIGUOUS_NOTE, len(uncertain))
    return Annotations(
        TITLE,
        with_empty_recordings(segments, recordings),
        tuple(uncertain),
        (*omissions, *notes),
    )


def with_training(
    segments: Sequence[AnnotatedSegment], recordings: Sequence[AnnotatedSegment]
) -> tuple[list[AnnotatedSegment], list[AnnotatedSegment], tuple[str, ...]]:
    """The same with the validation set as training set where there is no other, and a note."""
    splits = {each.split for each in recordings}
    if "train" in splits or "val" not in splits:
        return list(segments), list(recordings), ()

    def trained(each: AnnotatedSegment) -> AnnotatedSegment:
        return replace(each, split="train") if each.split == "val" else each

    return (
        [trained(each) for each in segments],
        [trained(each) for each in recordings],
        (_VALIDATION_TRAINS,),
    )
