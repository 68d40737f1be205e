"""Computing optical flow while preparing: what is written, and runs that stop and go on."""

import errno
import shutil
import sys
import time
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from PIL import Image

from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.journal import read_journal
from mixtconv.data.listing import ListedVideo, VideoListing
from mixtconv.data.modality import list_flow, probe_for, read_flow
from mixtconv.data.preparation import pictures, run
from mixtconv.data.preparation.encoding import StoppedError
from mixtconv.data.preparation.form import PreparedForm, plan_videos
from mixtconv.data.preparation.pictures import as_pictures, write_folder
from mixtconv.data.preparation.run import prepare
from mixtconv.video.reader import iterate_frames

DIS = PreparedForm(short_side=48, flow="dis")
METHODS = ["dis", "tvl1"]


@pytest.fixture
def data(two_stream: ModuleType, tmp_path: Path) -> Path:
    two_stream.make_two_stream_dataset(tmp_path / "data", videos_per_class=2, seed=1)
    return tmp_path / "data"


def hidden(folder: Path) -> list[str]:
    names = [path.name for path in folder.rglob(".*")]
    return sorted(name for name in names if not name.startswith(".mixtconv-prepared"))


def summary(report: run.PreparationReport) -> tuple[int, int, list[str]]:
    return report.num_prepared, report.num_kept, [v.path.name for v in report.unreadable]


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*.jpg") if not path.parent.name.startswith(".")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("method", METHODS)
def test_each_video_becomes_a_folder_of_its_flow(method: str, data: Path, tmp_path: Path) -> None:
    form = PreparedForm(short_side=48, flow=method)  # type: ignore[arg-type]
    keep = sorted(data.rglob("*.mp4"))[::4]
    for path in set(data.rglob("*.mp4")) - set(keep):
        path.unlink()
    report = prepare(data, out=tmp_path / "out", form=form)
    assert summary(report) == (len(keep), 0, []) and hidden(tmp_path / "out") == []
    assert report.bytes_after == sum(map(len, contents(tmp_path / "out").values()))
    for path in keep:
        folder = tmp_path / "out" / path.relative_to(data).with_suffix("")
        info = probe_for(folder, "flow")
        assert (info.num_frames, info.height, info.width) == (23, 48, 72)
        assert len(list(folder.iterdir())) == 46
        # Against flow of the frames resized and computed here, and 3 pixels at 3/4 of the size.
        frames = [
            cv2.cvtColor(
                np.asarray(Image.fromarray(f).resize((72, 48), Image.Resampling.BILINEAR)),
                cv2.COLOR_RGB2GRAY,
            )
            for f in iterate_frames(path)
        ]
        make = {
            "dis": lambda: cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM),
            "tvl1": cv2.optflow.DualTVL1OpticalFlow_create,
        }[method]
        expected = make().calc(frames[7], frames[8], None)
        got = read_flow(folder, lambda num_fields: [7]).frames[0].numpy()
        values = np.clip(np.round((expected + 20) * 255 / 40), 0, 255).transpose(2, 0, 1)
        assert np.abs(got - values).mean() < 1.5  # what JPEG does to it
        moving = np.abs(expected[..., 0]) > 1
        sign = -1 if "left" in str(path) else 1
        assert np.median(expected[..., 0][moving]) == pytest.approx(2.25 * sign, abs=0.8)
        assert np.median(got[0][moving].astype(float) - 127.5) * sign > 10


def test_values_are_clipped_at_twenty_pixels() -> None:
    motions = np.array([-1000, -20, -10, 0, 0.2, 10, 20, 21], dtype=np.float32)
    x, y = as_pictures(np.stack([motions, motions[::-1]], axis=-1)[None])
    assert x.tolist() == [[0, 0, 64, 128, 129, 191, 255, 255]] and x.dtype == np.uint8
    assert y.tolist() == [x[0, ::-1].tolist()]


def test_labels_splits_and_what_is_held_out_stay(data: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.csv"
    videos = sorted(data.rglob("*.mp4"))
    rows = [f"data/{path.relative_to(data)},{path.parent.name}" for path in videos]
    listed.write_text("path,label\n" + "\n".join(rows) + "\n")
    for source in (data, listed):
        out = tmp_path / f"flow of {source.stem}"
        report = prepare(source, out=out, form=DIS)
        before, after = load_catalog(source), load_catalog(report.data)
        assert after.classes == before.classes
        for split in ("train", "val"):
            pairs = list(zip(getattr(before, split), getattr(after, split), strict=True))
            assert pairs
            for old, new in pairs:
                assert (old.label, old.path.stem) == (new.label, new.path.name)
                assert len(list_flow(new.path)[0].names) == 23


def test_names_of_folders_do_not_collide(tmp_path: Path) -> None:
    names = ("a", "a.mp4", "a.avi", "b.mkv", "c.1.mp4")
    videos = (ListedVideo(tmp_path / "k" / name, "k", None, f"k/{name}") for name in names)
    plan = plan_videos(VideoListing(tmp_path, tuple(videos)), suffix=DIS.suffix)
    targets = {item.name: item.target for item in plan}
    assert targets["k/a"] == "k/a" and targets["k/a.mp4"] == "k/a.mp4"
    assert targets["k/a.avi"] == "k/a.avi"
    assert (targets["k/b.mkv"], targets["k/c.1.mp4"]) == ("k/b", "k/c.1")


def test_what_is_done_is_kept_and_what_has_changed_is_done_again(
    data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    prepare(data, out=out, form=DIS)
    whole = contents(out)
    assert summary(prepare(data, out=out, form=DIS)) == (0, 8, [])
    folder = out / "train/red_left/001"
    (folder / "flow_x_00003.jpg").unlink()
    (out / "train/red_right/001/flow_y_00001.jpg").write_bytes(b"short")
    shutil.rmtree(out / "train/blue_left/001")
    assert summary(prepare(data, out=out, form=DIS)) == (3, 5, [])
    assert contents(out) == whole and hidden(out) == []
    smaller = PreparedForm(short_side=32, flow="dis")
    assert summary(prepare(data, out=out, form=smaller)) == (8, 0, [])
    assert probe_for(folder, "flow").height == 32


def test_kinds_of_form_are_not_mixed_in_a_folder(data: Path, tmp_path: Path) -> None:
    prepare(data, out=tmp_path / "out", form=DIS)
    with pytest.raises(ValueError, match="holds videos prepared as flow, which would count twice"):
        prepare(data, out=tmp_path / "out", form=PreparedForm(short_side=48))
    assert summary(prepare(data, out=tmp_path / "out", form=DIS)) == (0, 8, [])


def test_what_has_no_flow_is_named(data: Path, tmp_path: Path) -> None:
    folder = data / "train/red_left"
    (folder / "single").mkdir()
    Image.new("RGB", (64, 48)).save(folder / "single" / "0.png")
    (folder / "bad.mp4").write_text("words")
    report = prepare(data, out=tmp_path / "out", form=DIS)
    assert summary(report) == (8, 0, ["bad.mp4", "single"])
    reasons = {video.path.name: video.reason for video in report.unreadable}
    assert "one frame" in reasons["single"]
    assert hidden(tmp_path / "out") == []
    # The flow is not taken for videos, of which there were flow.
    report = prepare(tmp_path / "out", out=tmp_path / "again", form=DIS)
    assert report.num_prepared == 0 and "holds optical flow" in report.unreadable[0].reason


@pytest.mark.parametrize("fault", ["full disk", "another size", "one too many"])
def test_a_fault_in_writing_leaves_whole_folders_only(
    fault: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = pictures.flush_to_disk
    count = 0

    def faulty(path: Path) -> None:
        nonlocal count
        count += 1
        if count == 100 and fault == "full disk":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        if count == 100 and fault == "another size":
            Image.new("L", (9, 9)).save(path)
        if count == 100 and fault == "one too many":
            (path.parent / "more.jpg").write_bytes(b"")
        given(path)

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(pictures, "flush_to_disk", faulty)
        with pytest.raises(OSError, match=r"No space left|not 72x48|47 pictures are there"):
            prepare(data, out=out, form=DIS, workers=1)
    assert hidden(out) == []
    folders = [path for path in out.glob("*/*/*") if path.is_dir()]
    assert len(folders) == 2 and all(len(list_flow(folder)[0].names) == 23 for folder in folders)
    assert summary(prepare(data, out=out, form=DIS)) == (6, 2, [])


def test_an_interrupted_run_is_gone_on_with(data: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        prepare(data, out=out, form=DIS, workers=2, progress=interrupt)
    assert hidden(out) == []
    assert not read_journal(out).complete  # type: ignore[union-attr]
    done = [path for path in out.glob("*/*/*") if path.is_dir()]
    assert all(len(list_flow(folder)[0].names) == 23 for folder in done)
    report = prepare(data, out=out, form=DIS)
    assert report.num_kept >= 3 and report.num_kept + report.num_prepared == 8


def test_computing_stops_when_told(data: Path, tmp_path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(StoppedError):
        write_folder(
            next(data.rglob("*.mp4")), tmp_path / "a", DIS,
            is_stopped=lambda: time.monotonic() > start,
        )  # fmt: skip
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_what_a_killed_run_left_is_cleared(data: Path, tmp_path: Path) -> None:
    video = next(data.rglob("*.mp4"))
    for name in (".a.part", ".a.old", "a"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "flow_x_99999.jpg").write_bytes(b"left")
    written = write_folder(video, tmp_path / "a", DIS)
    assert written.num_frames == len(list_flow(tmp_path / "a")[0].names) == 23
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "data"]


@pytest.mark.parametrize("what", ["nothing", "without the contributed modules"])
def test_without_opencv_the_remedy_is_said_once(
    what: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "nothing":
        monkeypatch.setitem(sys.modules, "cv2", None)
    else:
        monkeypatch.delattr(cv2, "optflow")
    with pytest.raises(ValueError, match=r"pip install opencv-contrib-python-headless$") as error:
        prepare(data, out=tmp_path / "out", form=DIS)
    assert "\n" not in str(error.value) and not (tmp_path / "out").exists()
