"""VGG Image Annotator 3: stretches of two times, with the options chosen."""

from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.data.annotations import read_annotations

ALL_METADATA = '''\
# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)
# Notes:
# - temporal coordinate of [4.633] denotes a still video frame at 4.633 sec.
# SHAPE_ID = {"POINT":1,"RECTANGLE":2}
# FLAG_ID = {}
# ATTRIBUTE = {"1":{"aname":"action","anchor_id":"FILE1_Z2_XY0","type":4,"desc":"","options":{"0":"cross","1":"wait"},"default_option_id":""}}
# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata
"1_a","[""street.mp4""]",0,"[1.346,2.741]","[]","{""1"":""1""}"
"1_c","[""street.mp4""]",0,"[4.633]","[2,10,20,50,80]","{""1"":""0""}"
"2_a","[""https://videos.org/p/park.mp4""]",0,"[0,3]","[]","{""1"":""0""}"'''  # noqa: E501

TEMPORAL_SEGMENTS = '''\
# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)
# CSV_HEADER = metadata_id,file_list,temporal_segment_start,temporal_segment_end,metadata
"1_a","[""street.mp4""]",1.346,2.741,"{""TEMPORAL-SEGMENTS"":""walk""}"
"1_b","[""street.mp4""]",3,4.5,"{""TEMPORAL-SEGMENTS"":""_DEFAULT"",""who"":""child""}"
"1_c","[""street.mp4""]",4.633,undefined,"{""who"":""child""}"'''


def test_a_project(tmp_path: Path, exports: ModuleType) -> None:
    read = exports.read(tmp_path, "project", exports.VIA)
    assert exports.short(read) == [
        ("street.mp4", "wait", 1.346, 2.741, "seconds"),
        ("street.mp4", "cross", 3, 4.5, "seconds"),
        ("street.mp4", "adult", 3, 4.5, "seconds"),
        ("street.mp4", "child", 3, 4.5, "seconds"),
        ("park.mp4", "", None, None, "seconds"),
    ]
    assert [segment.tier for segment in read.segments[:4]] == ["action", "action", "who", "who"]
    assert read.segments[-1].other_names == ("p/park.mp4",)
    assert [(each.start, each.end) for each in read.uncertain] == [(6, 7)]
    assert read.notes == (
        "1 annotation left out: of one time or of the whole video, not of a stretch",
        "1 segment left out: without a label; no background is taken there",
    )


def test_a_csv_of_all_metadata(tmp_path: Path, exports: ModuleType) -> None:
    read = exports.read(tmp_path, "via.csv", ALL_METADATA)
    assert exports.short(read) == [
        ("street.mp4", "wait", 1.346, 2.741, "seconds"),
        ("p/park.mp4", "cross", 0, 3, "seconds"),
    ]
    assert [str(segment.place) for segment in read.segments] == ["via.csv:8", "via.csv:10"]


def test_a_csv_of_temporal_segments(tmp_path: Path, exports: ModuleType) -> None:
    read = exports.read(tmp_path, "via.csv", TEMPORAL_SEGMENTS)
    assert exports.short(read) == [
        ("street.mp4", "walk", 1.346, 2.741, "seconds"),
        ("street.mp4", "child", 3, 4.5, "seconds"),  # beside which nothing was chosen
    ]
    text = TEMPORAL_SEGMENTS.replace(',""who"":""child""}"', '}"', 1)
    read = exports.read(tmp_path, "via.csv", text)
    assert [segment.label for segment in read.segments] == ["walk", "_DEFAULT"]


@pytest.mark.parametrize(
    ("text", "old", "new", "message"),
    [
        ("VIA", "[1.346,2.741]", '["a",2]', "entry 1: a time is 'a'; give a finite number"),
        ("VIA", '"z":[6,7]', '"z":6', "entry 4: the times is 6, not a list"),
        ("VIA", '"fid_list":["1"]', '"fid_list":["9"]', "shows file '9', which is not there"),
        ("VIA", '"metadata":{', '"metadata":{{', "looks like an export of VGG Image Annotator"),
        ("CSV", "[1.346,2.741]", "[1.346,2.741", "via.csv:8: temporal_coordinates is not JSON"),
        ("CSV", '"{""1"":""1""}"', '""', "via.csv:8: metadata is not JSON"),
        ("CSV", '"1_c",', "", "via.csv:9: 5 columns, not 6"),
        ("CSV", ",metadata\n", ",x\n", "file_list and metadata must be among them"),
        ("CSV", ',"type":4', ',"type":', "via.csv:6: the comment is not JSON"),
    ],
)
def test_broken_files_are_refused_by_their_place(
    text: str, old: str, new: str, message: str, tmp_path: Path, exports: ModuleType
) -> None:
    whole = exports.VIA if text == "VIA" else ALL_METADATA
    assert old in whole
    with pytest.raises(ValueError) as caught:
        read_annotations(exports.write(tmp_path, "via.csv", whole.replace(old, new, 1)))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_pictures_alone_are_refused(tmp_path: Path, exports: ModuleType) -> None:
    text = exports.VIA.replace('"type":4,"loc"', '"type":2,"loc"').replace(".mp4", ".png")
    with pytest.raises(ValueError, match="no video among its files"):
        read_annotations(exports.write(tmp_path, "via.json", text))
