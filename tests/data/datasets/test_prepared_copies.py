"""A prepared copy of each known dataset is read as the original is, by its name alone."""

import shutil
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from mixtconv.data.checking.run import check
from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.datasets.scanning import scan_videos
from mixtconv.data.listing import DataSource
from mixtconv.data.preparation.form import PreparedForm
from mixtconv.data.preparation.run import prepare
from mixtconv.video.reader import iterate_frames, probe_video

NAMES = ("something_v1", "something_v2", "jester", "ucf101", "hmdb51", "kinetics400")
FORMS = {
    "h264": PreparedForm(short_side=32, crf=30),
    "jpeg": PreparedForm(short_side=32, jpeg=True),
}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory, miniature: ModuleType) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    for name in NAMES:
        miniature.make_miniature(name, folder / name, num_frames=4)
    return folder


def source(name: str, root: Path, split: int = 1) -> DataSource:
    return DataSource(name, root=str(root), official_split=split)


def files_of(root: Path) -> dict[Path, tuple[int, int]]:
    paths = [path for path in root.rglob("*") if path.is_file()]
    return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in paths}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NAMES)
def test_classes_splits_keys_and_labels_are_those_of_the_original(
    name: str, form: str, originals: Path, tmp_path: Path
) -> None:
    root, out = originals / name, tmp_path / "out"
    before = files_of(root)
    report = prepare(source(name, root), out=out, form=FORMS[form], workers=2)
    assert files_of(root) == before and report.data == out
    for split in (1, 2, 3) if name == "ucf101" else (1,):
        original = scan_videos(source(name, root, split))
        prepared = scan_videos(source(name, out, split))
        assert prepared.classes == original.classes and not prepared.faults
        assert prepared.absent == original.absent
        assert [(v.key, v.class_name, v.split, v.place) for v in prepared.videos] == [
            (v.key, v.class_name, v.split, v.place) for v in original.videos
        ]
    assert all(out in video.path.parents for video in prepared.videos)
    assert all(video.path.is_dir() == (form == "jpeg") for video in prepared.videos)
    assert check(source(name, out), min_frames=4, workers=2).faults == ()
    again = prepare(source(name, root), out=out, form=FORMS[form], workers=1)
    assert (again.num_prepared, again.num_kept) == (0, report.num_prepared)


def test_another_split_of_hmdb_adds_the_videos_that_it_alone_uses(
    originals: Path, tmp_path: Path
) -> None:
    root, out = originals / "hmdb51", tmp_path / "out"
    first = prepare(source("hmdb51", root), out=out, form=FORMS["h264"], workers=2)
    second = prepare(source("hmdb51", root, 2), out=out, form=FORMS["h264"], workers=2)
    assert (second.num_prepared, second.num_kept) == (1, first.num_prepared)
    assert check(source("hmdb51", out, 2), workers=1).faults == ()


def test_what_is_missing_or_unreadable_is_named_and_the_rest_is_done(
    originals: Path, tmp_path: Path
) -> None:
    root, out = shutil.copytree(originals / "ucf101", tmp_path / "ucf101"), tmp_path / "out"
    gone, bad, *_ = sorted((root / "UCF-101").glob("*/*.avi"))
    gone.unlink()
    bad.write_bytes(b"")
    report = prepare(source("ucf101", root), out=out, form=FORMS["h264"], workers=2)
    assert {video.path.name for video in report.unreadable} == {gone.name, bad.name}
    assert report.num_prepared == 10
    with pytest.raises(ValueError, match="2 entries cannot be used"):
        load_catalog(source("ucf101", out))
    whole = load_catalog(source("ucf101", originals / "ucf101"))
    kept = load_catalog(source("ucf101", out), keep_missing=True)
    assert (len(kept.train), len(kept.val)) == (len(whole.train), len(whole.val))
    assert sum(not video.path.exists() for video in (*kept.train, *kept.val)) == 2


def test_a_run_that_stopped_is_noted_under_the_name_of_the_dataset(
    originals: Path, tmp_path: Path
) -> None:
    root, out = originals / "jester", tmp_path / "out"

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(source("jester", root), out=out, form=FORMS["h264"], workers=1, progress=stop)
    report = check(source("jester", out), workers=1)
    assert report.counts == {"missing": 12 - report.num_videos}
    assert any("only partly prepared" in note for note in report.notes)
    prepare(source("jester", root), out=out, form=FORMS["h264"], workers=1)
    assert (
        check(source("jester", out), workers=1).notes[:-1]  # the last is about small classes
        == scan_videos(source("jester", root)).notes
    )


@pytest.mark.parametrize("name", ["something_v1", "kinetics400"])
def test_neither_folder_may_hold_the_other(name: str, originals: Path, tmp_path: Path) -> None:
    root = shutil.copytree(originals / name, tmp_path / "outer" / name)
    before = files_of(tmp_path)
    for out, says in (
        (root / "out", "would count as more"),
        (tmp_path / "outer", "holds something else"),
    ):
        with pytest.raises(ValueError, match=says):
            prepare(source(name, root), out=out, form=FORMS["h264"])
    assert files_of(tmp_path) == before


def test_pictures_are_the_frames_of_the_original(tmp_path: Path, media: ModuleType) -> None:
    folder = tmp_path / "clips" / "jump"
    folder.mkdir(parents=True)
    video = media.encode(folder / "a b.webm", media.moving_frames(7), codec="libvpx-vp9")
    prepare(tmp_path / "clips", out=tmp_path / "out", form=PreparedForm(jpeg=True), workers=1)
    prepared = tmp_path / "out" / "jump" / "a b"
    assert [path.name for path in sorted(prepared.iterdir())] == [
        f"{number:05d}.jpg" for number in range(1, 8)
    ]
    assert probe_video(prepared).num_frames == 7
    frames = np.stack([*iterate_frames(video)]).astype(int)
    for number, path in enumerate(sorted(prepared.iterdir())):
        with Image.open(path) as image:
            distances = np.abs(frames - np.asarray(image)).mean(axis=(1, 2, 3))
        assert distances.argmin() == number
        assert distances[number] < 0.4 * np.delete(distances, number).min()
