"""ActivityNet's JSON, THUMOS14 in it and in its texts, and Create ML."""

from fractions import Fraction
from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.data.annotations import annotation_files, read_annotations

THUMOS = """{"version": "Thumos14-30fps", "database": {
"video_validation_0000051": {"subset": "Validation", "duration": 169.79, "fps": 30.0,
 "annotations": [{"label": "Billiards", "segment": [67.5, 75.9], "segment(frames)": [2025, 2277],
 "label_id": 0}, {"label": "Ambiguous", "segment": [80, 81]}]},
"video_test_0000004": {"subset": "Test", "duration": 33.67, "fps": 30.0,
 "annotations": [{"label": "CricketBowling", "segment": [0.2, 1.1], "label_id": 5}]}}}"""


def test_stretches_of_a_database(tmp_path: Path, exports: ModuleType) -> None:
    read = exports.read(tmp_path, "activity_net.json", exports.ACTIVITYNET)
    assert [segment[:2] for segment in exports.short(read)] == [
        ("sJFgo9H6zNo", "Fun sliding down"),
        ("V1zhqaGFY2A", "Beer pong"),
        ("V1zhqaGFY2A", "Beer pong"),
    ]
    first, second, third = read.segments
    assert first.end == Fraction(12423298969072165, 10**14)  # no digit is rounded
    assert (second.start, second.end) == (Fraction(1, 100), Fraction(15, 2))
    assert [segment.split for segment in read.segments] == ["train", "val", "val"]
    assert first.other_names == ("v_sJFgo9H6zNo",)
    assert str(third.place) == "activity_net.json, entry 2"
    assert read.notes == ("1 video left out: no video of the test subset is annotated",)


def test_an_annotated_test_subset_stays_also_where_a_video_has_nothing(
    tmp_path: Path, exports: ModuleType
) -> None:
    text = exports.ACTIVITYNET.replace('"subset": "training"', '"subset": "testing"')
    read = exports.read(tmp_path, "a.json", text)
    assert read.recordings == ("sJFgo9H6zNo", "V1zhqaGFY2A", "hidden00000")


def test_thumos_trains_on_its_validation_set(tmp_path: Path, exports: ModuleType) -> None:
    read = exports.read(tmp_path, "thumos14.json", THUMOS)
    assert exports.short(read) == [
        ("video_validation_0000051", "Billiards", 67.5, 75.9, "seconds"),
        ("video_test_0000004", "CricketBowling", 0.2, 1.1, "seconds"),
    ]
    assert [segment.split for segment in read.segments] == ["train", "test"]
    assert [(each.label, each.start, each.end) for each in read.uncertain] == [("", 80, 81)]
    assert len(read.notes) == 2


def test_the_texts_of_thumos(tmp_path: Path, exports: ModuleType) -> None:
    first = "video_validation_0000051  67.5 75.9\nvideo_validation_0000051  85.9 90.6\n"
    exports.write(tmp_path, "Billiards_val.txt", first)
    exports.write(tmp_path, "CricketBowling_test.txt", "video_test_0000004 0.2 1.1\n")
    exports.write(tmp_path, "Ambiguous_val.txt", "video_validation_0000051 95.0 97.5\n")
    exports.write(tmp_path, "readme.txt", "Temporal annotations\n")
    names = ["Ambiguous_val.txt", "Billiards_val.txt", "CricketBowling_test.txt"]
    assert [path.name for path in annotation_files(tmp_path)] == names
    read = read_annotations(tmp_path)
    assert read is not None and read.title == "THUMOS14"
    assert exports.short(read) == [
        ("video_validation_0000051", "Billiards", 67.5, 75.9, "seconds"),
        ("video_validation_0000051", "Billiards", 85.9, 90.6, "seconds"),
        ("video_test_0000004", "CricketBowling", 0.2, 1.1, "seconds"),
    ]
    assert [segment.split for segment in read.segments] == ["train", "train", "test"]
    assert [str(segment.place) for segment in read.segments][1] == "Billiards_val.txt:2"
    assert [(each.start, each.end) for each in read.uncertain] == [(95, 97.5)]


def test_create_ml(tmp_path: Path, exports: ModuleType) -> None:
    read = exports.read(tmp_path, "annotations.json", exports.CREATE_ML)
    assert exports.short(read) == [
        ("set.mov", "lunge", 0.5, 2.25, "seconds"),
        ("other.mov", "squat", 1, 3.5, "seconds"),
    ]


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("ACTIVITYNET", "[0.01, 7.5]", "[0.01]", "entry 2: a segment of 'V1zhqaGFY2A' has 1 times"),
        ("ACTIVITYNET", "[0.01, 7.5]", "[1e999, 2]", "a time of 'V1zhqaGFY2A' is 1e999"),
        ("ACTIVITYNET", "[0.01, 7.5]", "[true, 2]", "a time of 'V1zhqaGFY2A' is True"),
        ("ACTIVITYNET", '"validation"', '"side"', "entry 2: split 'side' is none of train"),
        ("ACTIVITYNET", '"label": "Fun sliding down"', '"label": ""', "entry 1: label of 'sJFgo"),
        ("ACTIVITYNET", '"V1zhqaGFY2A": {', '"sJFgo9H6zNo": {', "'sJFgo9H6zNo' is there twice"),
        ("CREATE_ML", '"start": 0.5, ', '"start": null, ', "entry 1: start is None"),
    ],
)
def test_broken_files_are_refused_by_their_entry(
    name: str, old: str, new: str, message: str, tmp_path: Path, exports: ModuleType
) -> None:
    text = getattr(exports, name)
    assert old in text
    with pytest.raises(ValueError) as caught:
        read_annotations(exports.write(tmp_path, "a.json", text.replace(old, new, 1)))
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_broken_line_of_thumos_is_named(tmp_path: Path, exports: ModuleType) -> None:
    text = "video_test_0000004 0.2 1.1\nvideo_test_0000004 0.2\n"
    path = exports.write(tmp_path, "Diving_test.txt", text)
    with pytest.raises(ValueError, match=r"Diving_test.txt:2: 'video_test_0000004 0.2'; give"):
        read_annotations(path)
