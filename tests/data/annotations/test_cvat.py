"""CVAT: frames of the video from 0, tracks until they are outside, runs of tags."""

from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.data.annotations import read_annotations

TAGS = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><job><id>1</id><size>6</size><mode>interpolation</mode>
    <start_frame>4</start_frame><stop_frame>14</stop_frame><frame_filter>step=2</frame_filter>
    <labels><label><name>cut</name><attributes><attribute><name>speed</name></attribute>
    </attributes></label></labels><source>cook.mp4</source></job></meta>
  <image id="4" name="frame_000004" width="64" height="48"><tag label="cut" source="manual"></tag></image>
  <image id="6" name="frame_000006" width="64" height="48"><tag label="cut" source="manual"></tag>
    <box label="knife" source="manual" occluded="0" xtl="1" ytl="2" xbr="3" ybr="4" z_order="0"></box></image>
  <image id="8" name="frame_000008" width="64" height="48"></image>
  <image id="10" name="frame_000010" width="64" height="48"><tag label="cut" source="manual"></tag></image>
  <image id="14" name="frame_000014" width="64" height="48"><tag label="cut" source="manual"></tag></image>
</annotations>
"""  # noqa: E501

PROJECT = """<?xml version="1.0" encoding="utf-8"?>
<annotations><version>1.1</version><meta><project><id>1</id><tasks>
<task><id>5</id><name>a</name><subset>Train</subset><start_frame>0</start_frame>
<stop_frame>99</stop_frame><frame_filter></frame_filter><source>a.mp4</source></task>
<task><id>6</id><name>b</name><subset>Validation</subset><start_frame>0</start_frame>
<stop_frame>99</stop_frame><frame_filter></frame_filter><source>b.mp4</source></task>
<task><id>7</id><name>c</name><subset>default</subset><source>c.mp4</source></task>
</tasks><subsets>Train
Validation</subsets></project></meta>
<track id="0" label="run" subset="Train" task_id="5"><box frame="0" outside="0" keyframe="1"/>
<box frame="9" outside="1" keyframe="1"/></track>
<track id="1" label="run" subset="Validation" task_id="6"><box frame="3" outside="0"/></track>
<image id="7" name="frame_000007" subset="Validation" task_id="6"><tag label="cut"/></image>
</annotations>"""


def test_a_track_lasts_until_it_is_outside(tmp_path: Path, exports: ModuleType) -> None:
    read = exports.read(tmp_path, "annotations.xml", exports.CVAT)
    assert exports.short(read) == [
        ("kitchen.mp4", "stir", 20, 22, "frames"),
        ("kitchen.mp4", "stir", 40, 41, "frames"),
        ("kitchen.mp4", "pour", 108, 110, "frames"),
    ]
    assert {segment.split for segment in read.segments} == {"train"}
    line = exports.CVAT.split("\n").index('  <track id="0" label="stir" source="manual">') + 1
    assert str(read.segments[0].place) == f"annotations.xml:{line}"
    assert read.notes == ()


def test_runs_of_tags_where_every_second_frame_is_annotated(
    tmp_path: Path, exports: ModuleType
) -> None:
    read = exports.read(tmp_path, "annotations.xml", TAGS)
    assert exports.short(read) == [
        ("cook.mp4", "cut", 4, 8, "frames"),
        ("cook.mp4", "cut", 10, 12, "frames"),
        ("cook.mp4", "cut", 14, 15, "frames"),  # the last frame of the task
    ]
    assert [note.split(":")[0] for note in read.notes] == [
        "1 shape left out",
        "1 attribute left out",
    ]


def test_tasks_of_a_project_are_videos_with_splits(tmp_path: Path, exports: ModuleType) -> None:
    read = exports.read(tmp_path, "annotations.xml", PROJECT)
    assert exports.short(read) == [
        ("a.mp4", "run", 0, 9, "frames"),
        ("b.mp4", "run", 3, 4, "frames"),
        ("b.mp4", "cut", 7, 8, "frames"),
        ("c.mp4", "", None, None, "frames"),
    ]
    assert [segment.split for segment in read.segments] == ["train", "val", "val", None]
    text = PROJECT.replace('task_id="6"', 'task_id="9"')
    with pytest.raises(ValueError, match="task_id is '9'; the tasks of the project are 5, 6, 7"):
        read_annotations(exports.write(tmp_path, "annotations.xml", text))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('frame="20"', 'frame="x"', "frame is 'x'; give a finite number"),
        ('frame="20" ', "", "frame is None"),
        (' label="stir"', "", "track without a label"),
        ("<source>kitchen.mp4</source>", "", "the task 'kitchen' names no source"),
        ("<frame_filter>", "<frame_filter>step=0", "step of frame_filter is 0; give 1 or more"),
        ("<subset>Train", "<subset>corner", "split 'corner' is none of train"),
        ("</track>", "", "not well-formed XML (mismatched tag)"),
        ("<annotations>", '<!DOCTYPE a [<!ENTITY x "y">]><annotations>', "a document type"),
    ],
)
def test_a_broken_export_is_refused_by_its_line(
    old: str, new: str, message: str, tmp_path: Path, exports: ModuleType
) -> None:
    text = exports.CVAT.replace(old, new, 1)
    assert text != exports.CVAT
    with pytest.raises(ValueError) as caught:
        read_annotations(exports.write(tmp_path, "annotations.xml", text))
    assert message in str(caught.value)
    assert "annotations.xml:" in str(caught.value) and "\n" not in str(caught.value)
