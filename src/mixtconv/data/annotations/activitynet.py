"""ActivityNet's JSON, which THUMOS14, HACS, FineAction and others are also distributed in.

A database of videos by their identifier, each with its subset and stretches in seconds. A file of
ActivityNet is called `v_` and the identifier. A subset of which no video is annotated is withheld.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mixtconv.data.annotations.documents import a_dict, a_list, a_text, exact
from mixtconv.data.annotations.segment import (
    AnnotatedSegment,
    Annotations,
    Omissions,
    with_empty_recordings,
)
from mixtconv.data.annotations.splits import read_split
from mixtconv.data.annotations.thumos import AMBIGUOUS, AMBIGUOUS_NOTE, is_thumos, with_training
from mixtconv.data.listing import ListPlace

TITLE = "ActivityNet"


def is_database(content: Any) -> bool:
    """Whether content of JSON is a database of videos."""
    return isinstance(content, dict) and isinstance(content.get("database"), dict)


def read_database(path: Path, content: Any) -> Annotations:
    """Read a database.

    Raises:
        ValueError: it is broken; the video is named.
    """
    omissions = Omissions()
    segments: list[AnnotatedSegment] = []
    recordings: list[AnnotatedSegment] = []
    for number, (name, item) in enumerate(content["database"].items(), 1):
        place = ListPlace(path.name, number, "entry")
        if not name.strip():
            raise ValueError(f"{place}: an empty name of a video")
        video = a_dict(item, f"video {name!r}", place)
        split = read_split(str(video.get("subset") or ""), place)
        others = () if is_thumos(name) else ("v_" + name.removeprefix("v_"),)
        whole = AnnotatedSegment(name, "", None, None, "seconds", place, split, other_names=others)
        recordings.append(whole)
        listed = a_list(video.get("annotations", []), f"annotations of {name!r}", place)
        for each in listed:
            annotation = a_dict(each, f"an annotation of {name!r}", place)
            stretch = a_list(annotation.get("segment"), f"segment of {name!r}", place)
            if len(stretch) != 2:
                raise ValueError(
                    f"{place}: a segment of {name!r} has {len(stretch)} times; give start and end"
                )
            start, end = (exact(time, f"a time of {name!r}", place) for time in stretch)
            label = a_text(annotation.get("label"), f"label of {name!r}", place)
            segments.append(replace(whole, label=label, start=start, end=end))
    recordings = _annotated(segments, recordings, omissions)
    notes: tuple[str, ...] = ()
    uncertain: list[AnnotatedSegment] = []
    if recordings and all(is_thumos(whole.video) for whole in recordings):
        uncertain = [segment for segment in segments if segment.label == AMBIGUOUS]
        segments = [segment for segment in segments if segment.label != AMBIGUOUS]
        omissions.add("segment", AMBIGUOUS_NOTE, len(uncertain))
        segments, recordings, notes = with_training(segments, recordings)
    return Annotations(
        TITLE,
        with_empty_recordings(segments, recordings),
        tuple(replace(segment, label="") for segment in uncertain),
        (*omissions, *notes),
    )


def _annotated(
    segments: Sequence[AnnotatedSegment],
    recordings: Sequence[AnnotatedSegment],
    omissions: Omissions,
) -> list[AnnotatedSegment]:
    """The recordings without those of a test subset whose annotations are withheld."""
    splits = {segment.split for segment in segments}
    kept = [each for each in recordings if each.split != "test" or "test" in splits]
    why = "no video of the test subset is annotated"
    omissions.add("video", why, len(recordings) - len(kept))
    return kept
