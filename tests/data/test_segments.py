"""Lists of segments: read, divided by recordings, trained on as if they were cut."""

import csv
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mixtconv.data.checking.preflight import check_catalog
from mixtconv.data.checking.run import check
from mixtconv.data.dataset import ScoringViews
from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.datasets.scanning import list_videos, scan_videos
from mixtconv.data.epoch_sampler import SampleKey
from mixtconv.data.frame_cache import CachedForm, fill_cache
from mixtconv.data.listing import DataSource, VideoSample
from mixtconv.data.preparation.run import prepare
from mixtconv.data.protocol import Protocol
from mixtconv.data.training_clips import TrainingClips
from mixtconv.models.spec import ModelSpec
from mixtconv.video.reader import iterate_frames
from mixtconv.video.segment import Segment, Span

UNEVEN = (24 * np.arange(50) + 7 * (np.arange(50) % 2)).tolist()
RECORDINGS = [f"day {number}.mp4" for number in range(8)]


def _write(path: Path, header: str, rows) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header.split(","), *rows])
    return path


def _spans(path: Path) -> list[str]:
    return [video.video.name for video in scan_videos(path).videos]


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("video,label,start,end", "1.5", "2"),
        ("path,class,t_start,t_end", "1.5", "2"),
        ("video_path,label,begin,stop", "0:01.5", "0:02"),
        ("path,label,startSec,endSec", "1.5", "2.0"),
        ("path,label,Start Timestamp,Stop Timestamp", "00:00:01.500", "00:00:02.000"),
        ("path,label,onset_ms,offset_ms", "1500", "2000"),
    ],
)
def test_columns_of_seconds(tmp_path: Path, sources: ModuleType, header, start, end) -> None:
    sources.touch(tmp_path, *RECORDINGS[:2])
    rows = [(RECORDINGS[0], "jump", start, end), (RECORDINGS[1], "run", "", "")]
    path = _write(tmp_path / "list.csv", header, rows)
    assert _spans(path) == ["day 0.mp4#t=1.5,2", "day 1.mp4"]


@pytest.mark.parametrize(
    "names", ["start_frame,end_frame", "frame_start,frame_stop", "startFrame,endFrame"]
)
def test_columns_of_frames(tmp_path: Path, sources: ModuleType, names: str) -> None:
    sources.touch(tmp_path, *RECORDINGS[:1])
    rows = [(RECORDINGS[0], "jump", "30", "45")]
    path = _write(tmp_path / "list.csv", f"video,label,{names}", rows)
    assert _spans(path) == ["day 0.mp4#frame=30,45"]
    both = [(*rows[0], "1", "1.5")]
    path = _write(tmp_path / "list.csv", f"video,label,{names},start,end", both)
    assert _spans(path) == ["day 0.mp4#t=1,1.5"]
    assert scan_videos(path).notes == (f"columns {names.replace(',', ', ')}: not used",)


def test_a_line_may_have_its_times_in_the_other_columns(
    tmp_path: Path, sources: ModuleType
) -> None:
    """Times count where a line has both; one with frames alone is no whole video."""
    sources.touch(tmp_path, *RECORDINGS[:4])
    cells = [("1", "2", "9", "9"), ("", "", "25", "50"), ("", "", "", "")]
    rows = [(name, "jump", *line) for name, line in zip(RECORDINGS, cells, strict=False)]
    header = "video,label,start,end,start_frame,end_frame"
    path = _write(tmp_path / "list.csv", header, rows)
    assert _spans(path) == ["day 0.mp4#t=1,2", "day 1.mp4#frame=25,50", "day 2.mp4"]
    assert not scan_videos(path).notes
    rows.append((RECORDINGS[3], "jump", "", "", "25", ""))
    path = _write(tmp_path / "list.csv", header, rows)
    assert "line 5: an empty end_frame (leave both empty" in sources.refusal(path)


def test_json_lines(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *RECORDINGS[:1])
    path = tmp_path / "list.jsonl"
    path.write_text('{"video": "day 0.mp4", "label": "jump", "start": 0.1, "end": 2e0}\n')
    assert _spans(path) == ["day 0.mp4#t=0.1,2"]


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("path,label,start,x", "column start: a segment needs a column of starts and one of ends"),
        ("path,label,start_frame,end", "columns start_frame, end: a segment needs"),
        ("path,label,segment,x", "column segment holds starts and ends together"),
        ("path,label,start,end,start_time", "columns start and start_time differ"),
    ],
)
def test_columns_that_say_too_little(tmp_path, sources: ModuleType, header, says) -> None:
    sources.touch(tmp_path, *RECORDINGS[:1])
    path = _write(tmp_path / "list.csv", header, [(RECORDINGS[0], "jump", "1", "2", "3")])
    assert says in sources.refusal(path)


def test_bad_lines_are_named(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *RECORDINGS[:1])
    rows = [(RECORDINGS[0], "jump", *border) for border in (("-1", "2"), ("2", "1"), ("1", ""))]
    path = _write(tmp_path / "list.csv", "video,label,start,end", rows)
    message = sources.refusal(path)
    assert "3 bad lines: line 2: a segment starts at -1 s; give 0 or more" in message
    assert "line 3: a segment goes from 2 to 1 s" in message
    assert "line 4: an empty end (leave both empty for all of it)" in message


def _labelled(num_each: int = 3) -> list[tuple[str, str, int, int]]:
    """Segments of both classes in every recording."""
    return [
        (name, label, 2 * n, 2 * n + 1)
        for name in RECORDINGS
        for n, label in enumerate(("jump", "run") * num_each)
    ]


def test_a_split_never_cuts_through_a_recording(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, *RECORDINGS)
    path = _write(tmp_path / "list.csv", "video,label,start,end", _labelled())
    catalog = load_catalog(path)
    train, val = ({sample.path for sample in side} for side in (catalog.train, catalog.val))
    assert len(train) + len(val) == len(RECORDINGS) and not train & val and val
    assert len(catalog.train) + len(catalog.val) == len(_labelled())
    assert {sample.label for sample in catalog.val} == {0, 1}
    # A pattern that would tell segments apart tells recordings.
    by_name = load_catalog(DataSource(str(path), group=r"day ([0-3])"))
    sides = [{sample.path.name for sample in side} for side in (by_name.train, by_name.val)]
    assert not sides[0] & sides[1]


def test_a_recording_is_one_however_it_is_spelled(tmp_path: Path, sources: ModuleType) -> None:
    """By a link, absolute or through a folder above: never on both sides, nor twice."""
    sources.touch(tmp_path, *RECORDINGS, "other/x.txt")
    for number, name in enumerate(RECORDINGS):
        (tmp_path / f"link {number} of a longer name.mp4").symlink_to(name)
    spell = [
        lambda number, name: name,
        lambda number, name: f"link {number} of a longer name.mp4",
        lambda number, name: str(tmp_path / name),
        lambda number, name: f"other/../{name}",
    ]
    rows = [(spell[n % 4](RECORDINGS.index(name), name), label, start, end)
            for n, (name, label, start, end) in enumerate(_labelled())]  # fmt: skip
    path = _write(tmp_path / "list.csv", "video,label,start,end", [*rows, *rows])
    plain = _write(tmp_path / "plain.csv", "video,label,start,end", _labelled())
    one, other = load_catalog(path), load_catalog(plain)
    assert (one.train, one.val) == (other.train, other.val) and one.val
    assert [sample.group for sample in one.val] == [sample.group for sample in other.val]
    rows.append((spell[2](0, RECORDINGS[0]), "run", 0, 1))
    path = _write(tmp_path / "list.csv", "video,label,start,end", rows)
    assert "day 0.mp4#t=0,1 is in class 'run' here and in 'jump' on line 2" in sources.refusal(path)


def test_a_link_is_no_second_video(tmp_path: Path, sources: ModuleType) -> None:
    sources.touch(tmp_path, "a.mp4", "b.mp4")
    (tmp_path / "c.mp4").symlink_to("a.mp4")
    path = _write(tmp_path / "list.csv", "path,label", [(f"{n}.mp4", "jump") for n in "abc"])
    assert [video.key for video in list_videos(path).videos] == ["a.mp4", "b.mp4"]


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_missing_recording_changes_no_split(tmp_path: Path, sources: ModuleType, kind) -> None:
    sources.touch(tmp_path, *RECORDINGS)
    path = _write(tmp_path / "list.csv", "video,label,start,end", _labelled())
    if kind == "json":  # as ActivityNet writes it
        path = tmp_path / "list.json"
        database: dict[str, dict[str, list]] = {}
        for name, label, start, end in _labelled():
            own = database.setdefault(Path(name).stem, {"annotations": []})
            own["annotations"].append({"segment": [start, end], "label": label})
        path.write_text(json.dumps({"database": database}))
    whole = load_catalog(path)
    (tmp_path / whole.train[-1].path.name).unlink()
    partly = load_catalog(path, keep_missing=True)
    for side in ("train", "val"):
        before, after = ({s.key for s in getattr(each, side)} for each in (whole, partly))
        assert before == after and before
    assert "day" in sources.refusal(path)  # without keep_missing it is refused


@pytest.mark.parametrize(("column", "kind"), [("split", "leak"), ("group", "malformed")])
def test_a_recording_in_two_splits_is_refused(tmp_path, sources: ModuleType, column, kind) -> None:
    sources.touch(tmp_path, *RECORDINGS[:1])
    values = ("train", "val")
    rows = [(RECORDINGS[0], "jump", n, n + 1, value) for n, value in enumerate(values)]
    path = _write(tmp_path / "list.csv", f"video,label,start,end,{column}", rows)
    assert [fault.kind for fault in scan_videos(path).faults] == [kind]
    assert (
        f"day 0.mp4 has segments in {column} 'train' and in 'val'; a recording belongs to one"
        in sources.refusal(path)
    )


# reading

SPEC = ModelSpec("tsn_test_resnet", ("jump", "run"), num_frames=3, image_size=32)
DIFFERENCES = replace(SPEC, sampling="dense", frame_stride=4, modality="rgbdiff")


@pytest.fixture(scope="module")
def cut(media: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Segment, Path]:
    """A segment of a recording without loss, and a file of the same frames."""
    folder = tmp_path_factory.mktemp("cut")
    frames = media.moving_frames(50)
    lossless = {"codec": "ffv1", "pixel_format": "bgr0"}
    recording = media.encode(folder / "recording.mkv", frames, **lossless)
    file = media.encode(folder / "file.mkv", frames[10:35], **lossless)
    return Segment(recording, Span(Fraction(2, 5), Fraction(7, 5))), file


def _samples(cut: tuple[Segment, Path]) -> tuple[list[VideoSample], list[VideoSample]]:
    segment, file = cut
    return [VideoSample(segment.path, 1, "a", span=segment.span)], [VideoSample(file, 1, "a")]


@pytest.mark.parametrize("spec", [SPEC, DIFFERENCES])
@pytest.mark.parametrize("is_cached", [False, True])
def test_clips_and_views_are_those_of_the_cut_file(cut, spec, is_cached, tmp_path: Path) -> None:
    items = []
    for samples in _samples(cut):
        form = CachedForm(48, max_frames=20 if spec.sampling == "segment" else None)
        videos = [sample.video for sample in samples]
        cache = fill_cache(videos, tmp_path, form, workers=1) if is_cached else None
        clips = TrainingClips(samples, spec, seed=3, cache=cache)
        views = ScoringViews(samples, spec, Protocol(2, 3), cache=cache)
        items.append([*(clips[SampleKey(epoch, 0)].frames for epoch in range(3)), views[0].frames])
    for one, other in zip(*items, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())


def test_segments_of_one_recording_are_kept_apart_in_the_cache(cut, tmp_path: Path) -> None:
    recording = cut[0].path
    segments = [Segment(recording, Span(Fraction(n), Fraction(n + 5), True)) for n in (0, 20)]
    cache = fill_cache([*segments, recording], tmp_path, CachedForm(64), workers=2)
    assert len(set(cache.keys.values())) == 3
    frames = np.stack(list(iterate_frames(recording)))
    for segment, first in zip(segments, (0, 20), strict=True):
        clip = cache.read(segment, range)
        expected = frames[first : first + 5].transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(clip.frames.numpy(), expected)


@pytest.fixture
def listed(tmp_path: Path, media: ModuleType) -> Path:
    """A list of segments of eight recordings of two seconds."""
    for number, name in enumerate(RECORDINGS):
        media.encode(tmp_path / name, media.moving_frames(50, height=32, width=32, seed=number))
    rows = [(name, label, *border) for name in RECORDINGS
            for label, border in (("jump", (0, 0.8)), ("run", (0.9, 2)))]  # fmt: skip
    return _write(tmp_path / "list.csv", "video,label,start,end", rows)


def test_prepared_segments_are_files_of_the_same_split(listed: Path, tmp_path: Path) -> None:
    report = prepare(listed, out=tmp_path / "fast", workers=2)
    names = sorted(path.name for path in report.data.parent.glob("*.mp4"))
    assert names[:2] == ["day 0_0-0.8.mp4", "day 0_0.9-2.mp4"] and len(names) == 16
    assert [len(list(iterate_frames(report.data.parent / name))) for name in names[:2]] == [20, 27]
    assert report.bytes_before == sum((tmp_path / name).stat().st_size for name in RECORDINGS)
    before, after = load_catalog(listed), load_catalog(report.data)
    names_of = [
        sorted(video.key for video in list_videos(path).videos) for path in (listed, report.data)
    ]
    assert names_of[0] == names_of[1]
    assert [sample.group for sample in before.val] == [sample.group for sample in after.val]
    assert [s.label for s in before.train] == [s.label for s in after.train]
    again = prepare(listed, out=tmp_path / "fast", workers=2)
    assert (again.num_prepared, again.num_kept) == (0, 16)


def test_a_segment_that_cannot_be_decoded_is_named_and_the_others_are_cut(
    tmp_path: Path, media: ModuleType
) -> None:
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(50), gop_size=5, times=UNEVEN)
    packets = media.packets(path)
    for position, size, *_ in packets[30:]:
        media.overwrite(path, position + 4, b"\0" * (size - 4))
    rows = [("a.mp4", "jump", 0, 10), ("a.mp4", "run", 10, 20), ("a.mp4", "jump", 40, 45)]
    header = "video,label,start_frame,end_frame"
    report = prepare(_write(tmp_path / "list.csv", header, rows), out=tmp_path / "fast", workers=1)
    assert report.num_prepared == 2
    assert [(video.path.name, "not one picture in it can be decoded" in video.reason)
            for video in report.unreadable] == [("a.mp4#frame=40,45", True)]  # fmt: skip


def test_copies_of_a_recording_are_compared_segment_by_segment(listed: Path) -> None:
    """Another order of the segments is no other label, and does not hide that the split leaks."""
    data = (listed.parent / RECORDINGS[0]).read_bytes()
    for number in (1, 2, 3):
        (listed.parent / f"copy {number}.mp4").write_bytes(data)
    rows = [
        *[(RECORDINGS[0], "jump", 0, 0.8, "train"), (RECORDINGS[0], "run", 0.9, 2, "train")],
        *[("copy 1.mp4", "run", 0.9, 2, "val"), ("copy 1.mp4", "jump", 0, 0.8, "val")],
        ("copy 2.mp4", "run", 0.9, 2, "train"),
        *[("copy 3.mp4", "jump", 0, 0.5, "train"), ("copy 3.mp4", "jump", 0.9, 2, "train")],
    ]
    report = check(_write(listed, "video,label,start,end,split", rows), workers=2)
    assert {(fault.kind, fault.video, fault.label) for fault in report.faults} == {
        ("leak", "copy 1.mp4", "jump, run"),
        ("mislabelled", "copy 3.mp4#t=0.9,2", "jump"),
    }
    assert any("1 copy in the same class and split: copy 2.mp4 of" in n for n in report.notes)


def test_check_says_how_much_background_there_would_be(listed: Path) -> None:
    rows = [(name, "jump", 0, 0.5) for name in RECORDINGS]
    _write(listed, "video,label,start,end", rows)
    report = check(DataSource(str(listed), background=0.5), workers=2)
    drawn = [video for video in list_videos(DataSource(str(listed), background=0.5)).videos
             if video.class_name == "background"]  # fmt: skip
    note = f"--background 0.5 adds 4 segments of {len({v.path for v in drawn})} recordings"
    assert note in report.notes and not report.faults
    with pytest.raises(ValueError, match="names whole videos"):
        check(
            DataSource(str(_write(listed, "video,label", [(RECORDINGS[0], "a")])), background=1),
            workers=1,
        )


def test_check_finds_what_is_beyond_the_end_and_over_another_label(listed: Path) -> None:
    (listed.parent / "alone.mp4").write_bytes((listed.parent / RECORDINGS[0]).read_bytes())
    with listed.open("a") as file:
        file.write("day 1.mp4,jump,1.5,2.5\nday 1.mp4,jump,9,10\nday 2.mp4,jump,0.7,0.9\n")
    report = check(listed, workers=2)
    found = {(fault.video, fault.reason.partition(",")[0]) for fault in report.faults}
    assert found == {
        ("day 1.mp4#t=1.5,2.5", "it ends after the recording"),
        ("day 1.mp4#t=1.5,2.5", "it overlaps with 'run'"),
        ("day 1.mp4#t=9,10", "it starts after the end of the recording"),
    }
    assert {fault.kind for fault in report.faults} == {"segment"} and report.num_frames == 400
    assert report.notes[-1] == "1 video beside those of the list without a segment: alone.mp4"
    (listed.parent / "mixed.csv").write_text(
        "video,label,start,end,start_frame,end_frame\n"
        "day 1.mp4,jump,0,1,,\nday 1.mp4,run,,,24,30\nday 1.mp4,run,,,30,40\n"
        "day 2.mp4,jump,,,,\nday 2.mp4,run,1,2,,\nday 2.mp4,jump,0,2,,\n"
    )
    mixed = check(listed.parent / "mixed.csv", workers=2)
    assert {(fault.video, fault.reason) for fault in mixed.faults} == {
        ("day 1.mp4#frame=24,30", "it overlaps with 'jump', t=0,1, mixed.csv:2"),
        ("day 2.mp4#t=1,2", "it overlaps with 'jump', t=0,2, mixed.csv:7"),
    }
    before_training = check_catalog(load_catalog(listed, val_fraction=0), workers=2)
    assert [video.path.name for video in before_training.unreadable] == ["day 1.mp4#t=9,10"]
    assert any("segments that end after their recording" in text
               for text in before_training.warnings())  # fmt: skip
