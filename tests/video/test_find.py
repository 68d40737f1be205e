"""The videos that files, folders and patterns name."""

from pathlib import Path

import pytest

from mixtconv.video.find import find_videos


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_find_files_folders_and_patterns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "d/10.mp4", "d/9.mp4", "d/e/1.avi", "d/readme.txt", "d/.x.mp4", "d/.y/1.mp4")
    touch(tmp_path, "d/frames/1.jpg", "d/frames/2.jpg", "clip.dat", "z[1].mp4", ".cache/q.mp4")
    monkeypatch.chdir(tmp_path)

    def found(*sources: str) -> list[str]:
        return [path.as_posix() for path in find_videos(sources)]

    assert found("d") == ["d/9.mp4", "d/10.mp4", "d/e/1.avi", "d/frames"]
    assert found("d/10.mp4", "d/*.mp4", "d/../d/9.mp4") == ["d/10.mp4", "d/9.mp4"]
    assert found("d/*") == found("d")
    assert found("**/*.avi") == ["d/e/1.avi"]
    assert found("d/fr?mes") == found("d/frames") == ["d/frames"]
    assert found("clip.dat", "z[1].mp4") == ["clip.dat", "z[1].mp4"]
    assert found(".cache/*.mp4") == [".cache/q.mp4"]
    assert found(f"{tmp_path}/*/*.mp4") == [f"{tmp_path}/d/9.mp4", f"{tmp_path}/d/10.mp4"]
    monkeypatch.chdir(tmp_path / "d")
    assert found("../d/e/*.avi") == ["../d/e/1.avi"]


def test_pictures_beside_videos_do_not_hide_them(tmp_path: Path) -> None:
    touch(tmp_path, "cover.jpg", "a/1.mp4")
    assert find_videos([tmp_path]) == [tmp_path / "a/1.mp4"]


def test_a_loop_of_links_is_gone_through_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "a/1.mp4")
    (tmp_path / "a/loop").symlink_to(tmp_path)
    (tmp_path / "same.mp4").symlink_to(tmp_path / "a/1.mp4")
    listed: list[Path] = []
    list_folder = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: listed.append(path) or list_folder(path))
    assert find_videos([tmp_path]) == [tmp_path / "a/1.mp4"]
    assert listed == [tmp_path, tmp_path / "a"]


def test_nothing_found(tmp_path: Path) -> None:
    touch(tmp_path, "notes.txt", "a.mp4")
    with pytest.raises(ValueError, match=r"no video found for '.*/\*.avi', '.*/gone.mp4'; give"):
        find_videos([f"{tmp_path}/*.avi", tmp_path / "gone.mp4", tmp_path / "a.mp4"])
    with pytest.raises(ValueError, match="no video found for an empty list"):
        find_videos([])
