"""Recordings prepared as a whole: their segments keep their frames, times and labels."""

import csv
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from mixtconv.cli.main import main
from mixtconv.data.datasets.scanning import list_videos
from mixtconv.data.preparation.form import PreparedForm
from mixtconv.data.preparation.run import prepare
from mixtconv.video.segment_frames import probe


def test_segments_stay_segments_of_recordings_that_are_prepared_once(
    tiny_recordings: Path, tmp_path: Path
) -> None:
    before = list_videos(tiny_recordings)
    names = {video.path for video in before.videos}
    report = prepare(tiny_recordings, out=tmp_path / "fast", recordings=True)
    assert report.num_prepared == len(names) < len(before.videos)
    after = list_videos(report.data)
    assert len({video.path for video in after.videos}) == len(names)
    assert all(video.path.is_relative_to(tmp_path / "fast") for video in after.videos)
    for one, other in zip(before.videos, after.videos, strict=True):
        assert (one.class_name, one.split, one.span) == (other.class_name, other.split, other.span)
        assert probe(one.video).num_frames == probe(other.video).num_frames
    again = prepare(tiny_recordings, out=tmp_path / "fast", recordings=True)
    assert (again.num_prepared, again.num_kept) == (0, len(names))


def test_units_groups_and_several_labels_stay(
    tiny_recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tiny_recordings.parent
    rows = [
        ["recordings/train-00000.mp4", "up|down", "1", "3", "", "", "one"],
        ["recordings/train-00000.mp4", "", "", "", "80", "120", "one"],
        ["recordings/train-00001.mp4", "up", "2", "3.5", "", "", "two"],
        ["recordings/val-00000.mp4", "down", "", "", "10", "60", ""],
        ["recordings/gone.mp4", "down", "1", "2", "", "", ""],
    ]
    path = tmp_path / "list.csv"
    with path.open("w", newline="") as file:
        header = ["path", "labels", "start", "end", "start_frame", "end_frame", "group"]
        csv.writer(file).writerows([header, *([str(folder / row[0]), *row[1:]] for row in rows)])
    words = ["prepare", str(path), "--recordings", "true", "--out", str(tmp_path / "fast")]
    assert main(words) == 1  # one is missing
    assert "gone.mp4" in capsys.readouterr().out
    before = list_videos(path, keep_missing=True).videos[:4]
    after = list_videos(tmp_path / "fast" / "list.csv").videos
    for one, other in zip(before, after, strict=True):
        assert (one.labels, one.span, one.group) == (other.labels, other.span, other.group)


def test_at_another_rate_segments_in_frames_become_those_in_seconds(
    media: ModuleType, tmp_path: Path
) -> None:
    times = [60 * n for n in range(10)] + [600 + 15 * n for n in range(40)]  # of 1/600 s
    video = media.encode(tmp_path / "a.mp4", media.moving_frames(50), times=times)
    shutil.copy(video, tmp_path / "b.mp4")
    data = tmp_path / "list.csv"
    data.write_text(
        "path,label,start,end,start_frame,end_frame\na.mp4,up,0.5,1.25,,\na.mp4,down,,,10,30\n"
        "b.mp4,up,,,5,50\n"
    )
    form = PreparedForm(fps=20)
    report = prepare(data, out=tmp_path / "fast", recordings=True, form=form)
    spans = [str(video.span) for video in list_videos(report.data).videos]
    assert spans == ["t=0.5,1.25", "t=1,1.5", "t=0.5,2"]
    (tmp_path / "b.mp4").write_bytes(b"no video")
    report = prepare(data, out=tmp_path / "fast", recordings=True, form=form)
    [note] = [note for note in report.notes if "not in the new list" in note]
    assert "1 segment not" in note and "b.mp4#frame=5,50" in note
    assert [str(video.span) for video in list_videos(report.data).videos] == spans[:2]
    (tmp_path / "a.mp4").write_bytes(b"no video")  # its times are those of its prepared form
    report = prepare(data, out=tmp_path / "fast", recordings=True, form=form)
    assert [str(video.span) for video in list_videos(report.data).videos] == spans[:1]


@pytest.mark.parametrize("fps", [None, 20])
@pytest.mark.parametrize("flow", [False, True])
def test_in_folders_of_pictures_segments_are_in_frames(
    media: ModuleType, tmp_path: Path, fps: float | None, flow: bool
) -> None:
    """A folder has no times: the pictures are those that a list in seconds means."""
    if flow:
        pytest.importorskip("cv2")
    times = [60 * n for n in range(10)] + [600 + 15 * n for n in range(40)]  # of 1/600 s
    media.encode(tmp_path / "a.mp4", media.moving_frames(50), times=times)
    data = tmp_path / "list.csv"
    data.write_text(
        "path,label,start,end,start_frame,end_frame\na.mp4,up,0.5,1.25,,\na.mp4,down,,,10,30\n"
        "a.mp4,late,9,10,,\n"
    )
    form = PreparedForm(fps=fps, jpeg=not flow, flow="dis" if flow else None, short_side=64)
    report = prepare(data, out=tmp_path / "pictures", recordings=True, form=form)
    [note] = [note for note in report.notes if "not in the new list" in note]
    assert "1 segment" in note and "a.mp4#t=9,10" in note
    videos = list_videos(report.data).videos
    expected = ["frame=5,20", "frame=10,30"] if fps is None else ["frame=10,25", "frame=20,30"]
    assert [str(video.span) for video in videos] == expected
    if not flow:
        assert [probe(video.video).num_frames for video in videos] == [
            int(video.span.end - video.span.start) for video in videos
        ]


@pytest.mark.parametrize("recordings", [False, True])
def test_annotation_files_in_a_folder_become_a_list(
    media: ModuleType, tmp_path: Path, recordings: bool
) -> None:
    folder = tmp_path / "day one"
    folder.mkdir()
    database = {}
    for name, label in (("a", "up"), ("b", "down")):
        media.encode(folder / f"{name}.mp4", media.moving_frames(50))
        database[name] = {"annotations": [{"label": label, "segment": [0.4, 1.2]}]}
    (folder / "activitynet.json").write_text(json.dumps({"database": database}))
    report = prepare(folder, out=tmp_path / "fast", recordings=recordings)
    assert report.data == tmp_path / "fast" / "day one.csv"
    before, after = list_videos(folder).videos, list_videos(report.data).videos
    assert [video.class_name for video in after] == ["up", "down"]
    assert [probe(video.video).num_frames for video in after] == [20, 20]
    assert [video.span for video in after] == [v.span if recordings else None for v in before]


def test_between_two_moments_a_segment_is_the_picture_shown_then(
    media: ModuleType, tmp_path: Path
) -> None:
    media.encode(tmp_path / "a.mp4", media.moving_frames(60), times=[60 * n for n in range(60)])
    data = tmp_path / "list.csv"
    data.write_text("path,label,start,end\na.mp4,a,2.2,2.8\na.mp4,b,5.4,6\na.mp4,b,2.9,4.1\n")
    form = PreparedForm(fps=1, jpeg=True)
    report = prepare(data, out=tmp_path / "pictures", recordings=True, form=form)
    spans = [str(video.span) for video in list_videos(report.data).videos]
    assert spans == ["frame=2,3", "frame=5,6", "frame=3,5"]


def test_times_are_listed_to_the_last_digit(tiny_recordings: Path, tmp_path: Path) -> None:
    recording = list_videos(tiny_recordings).videos[0].path
    data = tmp_path / "list.csv"
    data.write_text(f"path,label,start,end\n{recording},up,0.12345678,1.00000001\n")
    report = prepare(data, out=tmp_path / "fast", recordings=True)
    spans = [[video.span for video in list_videos(each).videos] for each in (data, report.data)]
    assert spans[0] == spans[1]


def test_it_is_for_segments(tiny_dataset: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--recordings is for a list of segments"):
        prepare(tiny_dataset, out=tmp_path / "fast", recordings=True)


def test_segments_of_a_prepared_recording_stay_when_its_original_breaks(
    tiny_recordings: Path, tmp_path: Path
) -> None:
    """As a prepared file stays in the list of prepared files."""
    folder = tmp_path / "set"
    shutil.copytree(tiny_recordings.parent, folder)
    data, out = folder / "segments.csv", tmp_path / "fast"
    before = [
        video.span for video in list_videos(prepare(data, out=out, recordings=True).data).videos
    ]
    list_videos(data).videos[0].path.write_bytes(b"no video")
    report = prepare(data, out=out, recordings=True)
    assert len(report.unreadable) == 1
    assert [video.span for video in list_videos(report.data).videos] == before
