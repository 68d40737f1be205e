"""Label Studio: its exports JSON, JSON-MIN and CSV.

A timeline label (`timelinelabels`) has ranges of frames, counted from 1, of which the last one is
part of the range: 3 to 5 are the frames 2, 3 and 4 counted from 0. Labels of an audio track
(`labels`) have seconds. Where no task has either, `choices` are labels of whole videos.

Of several annotations of one task the ground truth is read, or else the one that was updated last;
tasks without an annotation are not annotated, and tell nothing about background.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from mixtconv.data.annotations.documents import (
    Written,
    a_dict,
    a_list,
    a_text,
    exact,
    frame,
    parse_json,
    table_rows,
)
from mixtconv.data.annotations.segment import (
    AnnotatedSegment,
    Annotations,
    Omissions,
    with_empty_recordings,
)
from mixtconv.data.annotations.video_names import is_video_name, served_names
from mixtconv.data.listing import ListPlace

TITLE = "Label Studio"

_EXPORT_AGAIN = "export the project again as JSON"

_ABOUT_TASKS = ("id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time")
"""Columns of JSON-MIN and CSV beside the data of the task and what was annotated."""


@dataclass(frozen=True)
class _Result:
    """One thing that was annotated: a range, a label of the whole video, or something else."""

    kind: str
    control: str
    target: str
    value: Mapping[str, Any]


@dataclass
class _Task:
    """A task with the annotation that is read."""

    place: ListPlace
    data: Mapping[str, Any]
    results: list[_Result] = field(default_factory=list)


def is_export(content: Any) -> bool:
    """Whether content of JSON is the export of tasks, or of one task."""
    return any(
        isinstance(task, dict)
        and isinstance(task.get("data"), dict)
        and isinstance(task.get("annotations", task.get("completions")), list)
        for task in (content if isinstance(content, list) else [content])
    )


def is_short_export(content: Any) -> bool:
    """Whether content of JSON is the export JSON-MIN."""
    return isinstance(content, list) and any(
        isinstance(task, dict) and is_short_header(task.keys()) for task in content
    )


def is_short_header(names: Any) -> bool:
    """Whether these are columns of JSON-MIN or of CSV."""
    return "annotation_id" in names and ("lead_time" in names or "annotator" in names)


def read_export(path: Path, content: Any) -> Annotations:
    """Read the export JSON.

    Raises:
        ValueError: it is broken; the entry is named.
    """
    omissions = Omissions()
    tasks = []
    for number, item in enumerate(content if isinstance(content, list) else [content], 1):
        place = ListPlace(path.name, number, "entry")
        task = a_dict(item, "the task", place)
        data = a_dict(task.get("data"), "data", place)
        annotations = [
            a_dict(each, "an annotation", place)
            for each in a_list(
                task.get("annotations", task.get("completions")), "annotations", place
            )
        ]
        done = [each for each in annotations if each.get("was_cancelled") is not True]
        if not done:
            why = "all their annotations were skipped" if annotations else "no annotation yet"
            omissions.add("task", why)
            continue
        chosen = _chosen(done, omissions)
        results = a_list(chosen.get("result"), "result", place)
        tasks.append(_Task(place, data, [_result(each, place) for each in results]))
    return _read(tasks, omissions)


def read_short_export(path: Path, content: Any) -> Annotations:
    """Read the export JSON-MIN.

    Raises:
        ValueError: it is broken; the entry is named.
    """
    tasks = []
    for number, item in enumerate(content, 1):
        place = ListPlace(path.name, number, "entry")
        tasks.append((place, a_dict(item, "the task", place)))
    return _read_short(path, tasks)


def read_csv(path: Path, text: str, delimiter: str) -> Annotations:
    """Read the export CSV (or TSV), whose cells hold JSON.

    Raises:
        ValueError: it is broken; the line is named.
    """
    header, *rows = table_rows(path, text, delimiter)
    tasks = []
    for row in rows:
        place = ListPlace(path.name, row.line)
        if len(row.cells) != len(header.cells):
            raise ValueError(
                f"{place}: {len(row.cells)} columns, not {len(header.cells)}; {_EXPORT_AGAIN}"
            )
        cells = zip(header.cells, row.cells, strict=True)
        tasks.append((place, {name: _cell(cell, place) for name, cell in cells if cell}))
    return _read_short(path, tasks)


def _cell(text: str, place: ListPlace) -> Any:
    if not text.startswith(("[{", "{")):
        return text
    try:
        return parse_json(text)
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError) and "timelinelabels" not in text:
            return text
        raise ValueError(f"{place}: a cell is not JSON: {error}; {_EXPORT_AGAIN}") from error


def _read_short(path: Path, items: Sequence[tuple[ListPlace, dict[str, Any]]]) -> Annotations:
    """Read tasks of which each annotation is an entry, under the name of its control."""
    omissions = Omissions()
    by_task: dict[str, list[tuple[ListPlace, dict[str, Any]]]] = {}
    for place, item in items:
        by_task.setdefault(str(item.get("id", place)), []).append((place, item))
    tasks = []
    for entries in by_task.values():
        chosen = _chosen([item for _, item in entries], omissions)
        place = next(place for place, item in entries if item is chosen)
        task = _Task(place, {k: v for k, v in chosen.items() if k not in _ABOUT_TASKS})
        for control, values in task.data.items():
            for value in values if isinstance(values, list) else ():
                if isinstance(value, dict):
                    task.results.append(_Result(_kind(value), control, "", value))
        tasks.append(task)
    if not any(result.kind in _STRETCHES for task in tasks for result in task.results):
        raise ValueError(
            f"{path}: no stretches of time in it; {_EXPORT_AGAIN}, which tells labels of whole "
            "videos from other texts"
        )
    return _read(tasks, omissions)


def _kind(value: Mapping[str, Any]) -> str:
    """The type of a result, which the short exports leave out."""
    if "sequence" in value:
        return "videorectangle"
    if "ranges" in value:
        return "timelinelabels"
    return next((kind for kind in value if kind.endswith("labels")), "")


def _chosen(annotations: Sequence[dict[str, Any]], omissions: Omissions) -> dict[str, Any]:
    """The ground truth, or else the annotation that was updated last."""
    truths = [each for each in annotations if each.get("ground_truth") is True]
    chosen = max(
        reversed(truths or annotations),
        key=lambda each: str(each.get("updated_at") or each.get("created_at") or ""),
    )
    why = "their tasks have others: the ground truth is read, or else the one updated last"
    omissions.add("annotation", why, len(annotations) - 1)
    return chosen


def _result(item: Any, place: ListPlace) -> _Result:
    result = a_dict(item, "a result", place)
    value = result.get("value", {})
    return _Result(
        str(result.get("type", "")),
        str(result.get("from_name", "")),
        str(result.get("to_name", "")),
        a_dict(value, "value", place),
    )


def _read(tasks: Sequence[_Task], omissions: Omissions) -> Annotations:
    segments: list[AnnotatedSegment] = []
    uncertain: list[AnnotatedSegment] = []
    recordings = []
    has_stretches = any(result.kind in _STRETCHES for task in tasks for result in task.results)
    for task in tasks:
        whole = _video(task, next((r.target for r in task.results if r.kind in _KINDS), ""))
        recordings.append(whole)
        for result in task.results:
            if result.kind not in _KINDS or _is_of_something_else(result):
                kind = f"of type {result.kind or 'unknown'}"
                omissions.add("result", "no stretch of time", kind=kind)
            elif result.kind == "choices" and has_stretches:
                omissions.add("whole-video choice", "stretches are labelled in this file")
            else:
                for segment in _KINDS[result.kind](whole, result):
                    (segments if segment.label else uncertain).append(segment)
    omissions.add("segment", "without a label; no background is taken there", len(uncertain))
    return Annotations(
        TITLE, with_empty_recordings(segments, recordings), tuple(uncertain), tuple(omissions)
    )


def _video(task: _Task, target: str) -> AnnotatedSegment:
    """A segment without label and times for the video of a task."""
    addresses = {
        name: value
        for name, value in task.data.items()
        if isinstance(value, str) and value and not isinstance(value, Written)
    }
    found = [name for name, value in addresses.items() if is_video_name(served_names(value)[0])]
    named = [name for name in addresses if "video" in name.lower()]
    likely = [
        *(name for name in found if name == target),
        *(name for name in found if name in named),
        *found,
        *named,
    ]
    if not likely:
        raise ValueError(
            f"{task.place}: no address of a video in its data ({', '.join(addresses) or 'none'}); "
            "call it video in the task and export again"
        )
    name, *others = served_names(addresses[likely[0]])
    return AnnotatedSegment(name, "", None, None, "seconds", task.place, other_names=tuple(others))


def _is_of_something_else(result: _Result) -> bool:
    """Whether a choice is for a region and not for the video, or a label for a part of a text."""
    if result.kind == "choices":
        return "ranges" in result.value or "start" in result.value
    return result.kind == "labels" and "text" in result.value


def _timeline(whole: AnnotatedSegment, result: _Result) -> Iterator[AnnotatedSegment]:
    place = whole.place
    for item in a_list(result.value.get("ranges"), "ranges", place):
        span = a_dict(item, "a range", place)
        first = frame(span.get("start"), "start of a range", place)
        last = frame(span.get("end"), "end of a range", place)
        stretch = replace(whole, start=Fraction(first - 1), end=Fraction(last), unit="frames")
        yield from _labelled(stretch, result)


def _sound(whole: AnnotatedSegment, result: _Result) -> Iterator[AnnotatedSegment]:
    start = exact(result.value.get("start"), "start", whole.place)
    end = exact(result.value.get("end"), "end", whole.place)
    yield from _labelled(replace(whole, start=start, end=end), result)


def _labelled(stretch: AnnotatedSegment, result: _Result) -> Iterator[AnnotatedSegment]:
    """A stretch with each label of a result; as it is if there is none."""
    labels = a_list(result.value.get(result.kind, []), result.kind, stretch.place)
    texts = [a_text(label, f"a label of {result.kind}", stretch.place) for label in labels]
    for text in texts or [""]:
        yield replace(stretch, label=text, tier=result.control)


_STRETCHES: dict[str, Callable[[AnnotatedSegment, _Result], Iterator[AnnotatedSegment]]] = {
    "timelinelabels": _timeline,
    "labels": _sound,
}
_KINDS = {**_STRETCHES, "choices": _labelled}
"""Types of results that are read."""
