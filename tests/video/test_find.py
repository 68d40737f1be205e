"""The videos that files, folders and patterns name."""

import unicodedata
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


FRAMES = ("00001.jpg", "00002.jpg", "00003.jpg")


def found_in(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in find_videos([folder])]


def test_frames_of_a_video_beside_it_are_no_further_video(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folders = ("v1", "v2", "v2_frames", "v2/frames", "v3-masks", "v4.mp4_thumbs", "masks")
    touch(tmp_path, *(f"jump/{folder}/{name}" for folder in folders for name in FRAMES))
    touch(tmp_path, *(f"jump/other/{name}" for name in FRAMES))
    touch(tmp_path, *(f"jump/v{number}.mp4" for number in range(1, 5)))
    videos = [f"jump/{name}" for name in ("other", "v1.mp4", "v2.mp4", "v3.mp4", "v4.mp4")]
    with caplog.at_level("INFO"):
        assert found_in(tmp_path) == videos
    (line,) = caplog.messages
    assert line.startswith("7 folders of pictures left out, as the video that they belong to is ")
    assert [path.name for path in find_videos([f"{tmp_path}/jump/v1*"])] == ["v1.mp4"]
    pictures = tmp_path / "jump/v1"
    assert find_videos([pictures]) == [pictures]  # named alone it is a video


def test_masks_of_a_folder_of_frames_are_no_further_video(tmp_path: Path) -> None:
    folders = ("a", "a/masks", "a_mask", "b", "b/deep/er")
    touch(tmp_path, *(f"jump/{folder}/{name}" for folder in folders for name in FRAMES))
    touch(tmp_path, *(f"mask/c/{name}" for name in FRAMES))  # a class of that name
    assert found_in(tmp_path) == ["jump/a", "jump/b", "mask/c"]


def test_what_other_programs_keep_beside_videos_is_not_data(tmp_path: Path) -> None:
    hidden = ("@eaDir/v1.mp4", ".thumbnails", "__MACOSX", ".ipynb_checkpoints", "lost+found",
              "$RECYCLE.BIN", "System Volume Information", "#recycle")  # fmt: skip
    touch(tmp_path, "jump/v1.mp4", "jump/._v1.mp4", "jump/Thumbs.db", "jump/desktop.ini")
    touch(tmp_path, *(f"jump/{folder}/{name}" for folder in hidden for name in (*FRAMES, "x.mp4")))
    touch(tmp_path, *(f"wave/a/{name}" for name in (*FRAMES, "._00001.jpg")))
    touch(tmp_path, *(f"wave/a/@eaDir/{name}" for name in FRAMES))
    assert found_in(tmp_path) == ["jump/v1.mp4", "wave/a"]


@pytest.mark.parametrize("cover", ["cover.png", "folder.jpg", "a.jpg", "b 1.jpg"])
def test_a_cover_is_no_video(tmp_path: Path, cover: str) -> None:
    touch(tmp_path, cover, f"jump/{cover}", f"jump/b/{cover}", "jump/c/c.mp4", f"jump/c/{cover}")
    touch(tmp_path, *(f"jump/{folder}/{name}" for folder in "ab" for name in FRAMES))
    assert found_in(tmp_path) == ["jump/a", "jump/b", "jump/c/c.mp4"]


def test_a_name_with_accents_encoded_otherwise_is_found(tmp_path: Path) -> None:
    name = unicodedata.normalize("NFD", "café")
    touch(tmp_path, f"{name}/{name}1.mp4")
    assert find_videos([tmp_path / "caf\xe9/caf\xe91.mp4"]) == [tmp_path / f"{name}/{name}1.mp4"]
