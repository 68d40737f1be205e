"""The quick check of every video before training."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixtconv.data.checking.preflight import check_catalog
from mixtconv.data.datasets.catalog import VideoCatalog, load_catalog
from mixtconv.video.writer import write_video


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_video(path, np.zeros((4, 32, 32, 3), dtype=np.uint8), frames_per_second=10)
    return path


@pytest.fixture
def mixed(tmp_path: Path, clip: Path) -> VideoCatalog:
    """Eleven good videos to train on, one to validate on, three bad files and one text."""
    touch(tmp_path, "train/a/notes.md", "train/b/empty.mp4", "val/a/1.mp4", "train/c/2.mp4")
    for number in range(10):
        shutil.copy(clip, tmp_path / f"train/a/{number}.mp4")
    shutil.copy(clip, tmp_path / "val/a/1.mp4")
    (tmp_path / "train/b/frames").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "train/b/frames/1.jpg")
    (tmp_path / "train/c/2.mp4").write_text("a text named .mp4")
    (tmp_path / "train/c/link.mp4").symlink_to(tmp_path / "nowhere.mp4")
    return load_catalog(tmp_path)


def test_report(mixed: VideoCatalog) -> None:
    steps: list[tuple[int, int]] = []
    report = check_catalog(
        mixed, workers=3, progress=lambda done, total: steps.append((done, total))
    )
    assert report.count_readable(mixed.train) == {"a": 10, "b": 1, "c": 0}
    assert report.count_readable(mixed.val) == {"a": 1, "b": 0, "c": 0}
    assert [video.path.name for video in report.unreadable] == ["empty.mp4", "2.mp4", "link.mp4"]
    assert "empty" in report.unreadable[0].reason and "no such file" in report.unreadable[2].reason
    assert steps == [(done, 15) for done in range(1, 16)]


def test_what_others_read_of_the_training_videos_is_opened_too(mixed: VideoCatalog) -> None:
    """Also of videos whose pictures are known, and nothing twice."""
    steps: list[tuple[int, int]] = []
    report = check_catalog(
        mixed,
        modality="rgb",
        others={"rgbdiff": "another", "flow": "a teacher"},
        known=[sample.video for sample in (*mixed.train, *mixed.val)],
        progress=lambda done, total: steps.append((done, total)),
    )
    assert {video.path for video in report.unreadable} == {each.path for each in mixed.train}
    assert all(video.reason.startswith("a teacher takes flow: ") for video in report.unreadable)
    assert len(steps) == len(mixed.train)


def test_warnings_name_what_is_wrong(mixed: VideoCatalog) -> None:
    text = "\n".join(check_catalog(mixed).warnings())
    assert "unreadable videos, 3: " in text and "empty.mp4 (the file is empty" in text
    assert "not taken as videos, 1: " in text and "notes.md" in text
    assert "classes without training videos, 1: c" in text
    assert "classes without validation videos, 2: b, c" in text
    assert "the largest class has 10 times the videos of the smallest" in text


def test_nothing_to_warn_of_but_few_videos(tmp_path: Path, clip: Path) -> None:
    touch(tmp_path, "a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4")
    for path in tmp_path.glob("*/*.mp4"):
        shutil.copy(clip, path)
    catalog = load_catalog(tmp_path)
    report = check_catalog(catalog)
    (sizes,) = report.warnings()
    assert sizes.startswith("2 classes too small to judge: 'a' (1), 'b' (1); with fewer than 21")
    assert report.count_readable(catalog.train) == {"a": 1, "b": 1}
    assert report.count_readable(catalog.val) == {"a": 1, "b": 1}


def test_nothing_readable(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.mp4", "a/2.mp4", "b/1.mp4", "b/2.mp4")
    report = check_catalog(load_catalog(tmp_path))
    assert len(report.unreadable) == 4
    unreadable, *others = report.warnings()
    assert "unreadable videos, 4: " in unreadable
    assert others == [
        "classes without training videos, 2: a, b",
        "classes without validation videos, 2: a, b",
    ]
