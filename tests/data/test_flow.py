"""Folders of optical flow: which layouts are read, as what, and what is said of faulty ones."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mixtconv.data.checking.preflight import check_catalog
from mixtconv.data.clips import read_frames
from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.datasets.scanning import list_videos
from mixtconv.data.modality import list_flow, probe_for, read_flow
from mixtconv.video.find import find_videos, sort_names
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.reader import probe_video


def field(number: int, component: str) -> np.ndarray:
    """One grey picture, by its value told from all others: x is 10, 12, ...; y 11, 13, ..."""
    return np.full((16, 24), 10 + 2 * number + (component == "y"), dtype=np.uint8)


def put_beside(folder: Path, pattern: str, *, fields: int = 5) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(fields):
        for component in "xy":
            name = pattern.format(component, number + 1)
            Image.fromarray(field(number, component)).save(folder / name, quality=100)
    return folder


def put_trees(root: Path, video: str, *, fields: int = 5) -> Path:
    for side, component in (("u", "x"), ("v", "y")):
        (root / side / video).mkdir(parents=True)
        for number in range(fields):
            path = root / side / video / f"frame{number + 1:06d}.jpg"
            Image.fromarray(field(number, component)).save(path, quality=100)
    return root / "u" / video


PATTERNS = ["flow_{}_{:05d}.jpg", "{}_{:05d}.jpg", "000012-{}_{:05d}.jpg", "flow_{}_{}.png"]


@pytest.mark.parametrize("pattern", [*PATTERNS, "trees"])
def test_every_layout_is_one_video_of_x_and_y(pattern: str, tmp_path: Path) -> None:
    if pattern == "trees":
        folder = put_trees(tmp_path, "jump/a", fields=12)
    else:
        folder = put_beside(tmp_path / "jump" / "a", pattern, fields=12)
    clip = read_flow(folder, lambda num_fields: [0, num_fields - 1, 9, 0])
    assert clip.frames.shape == (4, 2, 16, 24) and clip.frames.dtype.is_floating_point is False
    assert (clip.indices, clip.num_frames) == ((0, 11, 9, 0), 12)
    for row, number in enumerate(clip.indices):
        for channel, component in enumerate("xy"):
            expected = int(field(number, component)[0, 0])
            assert abs(int(clip.frames[row, channel].float().mean()) - expected) <= 0
    assert list_flow(folder)[0].names[1].endswith(("02.jpg", "x_2.png"))
    for modality in ("flow", None):
        info = probe_for(folder, modality)
        assert (info.num_frames, info.width, info.height, info.codec) == (12, 24, 16, "flow")


@pytest.mark.parametrize("pattern", [*PATTERNS, "trees"])
def test_flow_is_never_read_as_pictures(pattern: str, tmp_path: Path) -> None:
    trees = pattern == "trees"
    folder = put_trees(tmp_path, "k/a") if trees else put_beside(tmp_path / "k" / "a", pattern)
    for read in (probe_video, lambda path: read_frames(path, [0])):
        with pytest.raises(UnreadableVideoError, match=r"holds optical flow.*--modality flow"):
            read(folder)


def test_pictures_beside_their_flow_are_the_video(tmp_path: Path) -> None:
    """As TSN's and denseflow's tools write them: img_, flow_x_ and flow_y_ in one folder."""
    folder = put_beside(tmp_path / "a", "flow_{}_{:05d}.jpg", fields=3)
    for number in range(4):
        Image.new("RGB", (24, 16), (200 + number, 0, 0)).save(folder / f"img_{number + 1:05d}.png")
    assert probe_video(folder).num_frames == probe_for(folder, None).num_frames == 4
    frames = read_frames(folder, range(4))
    assert frames[:, 0, 0, 0].tolist() == [200, 201, 202, 203]
    assert probe_for(folder, "flow").num_frames == 3
    (folder / "img_00002.png").unlink()
    with pytest.raises(UnreadableVideoError, match="1 of frames 1 to 4 missing: 2"):
        probe_video(folder)


def test_a_cover_beside_flow_is_no_video(tmp_path: Path) -> None:
    folder = put_beside(tmp_path / "a", "flow_{}_{:05d}.jpg", fields=3)
    Image.new("RGB", (24, 16)).save(folder / "thumb.jpg")
    info = probe_for(folder, None)
    assert (info.num_frames, info.codec) == (3, "flow")


def test_a_frame_folder_named_x_alone_is_pictures(tmp_path: Path) -> None:
    for number in range(3):
        Image.new("RGB", (24, 16)).save(tmp_path / f"x_{number}.png")
    assert probe_video(tmp_path).num_frames == 3
    assert sort_names(["flow_x_1.jpg"]).x == {1: "flow_x_1.jpg"}  # that of flow_ is incomplete


def remove(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).unlink()


FAULTS = {
    "a gap": (
        lambda f: remove(f, "flow_x_00003.jpg", "flow_y_00003.jpg"),
        "1 of fields of flow 1 to 5 missing: 3",
    ),
    "one y less": (
        lambda f: remove(f, "flow_y_00005.jpg"),
        "5 pictures of x and 4 of y: number 5 has no y",
    ),
    "no y": (
        lambda f: remove(f, *(f"flow_y_0000{n}.jpg" for n in range(1, 6))),
        "5 pictures of x and 0 of y: number 1 has no y",
    ),
    "another number": (
        lambda f: (f / "flow_x_00005.jpg").rename(f / "flow_x_00006.jpg"),
        "number 6 has no y",
    ),
    "y of another size": (
        lambda f: [Image.new("L", (20, 16)).save(f / f"flow_y_0000{n}.jpg") for n in range(1, 6)],
        "pictures of x are 24x16 and of y 20x16",
    ),
    "one of another size": (
        lambda f: Image.new("L", (20, 16)).save(f / "flow_x_00002.jpg"),
        "flow_x_00002.jpg: the picture is 20x16 but the first of its folder",
    ),
    "a damaged one": (
        lambda f: (f / "flow_y_00002.jpg").write_bytes(b"words"),
        "flow_y_00002.jpg: the picture is damaged",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_wrong_is_named(fault: str, tmp_path: Path) -> None:
    folder = put_beside(tmp_path / "a", "flow_{}_{:05d}.jpg")
    make, says = FAULTS[fault]
    make(folder)
    with pytest.raises(UnreadableVideoError) as error:
        read_flow(folder, range)
    assert says in str(error.value) and str(folder) in str(error.value)


def test_faults_of_two_trees_are_named(tmp_path: Path) -> None:
    folder = put_trees(tmp_path, "k/a")
    (tmp_path / "v/k/a/frame000005.jpg").unlink()
    with pytest.raises(UnreadableVideoError, match=r"picture frame000005\.jpg has no y"):
        list_flow(folder)
    (tmp_path / "v/k/a/frame000002.jpg").unlink()
    with pytest.raises(UnreadableVideoError, match="1 of frames 1 to 4 missing: 2"):
        list_flow(folder)
    shutil.rmtree(tmp_path / "v/k/a")
    with pytest.raises(UnreadableVideoError, match=r"there is no .*v/k/a beside it"):
        list_flow(folder)


def test_pictures_and_files_are_refused_as_flow_with_the_remedy(tmp_path: Path) -> None:
    Image.new("RGB", (24, 16)).save(tmp_path / "1.png")
    (tmp_path / "a.mp4").write_bytes(b"")
    for path in (tmp_path, tmp_path / "a.mp4"):
        with pytest.raises(UnreadableVideoError, match="prepare DATA --out DIR --flow"):
            probe_for(path, "flow")


# Labels and splits


def test_class_folders_list_each_flow_folder_once(tmp_path: Path) -> None:
    for split, number in (("train", 1), ("train", 2), ("val", 3)):
        for name in ("jump", "run"):
            put_beside(tmp_path / split / name / str(number), "flow_{}_{:05d}.jpg", fields=2)
    catalog = load_catalog(tmp_path)
    assert (len(catalog.train), len(catalog.val), catalog.ignored) == (4, 2, ())
    assert check_catalog(catalog, modality="flow").unreadable == ()
    assert check_catalog(catalog).unreadable == ()
    assert len(check_catalog(catalog, modality="rgb").unreadable) == 6


@pytest.mark.parametrize("split", ["", "train/"])
def test_two_trees_are_listed_by_their_u_side(split: str, tmp_path: Path) -> None:
    for name in ("jump/a", "jump/b", "u/a", "v/a"):  # a class may have the name of a tree
        put_trees(tmp_path, split + name, fields=2)
    (tmp_path / "list.txt").write_text("what else lies there")
    listing = list_videos(tmp_path)
    names = [video.path.relative_to(tmp_path).as_posix() for video in listing.videos]
    assert names == [f"u/{split}{n}" for n in ("jump/a", "jump/b", "u/a", "v/a")]
    assert [video.class_name for video in listing.videos] == ["jump", "jump", "u", "v"]
    assert [video.key for video in listing.videos] == ["jump/a", "jump/b", "u/a", "v/a"]
    assert all(len(list_flow(video.path)[0].names) == 2 for video in listing.videos)
    assert len(find_videos([tmp_path])) == 4


def test_a_csv_may_name_the_u_side(tmp_path: Path) -> None:
    put_trees(tmp_path, "v_a")
    put_trees(tmp_path, "v_b")
    (tmp_path / "list.csv").write_text("path,label\nu/v_a,jump\nu/v_b,run\n")
    videos = list_videos(tmp_path / "list.csv").videos
    assert [len(list_flow(video.path)[0].names) for video in videos] == [5, 5]


def test_classes_called_u_and_v_among_others_are_classes(tmp_path: Path) -> None:
    """As in an alphabet of signs."""
    for name in ("t", "u", "v"):
        (tmp_path / name / "1").mkdir(parents=True)
        Image.new("RGB", (24, 16)).save(tmp_path / name / "1" / "frame000001.jpg")
    listing = list_videos(tmp_path)
    assert [video.class_name for video in listing.videos] == ["t", "u", "v"]
    assert [probe_video(video.path).codec for video in listing.videos] == ["pictures"] * 3
