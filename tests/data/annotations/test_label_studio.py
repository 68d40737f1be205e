"""Label Studio: timeline ranges count frames from 1 and hold their last one."""

import json
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.data.annotations import Annotations, read_annotations

MIN = """[{"video": "/data/upload/1/0f5c89ab-walk.mp4", "id": 7, "tl": [
 {"ranges": [{"start": 3, "end": 5}], "timelinelabels": ["Moving"]}], "annotator": 1,
 "annotation_id": 11, "created_at": "2024-05-02T08:00:00Z", "updated_at": "2024-05-02T08:10:00Z",
 "lead_time": 31.5}]"""

CSV = """annotation_id,annotator,created_at,id,lead_time,tl,updated_at,video
11,1,2024-05-02T08:00:00Z,7,31.5,"[{""ranges"": [{""start"": 3, ""end"": 5}], ""timelinelabels"": [""Moving""]}]",2024-05-02T08:10:00Z,/data/upload/1/0f5c89ab-walk.mp4
12,1,2024-05-02T08:00:00Z,8,3.5,,2024-05-02T08:10:00Z,s3://bucket/in/empty.mp4
"""  # noqa: E501


def test_timeline_labels_are_frames_from_1_with_the_last(
    tmp_path: Path, exports: ModuleType
) -> None:
    read = exports.read(tmp_path, "export", exports.LABEL_STUDIO)
    assert read.title == "Label Studio"
    assert exports.short(read) == [
        ("walk.mp4", "Moving", 2, 5, "frames"),
        ("walk.mp4", "Still", 7, 8, "frames"),
        ("walk.mp4", "Dark", 7, 8, "frames"),
        ("cam 1/empty.mp4", "", None, None, "seconds"),
    ]
    first = read.segments[0]
    assert first.other_names == ("0f5c89ab-walk.mp4",)
    assert (first.tier, str(first.place)) == ("tl", "export, entry 1")
    assert read.recordings == ("walk.mp4", "cam 1/empty.mp4")
    assert read.notes == (
        "1 task left out: no annotation yet",
        "1 result of type videorectangle left out: no stretch of time",
    )


@pytest.mark.parametrize(("name", "text"), [("min.json", MIN), ("export.csv", CSV)])
def test_short_exports_give_the_same(
    name: str, text: str, tmp_path: Path, exports: ModuleType
) -> None:
    read = exports.read(tmp_path, name, text)
    assert exports.short(read)[0] == ("walk.mp4", "Moving", 2, 5, "frames")
    assert read.segments[0].tier == "tl"
    assert read.recordings == (("walk.mp4",) if text is MIN else ("walk.mp4", "in/empty.mp4"))


def task(*annotations: dict, **data: str) -> dict:
    return {"id": 1, "data": data or {"video": "a.mp4"}, "annotations": list(annotations)}


def result(kind: str, control: str = "c", **value: object) -> dict:
    return {"type": kind, "from_name": control, "to_name": "video", "value": value}


def moving(last: int) -> dict:
    span = [{"start": 1, "end": last}]
    return result("timelinelabels", ranges=span, timelinelabels=["Moving"])


def read_tasks(exports: ModuleType, folder: Path, *tasks: dict) -> Annotations:
    return exports.read(folder, "tasks.json", json.dumps(tasks))


def test_labels_of_sound_are_exact_seconds(tmp_path: Path, exports: ModuleType) -> None:
    sound = result("labels", start=0.1, end=2.30000001, channel=0, labels=["Clap"])
    read = read_tasks(exports, tmp_path, task({"result": [sound]}, audio="/x/a.mp4"))
    (segment,) = read.segments
    assert (segment.start, segment.end) == (Fraction(1, 10), Fraction(230000001, 10**8))
    assert (segment.video, segment.unit) == ("/x/a.mp4", "seconds")


def test_choices_are_labels_of_whole_videos_where_there_are_no_stretches(
    tmp_path: Path, exports: ModuleType
) -> None:
    choice = {"result": [result("choices", choices=["Jump", "Indoors"])]}
    assert exports.short(read_tasks(exports, tmp_path, task(choice))) == [
        ("a.mp4", "Jump", None, None, "seconds"),
        ("a.mp4", "Indoors", None, None, "seconds"),
    ]
    read = read_tasks(exports, tmp_path, task(choice), task({"result": [moving(2)]}, video="b.mp4"))
    assert [segment[:2] for segment in exports.short(read)] == [("b.mp4", "Moving"), ("a.mp4", "")]
    assert "whole-video choice" in read.notes[0]


def test_labels_are_composed(tmp_path: Path, exports: ModuleType) -> None:
    text = exports.LABEL_STUDIO.replace("Moving", "cafe\\u0301")
    assert exports.read(tmp_path, "a.json", text).segments[0].label == "caf\u00e9"


def test_one_of_several_annotations_is_read(tmp_path: Path, exports: ModuleType) -> None:
    old = {"result": [moving(1)], "updated_at": "2024-01-01T00:00:00Z"}
    new = {"result": [moving(2)], "updated_at": "2024-02-01T00:00:00Z"}
    true = {**old, "result": [moving(3)], "ground_truth": True}
    skipped = {**new, "result": [moving(4)], "was_cancelled": True}
    for annotations, last in (((new, old), 2), ((old, true, new), 3), ((old, skipped), 1)):
        read = read_tasks(exports, tmp_path, task(*annotations))
        assert [segment.end for segment in read.segments] == [last]
    assert not read_tasks(exports, tmp_path, task(skipped)).recordings


def test_a_stretch_without_a_label_is_neither_a_class_nor_background(
    tmp_path: Path, exports: ModuleType
) -> None:
    nameless = result("timelinelabels", ranges=[{"start": 4, "end": 9}])
    read = read_tasks(exports, tmp_path, task({"result": [nameless]}))
    assert [(each.start, each.end) for each in read.uncertain] == [(3, 9)]
    assert read.recordings == ("a.mp4",)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('{"start": 3, "end": 5}', '{"start": 3, "end": null}', "entry 1: end of a range is None"),
        ('{"start": 3, "end": 5}', '{"start": 3.5, "end": 5}', "frames are whole numbers"),
        ('{"start": 3, "end": 5}', '{"start": NaN, "end": 5}', "start of a range is NaN"),
        ('"ranges": [{"start": 3, "end": 5}]', '"ranges": 3', "ranges is 3, not a list"),
        ('["Moving"]', "[4, null]", "a label of timelinelabels is None; give a text"),
        ('"data": {"video": "/data/upload/1/0f5c89ab-walk.mp4"}', '"data": {"text": "x"}',
         "entry 1: no address of a video in its data (text)"),
        ('"project": 1', '"project": 1, "project": 2', "the key 'project' is there twice"),
        ('"lead_time": 31.5,', '"lead_time": 31.5,,', "looks like an export of Label Studio"),
    ],
)  # fmt: skip
def test_a_broken_export_is_refused_by_its_entry(
    old: str, new: str, message: str, tmp_path: Path, exports: ModuleType
) -> None:
    text = exports.LABEL_STUDIO.replace(old, new, 1)
    assert text != exports.LABEL_STUDIO
    with pytest.raises(ValueError) as caught:
        read_annotations(exports.write(tmp_path, "tasks.json", text))
    assert message in str(caught.value)
    assert "tasks.json" in str(caught.value) and "\n" not in str(caught.value)


def test_a_csv_without_stretches_is_refused(tmp_path: Path, exports: ModuleType) -> None:
    text = CSV.replace('"[{""ranges"": [{""start"": 3, ""end"": 5}], ', '"[{').replace("tl", "t")
    with pytest.raises(ValueError, match="no stretches of time in it"):
        read_annotations(exports.write(tmp_path, "a.csv", text.replace("timelinelabels", "x")))
