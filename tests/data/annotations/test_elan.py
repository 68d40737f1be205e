"""ELAN: times of slots, of references, between slots, and in the medium."""

from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.data.annotations import read_annotations


def test_all_tiers_are_read_in_seconds(tmp_path: Path, exports: ModuleType) -> None:
    read = exports.read(tmp_path, "s1.eaf", exports.ELAN)
    assert exports.short(read) == [
        ("s1.mp4", "wave", 1, 2.5, "seconds"),
        # 4 s to 7 s in three equal parts, since the slots between have no times
        ("s1.mp4", "up", 4, 5, "seconds"),
        ("s1.mp4", "hold", 5, 6, "seconds"),
        ("s1.mp4", "down", 6, 7, "seconds"),
        # two references to 1 s to 2.5 s, the second after the first, and one to the second
        ("s1.mp4", "you", 1.75, 2.5, "seconds"),
        ("s1.mp4", "hello", 1, 1.75, "seconds"),
        ("s1.mp4", "du", 1.75, 2.5, "seconds"),
    ]
    assert [segment.tier for segment in read.segments] == [
        "gesture",
        *["phase"] * 3,
        *["gloss"] * 3,
    ]
    assert [(each.start, each.end) for each in read.uncertain] == [(2.5, 4)]
    assert read.segments[0].other_names == ("C:/field work/s1.mp4",)
    assert read.notes == (
        "1 annotation left out: without a value; no background is taken there",
        "annotations of 3 tiers are read: gesture, phase, gloss",
    )


def test_times_are_later_in_a_medium_whose_beginning_is_cut_off(
    tmp_path: Path, exports: ModuleType
) -> None:
    text = exports.ELAN.replace('MIME_TYPE="video/mp4"', 'MIME_TYPE="video/mp4" TIME_ORIGIN="250"')
    read = exports.read(tmp_path, "s1.eaf", text)
    assert exports.short(read)[0][2:4] == (1.25, 2.75)


def test_the_first_of_several_videos_and_none_of_the_sounds(
    tmp_path: Path, exports: ModuleType
) -> None:
    text = exports.ELAN.replace("s1.wav", "side.mp4")
    read = exports.read(tmp_path, "s1.eaf", text)
    assert read.recordings == ("s1.mp4",)
    assert read.notes[0] == "1 further video left out: only the first video of a document is read"


def test_a_document_without_annotations_is_a_recording_of_background(
    tmp_path: Path, exports: ModuleType
) -> None:
    start, end = exports.ELAN.index("    <TIER"), exports.ELAN.index("    <LINGUISTIC_TYPE ")
    read = exports.read(tmp_path, "s1.eaf", exports.ELAN[:start] + exports.ELAN[end:])
    assert exports.short(read) == [("s1.mp4", "", None, None, "seconds")]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('TIME_VALUE="1000"', 'TIME_VALUE="1,5"', "TIME_VALUE is '1,5'; give a finite number"),
        ('TIME_SLOT_REF1="ts1"', 'TIME_SLOT_REF1="ts99"', "no time slot 'ts99'"),
        (' TIME_VALUE="7000"', "", "a time slot without a time"),
        ('ANNOTATION_REF="a7"', 'ANNOTATION_REF="a77"', "annotation 'a8' has no times"),
        ('ANNOTATION_REF="a7"', 'ANNOTATION_REF="a8"', "annotation 'a8' has no times"),
        ('ANNOTATION_ID="a2"', 'ANNOTATION_ID="a1"', "annotation 'a1' is there twice"),
        ('ANNOTATION_ID="a2"', "", "ALIGNABLE_ANNOTATION without ANNOTATION_ID"),
        ('TIME_UNITS="milliseconds"', 'TIME_UNITS="PAL-frames"', "TIME_UNITS is 'PAL-frames'"),
        ("s1.mp4", "s1.wav", "no video among its media"),
        ("</TIME_ORDER>", "", "not well-formed XML (mismatched tag)"),
    ],
)
def test_a_broken_document_is_refused_by_its_line(
    old: str, new: str, message: str, tmp_path: Path, exports: ModuleType
) -> None:
    count = -1 if old == "s1.mp4" else 1
    text = exports.ELAN.replace(old, new, count).replace('"video/mp4"', '"audio/x-wav"', count < 0)
    assert text != exports.ELAN
    with pytest.raises(ValueError) as caught:
        read_annotations(exports.write(tmp_path, "s1.eaf", text))
    assert message in str(caught.value)
    assert "s1.eaf:" in str(caught.value) and "\n" not in str(caught.value)
