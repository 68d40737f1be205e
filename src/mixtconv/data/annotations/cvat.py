"""CVAT: "CVAT for video 1.1" and "CVAT for images 1.1", of a task, a job or a project.

Frames count from 0 in the video itself, also where the task starts later or takes every n-th frame.
A track is a segment from its first shape to the shape that is `outside`, which is no longer part of
it; without one it ends with its last frame. Frames of a task that follow each other and have the
same `tag` are a segment; every n-th frame stands for n frames.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from mixtconv.data.annotations.documents import Element, frame
from mixtconv.data.annotations.segment import (
    AnnotatedSegment,
    Annotations,
    Omissions,
    with_empty_recordings,
)
from mixtconv.data.annotations.splits import read_split
from mixtconv.data.annotations.video_names import is_video_name
from mixtconv.data.listing import ListPlace

TITLE = "CVAT"

KEPT = ("frame", "outside", "label", "id", "task_id")
"""Attributes that are read; those of shapes are many."""

_STEP = re.compile(r"step\s*=\s*(\S+)")


@dataclass(frozen=True)
class _Task:
    """A task of one video."""

    whole: AnnotatedSegment
    """Its video, without label and times."""
    step: int
    """It takes every n-th frame."""
    stop: int | None
    """The frame behind its last."""

    def ends(self, last: int) -> int:
        """The frame behind what a frame of the task stands for."""
        end = last + self.step
        return end if self.stop is None else max(min(end, self.stop), last + 1)


def is_export(root: Element) -> bool:
    """Whether a document is an export of CVAT."""
    return root.tag == "annotations" and root.first("meta") is not None


def read_export(path: Path, root: Element) -> Annotations:
    """Read an export.

    Raises:
        ValueError: it is broken, or of pictures and not of a video; the line is named.
    """
    meta = root.first("meta")
    assert meta is not None
    omissions = Omissions()
    tasks = _tasks(path, meta)
    segments: list[AnnotatedSegment] = []
    for track in root.all("track"):
        segments += _of_track(path, track, _task_of(path, track, tasks))
    segments += _of_tags(path, root, tasks)
    shapes = sum(
        child.tag not in ("tag", "attribute") for i in root.all("image") for child in i.children
    )
    omissions.add(
        "shape", "of single pictures; export the task as CVAT for video 1.1 for its tracks", shapes
    )
    names = [name.text for name in _named(meta, "attribute", "name") if name.text]
    if names:
        omissions.add("attribute", "only names of labels are read", len(set(names)))
    recordings = [task.whole for task in tasks.values()]
    return Annotations(TITLE, with_empty_recordings(segments, recordings), notes=tuple(omissions))


def _named(element: Element, tag: str, inner: str) -> Iterator[Element]:
    """Elements of a name directly in elements of another name, at any depth."""
    for child in element.children:
        if child.tag == tag:
            yield from child.all(inner)
        yield from _named(child, tag, inner)


def _tasks(path: Path, meta: Element) -> dict[str, _Task]:
    """The tasks of the file by their number, which is empty where there is only one."""
    project = meta.first("project", "tasks")
    if project is not None:
        return {task.text_of("id"): _task(path, task, meta) for task in project.all("task")}
    task = meta.first("task") or meta.first("job")
    if task is None:
        raise ValueError(f"{path}:{meta.line}: neither task, job nor project; export it again")
    return {"": _task(path, task, meta)}


def _task(path: Path, task: Element, meta: Element) -> _Task:
    place = ListPlace(path.name, task.line)
    video = task.text_of("source") or meta.text_of("source")
    if not video and is_video_name(task.text_of("name")):  # exports of older versions
        video = task.text_of("name")
    if not video:
        raise ValueError(
            f"{place}: the {task.tag} {task.text_of('name')!r} names no source, so that it is of "
            "pictures; only tasks of a video are read"
        )
    match = _STEP.search(task.text_of("frame_filter"))
    step = frame(match[1], "step of frame_filter", place) if match else 1
    if step < 1:
        raise ValueError(f"{place}: step of frame_filter is {step}; give 1 or more")
    last = task.text_of("stop_frame")
    stop = frame(last, "stop_frame", place) + 1 if last else None
    split = read_split(task.text_of("subset"), place)
    whole = AnnotatedSegment(video, "", None, None, "frames", place, split)
    return _Task(whole, step, stop)


def _task_of(path: Path, element: Element, tasks: dict[str, _Task]) -> _Task:
    number = element.attributes.get("task_id", "")
    if number not in tasks and len(tasks) == 1:
        return next(iter(tasks.values()))
    if number not in tasks:
        raise ValueError(
            f"{path}:{element.line}: task_id is {number!r}; the tasks of the project are "
            f"{', '.join(tasks) or 'none'}"
        )
    return tasks[number]


def _label(path: Path, element: Element) -> str:
    label = element.attributes.get("label", "").strip()
    if not label:
        raise ValueError(f"{path}:{element.line}: {element.tag} without a label; export it again")
    return label


def _of_track(path: Path, track: Element, task: _Task) -> Iterator[AnnotatedSegment]:
    label, place = _label(path, track), ListPlace(path.name, track.line)
    shapes = [child for child in track.children if child.tag != "attribute"]
    numbered = sorted(
        (frame(each.attributes.get("frame"), "frame", ListPlace(path.name, each.line)), index)
        for index, each in enumerate(shapes)
    )
    start: int | None = None
    last = 0
    for number, index in numbered:
        if shapes[index].attributes.get("outside") != "1":
            start, last = number if start is None else start, number
        elif start is not None:
            yield _segment(task, label, start, number, place)
            start = None
    if start is not None:
        yield _segment(task, label, start, task.ends(last), place)


def _of_tags(path: Path, root: Element, tasks: dict[str, _Task]) -> Iterator[AnnotatedSegment]:
    """A segment for each run of frames of a task with the same tag."""
    found: dict[tuple[str, str], dict[int, int]] = {}
    keys = {id(task): key for key, task in tasks.items()}
    for owner, tag in _tags(root):
        place = ListPlace(path.name, tag.line)
        name = "frame" if "frame" in owner.attributes else "id"
        number = frame(owner.attributes.get(name), name, place)
        key = keys[id(_task_of(path, owner, tasks))]
        found.setdefault((key, _label(path, tag)), {}).setdefault(number, tag.line)
    for (key, label), lines in found.items():
        task = tasks[key]
        for first, last in _runs(sorted(lines), task.step):
            place = ListPlace(path.name, lines[first])
            yield _segment(task, label, first, task.ends(last), place)


def _tags(root: Element) -> Iterator[tuple[Element, Element]]:
    """The tags, each with the element that says its frame."""
    for child in root.children:
        if child.tag == "tag":
            yield child, child
        elif child.tag == "image":
            yield from ((child, tag) for tag in child.all("tag"))


def _runs(numbers: Iterable[int], step: int) -> list[tuple[int, int]]:
    """The first and the last of numbers that follow each other.

    >>> _runs([0, 2, 4, 8], 2)
    [(0, 4), (8, 8)]
    """
    runs: list[tuple[int, int]] = []
    for number in numbers:
        if runs and number - runs[-1][1] <= step:
            runs[-1] = (runs[-1][0], number)
        else:
            runs.append((number, number))
    return runs


def _segment(task: _Task, label: str, start: int, end: int, place: ListPlace) -> AnnotatedSegment:
    return replace(task.whole, label=label, start=Fraction(start), end=Fraction(end), place=place)
