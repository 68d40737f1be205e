"""Annotation files as data: their videos are found, and what cannot be used is named."""

import json
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.datasets.scanning import scan_videos
from mixtconv.video.segment import Span


def _database(**segments: list[tuple[str, float, float]]) -> str:
    """Videos as ActivityNet's JSON names them."""
    return json.dumps(
        {
            "database": {
                name: {
                    "subset": "training" if number % 3 else "validation",
                    "annotations": [
                        {"label": label, "segment": [start, end]} for label, start, end in own
                    ],
                }
                for number, (name, own) in enumerate(segments.items())
            }
        }
    )


BOTH = [("jump", 0.5, 1), ("run", 2, 3.25)]


def test_segments_are_of_the_videos_beside_and_below(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "v_a.mp4", "cam/v_b.mkv", "v_c.webm", "dvd.mp4")
    path = tmp_path / "list.json"
    path.write_text(_database(a=BOTH, b=BOTH, c=BOTH[:1], d=[]))
    catalog = load_catalog(path)
    assert catalog.classes == ("jump", "run")
    assert [sample.path.name for sample in catalog.train] == ["v_b.mkv", "v_b.mkv", "v_c.webm"]
    assert [sample.span for sample in catalog.val] == [
        Span(Fraction(1, 2), Fraction(1)),
        Span(Fraction(2), Fraction(13, 4)),
    ]
    assert any(note.startswith("1 recording without a segment: ") for note in catalog.notes)


def test_a_folder_may_hold_a_file_for_each_recording(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "v_a.mp4", "v_b.mp4")
    for name in ("a", "b"):
        (tmp_path / f"{name}.json").write_text(_database(**{name: BOTH}))
    listing = scan_videos(tmp_path)
    assert [video.video.name for video in listing.videos] == [
        f"v_{name}.mp4#t={span}" for name in "ab" for span in ("0.5,1", "2,3.25")
    ]
    assert {video.group for video in listing.videos} == {
        video.recording_key for video in listing.videos
    }


def test_what_cannot_be_used_is_named(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "v_a.mp4", "1/v_b.mp4", "2/v_b.mp4")
    path = tmp_path / "list.json"
    wrong = [("jump", 2, 1), ("jump", -1, 1), ("jump", 4, 5), ("run", 4, 5), ("jump", 4, 5)]
    path.write_text(_database(a=wrong, b=BOTH[:1], c=BOTH[:1]))
    listing = scan_videos(path)
    assert [fault.kind for fault in listing.faults] == [
        *("malformed", "malformed", "mislabelled", "missing", "missing"),
    ]
    reasons = [fault.reason for fault in listing.faults]
    assert reasons[0] == "a segment goes from 2 to 1 s; give an end after its start"
    assert "in class 'run' here and in 'jump' at list.json" in reasons[2]
    assert "may be 1/v_b.mp4, 2/v_b.mp4; rename one" in reasons[3]
    assert f"in {tmp_path}; put it there, under that name" in reasons[4]
    assert [video.video.name for video in listing.videos] == ["v_a.mp4#t=4,5"]
    assert any("1 segment repeated an earlier one" in note for note in listing.notes)
    with pytest.raises(ValueError, match="5 bad entries: entry") as error:
        load_catalog(path)
    assert "\n" not in str(error.value)


def test_unknown_classes_and_files_without_labels(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "v_a.mp4")
    path = tmp_path / "list.json"
    path.write_text(_database(a=BOTH))
    [fault] = scan_videos(path, classes=("jump", "runs")).faults
    assert fault.reason == "unknown class 'run'; did you mean 'runs'?"
    path.write_text(_database(a=[]))
    with pytest.raises(ValueError, match="no labelled stretch in it"):
        scan_videos(path)
