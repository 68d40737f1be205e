"""Create ML: JSON of an action classifier whose entries hold their stretches, or name an `image`.

An entry has `video` (or `image`) and either `label`, `start` and `end`, or a list `annotations` of
these, in seconds. Flat entries with `video`, and CSV, are what every list of videos looks like:
they are read as a list.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

from mixtconv.data.annotations.documents import a_dict, a_list, a_text, exact
from mixtconv.data.annotations.segment import (
    AnnotatedSegment,
    Annotations,
    with_empty_recordings,
)
from mixtconv.data.annotations.video_names import without_address
from mixtconv.data.listing import ListPlace

TITLE = "Create ML"

_VIDEOS = ("video", "image")
_STARTS = ("start", "startTime", "start_time")
_ENDS = ("end", "endTime", "end_time")


def is_list(content: Any) -> bool:
    """Whether content of JSON is such a list."""
    return isinstance(content, list) and any(
        isinstance(entry, dict) and (_is_nested(entry) or _is_flat(entry)) for entry in content
    )


def _is_nested(entry: dict[str, Any]) -> bool:
    inner = entry.get("annotations")
    return (
        any(isinstance(entry.get(key), str) for key in _VIDEOS)
        and isinstance(inner, list)
        and any(isinstance(each, dict) and _is_stretch(each) for each in inner)
    )


def _is_flat(entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("image"), str) and "video" not in entry and _is_stretch(entry)


def _is_stretch(entry: dict[str, Any]) -> bool:
    return "label" in entry and any(key in entry for key in _STARTS)


def read_list(path: Path, content: Any) -> Annotations:
    """Read such a list.

    Raises:
        ValueError: it is broken; the entry is named.
    """
    segments: list[AnnotatedSegment] = []
    recordings = []
    for number, item in enumerate(content, 1):
        place = ListPlace(path.name, number, "entry")
        entry = a_dict(item, "the entry", place)
        key = next((key for key in _VIDEOS if key in entry), "video")
        video = without_address(a_text(entry.get(key), key, place))
        whole = AnnotatedSegment(video, "", None, None, "seconds", place)
        recordings.append(whole)
        inner = a_list(entry.get("annotations", [entry]), "annotations", place)
        segments += [_segment(whole, each) for each in inner]
    return Annotations(TITLE, with_empty_recordings(segments, recordings))


def _segment(whole: AnnotatedSegment, item: Any) -> AnnotatedSegment:
    place = whole.place
    entry = a_dict(item, "an annotation", place)
    start = next((entry[key] for key in _STARTS if key in entry), None)
    end = next((entry[key] for key in _ENDS if key in entry), None)
    return replace(
        whole,
        label=a_text(entry.get("label"), "label", place),
        start=exact(start, "start", place),
        end=exact(end, "end", place),
    )
