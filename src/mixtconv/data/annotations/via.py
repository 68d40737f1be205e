"""VGG Image Annotator 3: its project (JSON), and its exports as CSV.

Metadata of a file with two times are a segment in seconds; with one time it is a still picture, and
without times a region. Each attribute of a segment gives a label: its text, or the options chosen.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixtconv.data.annotations.documents import (
    a_dict,
    a_list,
    a_text,
    exact,
    parse_json,
    table_rows,
)
from mixtconv.data.annotations.segment import (
    AnnotatedSegment,
    Annotations,
    Omissions,
    with_empty_recordings,
)
from mixtconv.data.annotations.video_names import is_video_name, without_address
from mixtconv.data.listing import ListPlace

TITLE = "VGG Image Annotator"

HEADER_MARK = "# CSV_HEADER ="
"""Beginning of the comment that names the columns of a CSV."""

_ATTRIBUTE_MARKS = ("# ATTRIBUTE =", "# ATTRIBUTES =")

_UNCHOSEN = ("_DEFAULT", "default")
"""Value of an attribute for which nothing was chosen."""

_VIDEO = "4"
"""Type of a file; pictures are 2 and sounds 8."""

_CHECKBOX = "2"
"""Type of an attribute of which several options may be chosen; a comma is between them."""


@dataclass(frozen=True)
class _Attribute:
    """A kind of label."""

    name: str
    options: Mapping[str, str]
    """Number of an option -> its text; empty for free text."""
    is_several: bool

    def labels(self, value: str) -> list[str]:
        """The labels that a value stands for."""
        if not self.options:
            return [value] if value else []
        chosen = value.split(",") if self.is_several else [value]
        return [self.options.get(key.strip(), key.strip()) for key in chosen if key.strip()]


def is_project(content: Any) -> bool:
    """Whether content of JSON is a project of VIA 3."""
    keys = ("project", "file", "view", "metadata", "attribute")
    return isinstance(content, dict) and all(isinstance(content.get(key), dict) for key in keys)


def read_project(path: Path, content: Any) -> Annotations:
    """Read a project.

    Raises:
        ValueError: it is broken, or has pictures only; the entry of the metadata is named.
    """
    attributes = {key: _attribute(key, item, path) for key, item in content["attribute"].items()}
    reader = _Reader(attributes)
    files = {key: _file(item, path) for key, item in content["file"].items()}
    views: dict[str, AnnotatedSegment] = {}
    for key, item in content["view"].items():
        view = a_dict(item, f"view {key!r}", path)
        listed = a_list(view.get("fid_list"), f"fid_list of view {key!r}", path)
        numbers = [a_text(number, f"a file of view {key!r}", path) for number in listed]
        if unknown := [number for number in numbers if number not in files]:
            raise ValueError(f"{path}: view {key!r} shows file {unknown[0]!r}, which is not there")
        videos = [file for number in numbers if (file := files[number]) is not None]
        if videos:
            views[key] = videos[0]
            why = "times of a view are those of its first video"
            reader.omissions.add("further video", why, len(videos) - 1)
    if not views:
        raise ValueError(f"{path}: no video among its files; only stretches of videos are read")
    for number, (name, item) in enumerate(content["metadata"].items(), 1):
        place = ListPlace(path.name, number, "entry")
        metadata = a_dict(item, f"metadata {name!r}", place)
        video = views.get(a_text(metadata.get("vid"), f"vid of {name!r}", place))
        if video is None:
            reader.omissions.add("annotation", "of a picture or a sound")
            continue
        values = a_dict(metadata.get("av"), f"av of {name!r}", place)
        reader.add(replace(video, place=place), metadata.get("z"), values)
    return reader.annotations(list(views.values()))


def _file(item: Any, path: Path) -> AnnotatedSegment | None:
    """A segment without label and times for a video; None for another file."""
    file = a_dict(item, "a file", path)
    name = a_text(file.get("fname") or file.get("src"), "fname of a file", path)
    kind = file.get("type")
    if not (is_video_name(name) or str(kind) == _VIDEO):
        return None
    source = file.get("src")
    others = [without_address(source)] if isinstance(source, str) and source else []
    names = list(dict.fromkeys([without_address(name), *others]))
    if any(text.startswith("data:") for text in names[1:]):  # the video itself
        names = names[:1]
    return AnnotatedSegment(
        names[0],
        "",
        None,
        None,
        "seconds",
        ListPlace(path.name, 1, "entry"),
        other_names=tuple(names[1:]),
    )


def _attribute(key: str, item: Any, path: Path) -> _Attribute:
    if isinstance(item, str):  # older exports name them only
        return _Attribute(item, {}, False)
    attribute = a_dict(item, f"attribute {key!r}", path)
    options = a_dict(attribute.get("options") or {}, f"options of attribute {key!r}", path)
    return _Attribute(
        str(attribute.get("aname", key)),
        {number: str(text) for number, text in options.items()},
        str(attribute.get("type")) == _CHECKBOX,
    )


class _Reader:
    """Collects the segments."""

    def __init__(self, attributes: Mapping[str, _Attribute]) -> None:
        self.omissions = Omissions()
        self._attributes = attributes
        self._segments: list[AnnotatedSegment] = []
        self._uncertain: list[AnnotatedSegment] = []

    def add(self, video: AnnotatedSegment, times: Any, values: dict[str, Any]) -> None:
        """Take what is said of a video at some times."""
        place = video.place
        stretch = [exact(time, "a time", place) for time in a_list(times, "the times", place)]
        if len(stretch) != 2:
            why = "of one time or of the whole video, not of a stretch"
            self.omissions.add("annotation", why)
            return
        start, end = stretch
        self.add_stretch(replace(video, start=start, end=end), values)

    def add_stretch(self, stretch: AnnotatedSegment, values: dict[str, Any]) -> None:
        """Take the labels of a stretch."""
        found = list(self._labels(stretch.place, values))
        chosen = [each for each in found if each[2] not in _UNCHOSEN] or found
        for tier, label, _ in chosen:
            self._segments.append(replace(stretch, label=label, tier=tier))
        if not chosen:
            self._uncertain.append(stretch)

    def _labels(self, place: ListPlace, values: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Attribute, label and value of each label."""
        for key, value in values.items():
            if not isinstance(value, str):
                raise ValueError(f"{place}: attribute {key!r} is no text; export it again")
            attribute = self._attributes.get(key, _Attribute(key, {}, False))
            for label in attribute.labels(str(value).strip()):
                yield attribute.name, label, value

    def annotations(self, videos: list[AnnotatedSegment]) -> Annotations:
        """All that was collected."""
        why = "without a label; no background is taken there"
        self.omissions.add("segment", why, len(self._uncertain))
        return Annotations(
            TITLE,
            with_empty_recordings(self._segments, videos),
            tuple(self._uncertain),
            tuple(self.omissions),
        )


def read_csv(path: Path, text: str) -> Annotations:
    """Read an export as CSV: that of all metadata, or of temporal segments.

    Raises:
        ValueError: it is broken; the line is named.
    """
    lines = text.splitlines()
    header = next(line for line in lines if _comment(line).startswith(HEADER_MARK))
    names = _comment(header)[len(HEADER_MARK) :].split(",")
    columns = {name.strip(): index for index, name in enumerate(names) if name.strip()}
    if not {"file_list", "metadata"} <= columns.keys():
        raise ValueError(
            f"{path}: its columns are {', '.join(columns)}; file_list and metadata must be among "
            "them; export it again"
        )
    reader = _Reader(_attributes(path, lines))
    videos = []
    # Comments become empty lines, so that lines keep their numbers.
    body = "\n".join("" if _comment(line).startswith("#") else line for line in lines)
    for row in table_rows(path, body, ","):
        place = ListPlace(path.name, row.line)
        if len(row.cells) < max(columns.values()) + 1:
            raise ValueError(
                f"{place}: {len(row.cells)} columns, not {len(columns)}; export it again"
            )
        cells = {name: row.cells[index] for name, index in columns.items()}
        files = a_list(_json(cells["file_list"], "file_list", place), "file_list", place)
        named = [a_text(file, "a file", place) for file in files]
        video = next((n for n in map(without_address, named) if is_video_name(n)), None)
        if video is None:
            reader.omissions.add("annotation", "of a picture or a sound")
            continue
        whole = AnnotatedSegment(video, "", None, None, "seconds", place)
        videos.append(whole)
        values = a_dict(_json(cells["metadata"], "metadata", place), "metadata", place)
        times = cells.get("temporal_coordinates")
        if times is not None:
            stretch = _json(times, "temporal_coordinates", place)
        else:
            ends = ("temporal_segment_start", "temporal_segment_end")
            stretch = [
                cells[name] for name in ends if cells.get(name) not in (None, "", "undefined")
            ]
        reader.add(whole, stretch, values)
    if not videos:
        raise ValueError(f"{path}: no annotation of a video; only stretches of videos are read")
    return reader.annotations(videos)


def _comment(line: str) -> str:
    """A line without the quotes that spreadsheets put around a comment."""
    return line.lstrip('"\ufeff ')


def _json(text: str, what: str, place: ListPlace) -> Any:
    try:
        return parse_json(text)
    except ValueError as error:
        raise ValueError(f"{place}: {what} is not JSON: {error}; export it again") from error


def _attributes(path: Path, lines: list[str]) -> dict[str, _Attribute]:
    """The attributes that a comment describes, by number and by name."""
    for number, line in enumerate(lines, 1):
        for mark in _ATTRIBUTE_MARKS:
            if line.startswith(mark):
                place = ListPlace(path.name, number)
                items = a_dict(_json(line[len(mark) :], "the comment", place), "the comment", place)
                found = {key: _attribute(key, item, path) for key, item in items.items()}
                return {each.name: each for each in found.values()} | found
    return {}
