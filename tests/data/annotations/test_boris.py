"""BORIS: states as segments of the files of an observation."""

from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.data.annotations import read_annotations

AGGREGATED_7 = """\
Observation id,Observation date,Description,Media file,Total length,FPS,Subject,Behavior,Behavioral category,Modifiers,Behavior type,Start (s),Stop (s),Duration (s),Comment start,Comment stop
6008,2021-12-06 13:26:24,,T:/Video Coding/6008.mp4,1381.010,29.97,No focal subject,NotHolding,Holding,,STATE,689.000,989.023,300.023,,
"""  # noqa: E501

TABULAR_8 = """\
Observation id\tObservation date\tDescription\tObservation duration\tObservation type\tSource\tTime offset (s)\tMedia duration (s)\tFPS\tSubject\tBehavior\tBehavioral category\tModifier #1\tBehavior type\tTime\tMedia file name\tImage index\tImage file path\tComment
cage\t2024-05-02 10:00:00\t\t20.5\tMedia file(s)\tplayer #1:a.mp4;b.mp4|player #2:side.mp4\t0.0\t10.000;15.000|25.000\t25.000;25.000|25.000\trat A\tgroom\t\t\tSTART\t5.500\ta.mp4\t137\tNA\t
cage\t2024-05-02 10:00:00\t\t20.5\tMedia file(s)\tplayer #1:a.mp4;b.mp4|player #2:side.mp4\t0.0\t10.000;15.000|25.000\t25.000;25.000|25.000\trat B\tgroom\t\t\tSTART\t6.000\ta.mp4\t150\tNA\t
cage\t2024-05-02 10:00:00\t\t20.5\tMedia file(s)\tplayer #1:a.mp4;b.mp4|player #2:side.mp4\t0.0\t10.000;15.000|25.000\t25.000;25.000|25.000\trat B\tsniff\t\t\tPOINT\t6.500\ta.mp4\t162\tNA\t
cage\t2024-05-02 10:00:00\t\t20.5\tMedia file(s)\tplayer #1:a.mp4;b.mp4|player #2:side.mp4\t0.0\t10.000;15.000|25.000\t25.000;25.000|25.000\trat A\tgroom\t\t\tSTOP\t12.250\tb.mp4\t306\tNA\t
"""  # noqa: E501

TABULAR_7 = """\
Observation id,cage 3

Media file(s)
Player #1,/lab/cage3.mp4

Observation date,2019-03-01T10:00:00
Description,
Time offset (s),2.5

Independent variables
variable,value
Time,Media file path,Total length,FPS,Subject,Behavior,Behavioral category,Comment,Status
4.0,/lab/cage3.mp4,60.0,25.0,,walk,,,START
7.75,/lab/cage3.mp4,60.0,25.0,,walk,,,STOP
"""


def test_aggregated_states(tmp_path: Path, exports: ModuleType) -> None:
    read = exports.read(tmp_path, "events.csv", exports.BORIS_AGGREGATED)
    assert exports.short(read) == [("videos/cage1.mp4", "groom", 1.5, 4.25, "seconds")]
    (segment,) = read.segments
    assert (segment.tier, segment.group, str(segment.place)) == ("rat A", "", "events.csv:2")
    assert read.notes == (
        "1 modifier set left out: labels are behaviors without them",
        "1 point event left out: without a duration; only states are segments",
        "1 state left out: a start without a stop, or the reverse",
    )
    old = exports.read(tmp_path, "old.csv", AGGREGATED_7)
    assert exports.short(old) == [
        ("T:/Video Coding/6008.mp4", "NotHolding", 689, 989.023, "seconds")
    ]


def test_starts_are_paired_with_stops_across_files(tmp_path: Path, exports: ModuleType) -> None:
    read = exports.read(tmp_path, "events.tsv", TABULAR_8)
    assert exports.short(read) == [
        ("a.mp4", "groom", 5.5, 10, "seconds"),
        ("b.mp4", "groom", 0, 2.25, "seconds"),
    ]
    assert {(segment.group, segment.tier) for segment in read.segments} == {("cage", "rat A")}
    assert read.notes[-1] == "1 state left out: a start without a stop, or the reverse"


def test_events_of_version_7_below_lines_about_the_observation(
    tmp_path: Path, exports: ModuleType
) -> None:
    read = exports.read(tmp_path, "events.csv", TABULAR_7)
    assert exports.short(read) == [("/lab/cage3.mp4", "walk", 1.5, 5.25, "seconds")]
    assert str(read.segments[0].place) == "events.csv:13"


def test_a_project(tmp_path: Path, exports: ModuleType) -> None:
    """Times less an offset of 100 s; 5.5 to 12.25 s and 18 to 19.5 s of rat A, 19 to 20 s else."""
    read = exports.read(tmp_path, "cages.boris", exports.BORIS_PROJECT)
    assert exports.short(read) == [
        ("a.mp4", "groom", 5.5, 10, "seconds"),
        ("b.mp4", "groom", 0, 2.25, "seconds"),
        ("b.mp4", "groom", 8, 9.5, "seconds"),
        ("b.mp4", "groom", 9, 10, "seconds"),
        ("quiet.mp4", "", None, None, "seconds"),
    ]
    assert [segment.tier for segment in read.segments] == ["rat A"] * 3 + ["", ""]
    assert [segment.group for segment in read.segments] == ["long"] * 4 + [""]
    assert read.notes == (
        "1 further player left out: times are those of the first",
        "1 point event left out: without a duration; only states are segments",
        "1 observation left out: live observations and pictures have no video",
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("1.500", "soon", "events.csv:2: Start (s) is 'soon'; give a finite number"),
        (",groom,", ",,", "events.csv:2: an event without a behavior"),
        ("cage 1,2024", "cage,1,2024", "events.csv:2: 26 columns, not 25"),
        ("player #1:videos/cage1.mp4", "player #1:a.mp4;b.mp4", "the file 'videos/cage1.mp4' here"),
        ("0.0,50.125", "x,50.125", "Time offset (s) is 'x'"),
        ("videos/cage1.mp4,37", '"videos/cage1.mp4,37', "the table cannot be read"),
    ],
)
def test_a_broken_export_is_refused_by_its_line(
    old: str, new: str, message: str, tmp_path: Path, exports: ModuleType
) -> None:
    text = exports.BORIS_AGGREGATED.replace(old, new, 1)
    with pytest.raises(ValueError) as caught:
        read_annotations(exports.write(tmp_path, "events.csv", text))
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('[105.5, "rat A"', '[null, "rat A"', "entry 1: time of an event of 'long' is None"),
        ('"rat A", "groom"', '"rat A", "eat"', "behavior 'eat' of 'long' is not in the ethogram"),
        ('[106.0, "rat A", "sniff", "", "", 150]', "[106.0]", "an event of 'long' has 1 values"),
        ('"a.mp4": 10.0, ', "", "has several files, and the length of 'a.mp4' is not in"),
        ('"observations": {', '"observations": [', "looks like an export of BORIS, but not JSON"),
    ],
)
def test_a_broken_project_is_refused_by_its_observation(
    old: str, new: str, message: str, tmp_path: Path, exports: ModuleType
) -> None:
    text = exports.BORIS_PROJECT.replace(old, new, 1)
    with pytest.raises(ValueError) as caught:
        read_annotations(exports.write(tmp_path, "cages.boris", text))
    assert message in str(caught.value) and "\n" not in str(caught.value)
