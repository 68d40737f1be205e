"""`check`: each thing that can be wrong with data is found, and nothing else."""

import pickle
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

from mixtconv.data.checking.report import CheckReport
from mixtconv.data.checking.run import check
from mixtconv.data.checking.video import CheckedVideo, VideoToCheck, check_video
from mixtconv.data.listing import DataSource, Fault

NAMES = ("something_v1", "something_v2", "jester", "ucf101", "hmdb51", "kinetics400")
OF_PICTURES = ("something_v1", "jester")


def write_pictures(
    folder: Path,
    count: int,
    *,
    size: tuple[int, int] = (24, 16),
    name: str = "{:05d}.jpg",
    seed: int = 0,
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, count + 1):
        rng = np.random.default_rng([seed, number])
        noise = rng.integers(0, 256, (size[1], size[0]), dtype=np.uint8)
        Image.fromarray(noise).convert("RGB").save(folder / name.format(number))
    return folder


def only(faults: Sequence[Fault]) -> Fault:
    assert len(faults) == 1, faults
    return faults[0]


# one video


def test_a_good_video_has_its_frames_and_no_fault(tmp_path: Path, media: ModuleType) -> None:
    path = media.encode(tmp_path / "a.mp4", media.moving_frames(12))
    for quick in (False, True):
        assert check_video(VideoToCheck(path, quick=quick)) == CheckedVideo(12)
    folder = write_pictures(tmp_path / "b", 5)
    assert check_video(VideoToCheck(folder)) == CheckedVideo(5)


def test_the_work_on_one_video_can_be_sent_elsewhere(tmp_path: Path) -> None:
    work = pickle.loads(pickle.dumps((check_video, VideoToCheck(tmp_path / "no.mp4"))))
    result = work[0](work[1])
    assert pickle.loads(pickle.dumps(result)) == result
    assert [fault.kind for fault in result.faults] == ["unreadable"]


@pytest.mark.parametrize(("min_frames", "kinds"), [(1, []), (5, []), (6, ["short"])])
def test_too_short_is_less_than_asked_for(
    min_frames: int, kinds: list[str], tmp_path: Path
) -> None:
    video = VideoToCheck(write_pictures(tmp_path / "a", 5), min_frames=min_frames)
    assert [fault.kind for fault in check_video(video).faults] == kinds


def test_a_file_is_read_to_its_end_unless_quick(tmp_path: Path, media: ModuleType) -> None:
    path = media.encode(tmp_path / "a.mkv", media.moving_frames(40))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert [fault.kind for fault in check_video(VideoToCheck(path)).faults] == ["damaged"]
    assert check_video(VideoToCheck(path, quick=True)).faults == ()


@pytest.mark.parametrize(
    ("fault", "kind", "says"),
    [
        (lambda f: (f / "00003.jpg").unlink(), "unreadable", "1 of frames 1 to 6 missing: 3"),
        (lambda f: (f / "00001.jpg").write_text("x"), "unreadable", "00001.jpg: the picture is"),
        (lambda f: (f / "00004.jpg").write_text("x"), "damaged", "1 of 6 pictures: 00004.jpg: the"),
        (
            lambda f: Image.new("RGB", (9, 9)).save(f / "00005.jpg"),
            "damaged",
            "00005.jpg: the pict",
        ),
        (lambda f: (f / "3.jpg").write_bytes(b""), "unreadable", "3 is there twice"),
    ],
)
def test_pictures_with_a_gap_of_two_sizes_or_damaged(
    fault: Callable[[Path], object], kind: str, says: str, tmp_path: Path
) -> None:
    folder = write_pictures(tmp_path / "a", 6)
    fault(folder)
    (found,) = check_video(VideoToCheck(folder)).faults
    assert found.kind == kind and says in found.reason


def test_a_picture_cut_short_is_found_only_by_decoding_all_of_it(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "a", 6)
    last = folder / "00006.jpg"
    last.write_bytes(last.read_bytes()[:-60])
    (found,) = check_video(VideoToCheck(folder)).faults
    assert found.kind == "damaged" and "00006.jpg" in found.reason
    assert check_video(VideoToCheck(folder, quick=True)).faults == ()


def test_flow_counts_as_the_frames_it_was_made_from(tmp_path: Path) -> None:
    for side in "xy":
        write_pictures(tmp_path / "a", 3, name=f"flow_{side}_{{:05d}}.jpg")
    assert check_video(VideoToCheck(tmp_path / "a")) == CheckedVideo(4)
    (tmp_path / "a" / "flow_y_00002.jpg").write_text("x")
    (found,) = check_video(VideoToCheck(tmp_path / "a")).faults
    assert found.kind == "damaged" and "1 of 6 pictures: flow_y_00002.jpg" in found.reason
    (found,) = check_video(VideoToCheck(tmp_path / "a", modality="rgb")).faults
    assert found.kind == "unreadable" and "optical flow" in found.reason


def test_a_link_to_itself_is_no_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").symlink_to(tmp_path / "a.mp4")
    (found,) = check_video(VideoToCheck(tmp_path / "a.mp4")).faults
    assert (found.kind, found.reason) == ("unreadable", "there is no such file or folder")


# a folder, a CSV


@pytest.fixture
def clips(tmp_path: Path, media: ModuleType) -> Path:
    """Two classes of two videos each, split, with spaces and letters of many languages."""
    root = tmp_path / "clips of mine"
    names = (("train", "Süße Übung"), ("train", "走る"), ("val", "走る"))
    for seed, (split, name) in enumerate(names):
        folder = root / split / name
        folder.mkdir(parents=True)
        frames = media.moving_frames(8, height=32, width=32, seed=seed)
        media.encode(folder / "ein clip.mp4", frames)
        write_pictures(folder / "pictures", 4, seed=seed)
    return root


def test_a_clean_folder_has_no_fault(clips: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in clips.rglob("*"))
    seen: list[tuple[int, int]] = []
    report = check(clips, workers=2, progress=lambda *numbers: seen.append(numbers))
    assert (report.num_videos, report.num_frames) == (6, 3 * (8 + 4))
    assert report.faults == report.absent == report.unused == ()
    assert seen == [(number, 6) for number in range(1, 7)]
    assert sorted((path, path.stat().st_mtime_ns) for path in clips.rglob("*")) == before


def test_a_read_only_folder_is_checked(clips: Path) -> None:
    folders = [clips, *(path for path in clips.rglob("*") if path.is_dir())]
    for path in folders:
        path.chmod(0o555)
    try:
        assert check(clips, workers=1).faults == ()
    finally:
        for path in folders:
            path.chmod(0o755)


def test_all_that_is_wrong_with_a_folder_is_listed_by_kind(clips: Path) -> None:
    (clips / "train" / "走る" / "leer.mp4").touch()
    write_pictures(clips / "train" / "走る" / "one", 1)
    (clips / "train" / "走る" / "readme.txt").write_text("unused")
    shutil.move(clips / "val" / "走る", clips / "val" / "走")
    (clips / "val" / "走る").mkdir()
    linked = clips / "val" / "走る" / "twice.mp4"
    linked.symlink_to(clips / "train" / "Süße Übung" / "ein clip.mp4")
    report = check(clips, workers=2)
    assert report.counts == {"mislabelled": 2, "unreadable": 1, "short": 1}
    assert sum(report.counts.values()) == len(report.faults)
    assert [path.name for path in report.unused] == ["readme.txt"]
    rows = {fault.video: fault for fault in report.faults}
    empty = rows["走る/leer.mp4"]
    assert (empty.split, empty.label, empty.file, empty.line) == ("train", "走る", None, None)
    assert empty.path == str(clips / "train" / "走る" / "leer.mp4") and "0 bytes" in empty.reason
    assert "did you mean '走る'" in rows["走/ein clip.mp4"].reason
    assert "in class 'Süße Übung'" in rows["走る/twice.mp4"].reason


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_all_that_is_wrong_with_a_csv_is_listed_by_line(
    encoding: str, end: str, clips: Path
) -> None:
    lines = [
        "path,label,split",
        "train/走る/ein clip.mp4,走る,train",
        "train/Süße Übung/ein clip.mp4,Süße Übung,train",
        "val/走る/pictures,走る,val",
        "gone.mp4,走る,train",
        "train/走る/ein clip.mp4,Süße Übung,train",
        "train/走る/ein clip.mp4,走る,val",
        "val/走る/ein clip.mp4,走る,later",
        "val/走る/ein clip.mp4,走る,val,more",
        "val/走る/ein clip.mp4,,val",
    ]
    path = clips / "list.csv"
    path.write_bytes(end.join([*lines, ""]).encode(encoding))
    report = check(path, workers=1)
    assert report.num_videos == 3
    found = {fault.line: fault for fault in report.faults}
    assert {line: fault.kind for line, fault in found.items()} == {
        5: "missing",
        6: "mislabelled",
        7: "mislabelled",
        8: "malformed",
        9: "malformed",
        10: "malformed",
    }
    assert all(fault.file == "list.csv" for fault in report.faults)
    assert (found[5].video, found[5].label, found[5].split) == ("gone.mp4", "走る", "train")


def test_videos_of_a_csv_are_faulty_where_they_are_listed(clips: Path) -> None:
    (clips / "train" / "走る" / "ein clip.mp4").write_bytes(b"")
    path = clips / "list.csv"
    path.write_text("val/走る/pictures,a\ntrain/走る/ein clip.mp4,b\n", encoding="utf-8")
    fault = only(check(path, workers=1).faults)
    assert (fault.kind, fault.file, fault.line, fault.label) == ("unreadable", "list.csv", 2, "b")


@pytest.mark.parametrize(
    ("values", "says"), [({"min_frames": 0}, "--min-frames is 0"), ({"workers": 0}, "--workers")]
)
def test_settings_that_cannot_be(values: dict[str, int], says: str, clips: Path) -> None:
    with pytest.raises(ValueError, match=says):
        check(clips, **values)  # type: ignore[arg-type]


# known datasets


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory, miniature: ModuleType) -> Path:
    folder = tmp_path_factory.mktemp("originals")
    for name in NAMES:
        miniature.make_miniature(name, folder / name, num_frames=4)
    return folder


def check_known(name: str, root: Path) -> CheckReport:
    return check(DataSource(name, root=str(root)), workers=2)


@pytest.mark.parametrize("name", NAMES)
def test_a_whole_copy_has_no_fault(name: str, originals: Path) -> None:
    report = check_known(name, originals / name)
    assert report.faults == () and report.num_frames == 4 * report.num_videos > 0
    assert len(report.absent) == (name == "kinetics400")


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_and_a_broken_video_are_found_by_list_and_line(
    name: str, originals: Path, tmp_path: Path
) -> None:
    root = shutil.copytree(originals / name, tmp_path / name)
    videos = sorted(listed_paths(name, root))
    gone, broken = videos[0], videos[1]
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    if name in OF_PICTURES:
        (broken / "00002.jpg").unlink()
    else:
        broken.write_bytes(broken.read_bytes()[:50])
    report = check_known(name, root)
    missing = [f for f in (*report.faults, *report.absent) if f.kind == "missing"]
    missing = [fault for fault in missing if not fault.video.startswith("gone_since")]
    assert bool(report.absent) == (name == "kinetics400")
    assert only(missing).video.rpartition("/")[2].startswith(gone.stem)
    unreadable = only([fault for fault in report.faults if fault.kind == "unreadable"])
    assert unreadable.path == str(broken)
    for fault in (*missing, unreadable):
        lists = [path for path in root.rglob(str(fault.file)) if path.is_file()]
        assert fault.line is not None and fault.split in ("train", "val", "test")
        if name != "something_v2":
            line = only(lists).read_text("utf-8").splitlines()[fault.line - 1]  # type: ignore
            start = fault.video.rpartition("/")[2]
            assert (start[:11] if name == "kinetics400" else start) in line


def listed_paths(name: str, root: Path) -> list[Path]:
    from mixtconv.data.datasets.scanning import scan_videos

    return [video.path for video in scan_videos(DataSource(name, root=str(root))).videos]


@pytest.mark.parametrize("name", OF_PICTURES)
def test_a_label_that_is_none_is_mislabelled(name: str, originals: Path, tmp_path: Path) -> None:
    root = shutil.copytree(originals / name, tmp_path / name)
    (path,) = root.glob("*-train.csv")
    lines = path.read_text("utf-8").splitlines()
    key, _, label = lines[1].partition(";")
    path.write_text("\n".join([lines[0], f"{key};{label}x", *lines[2:]]), encoding="utf-8")
    fault = only(check_known(name, root).faults)
    assert (fault.kind, fault.video, fault.line) == ("mislabelled", key, 2)
    assert fault.label == f"{label}x" and repr(label)[1:-1] in fault.reason


def test_lists_that_name_no_videos_cannot_be_used(originals: Path, tmp_path: Path) -> None:
    root = shutil.copytree(originals / "jester", tmp_path / "jester")
    for word in ("train", "validation"):
        (root / f"jester-v1-{word}.csv").write_text("")
    with pytest.raises(ValueError, match="name no videos"):
        check_known("jester", root)


# lists


def test_files_of_a_list_are_read_whatever_their_suffix(tmp_path: Path, media: ModuleType) -> None:
    """In containers of other makers, under a suffix of no video, and under none."""
    frames = media.moving_frames(10)
    media.encode(tmp_path / "a.mxf", frames, codec="mpeg2video", pixel_format="yuv422p")
    media.encode(tmp_path / "b.asf", frames, codec="wmv2")
    media.encode(tmp_path / "c.3g2", frames)
    for seed, name in enumerate(("GL01.LRV", "d", "e.bin"), 1):
        other = media.encode(tmp_path / "other.3g2", media.moving_frames(10, seed=seed))
        other.rename(tmp_path / name)
    (tmp_path / "f.txt").write_text("no video at all")
    names = ("a.mxf", "b.asf", "c.3g2", "GL01.LRV", "d", "e.bin", "f.txt")
    (tmp_path / "list.csv").write_text("".join(f"{name},{name}\n" for name in names))
    report = check(tmp_path / "list.csv", workers=1)
    assert (report.num_videos, report.num_frames) == (7, 60)
    fault = only(report.faults)
    assert (fault.kind, fault.video) == ("unreadable", "f.txt")


def test_hdr_and_interlaced_videos_are_named(tmp_path: Path, media: ModuleType) -> None:
    (tmp_path / "jump").mkdir()
    coding = {"flags": "+ilme+ildct", "x264-params": "tff=1"}
    for seed, (name, options) in enumerate({"plain": {}, "fields": coding}.items()):
        frames = media.moving_frames(6, seed=seed)
        media.encode(tmp_path / "jump" / f"{name}.mp4", frames, options=options)
    hdr = {"x264-params": "transfer=arib-std-b67:colorprim=bt2020"}
    frames = media.moving_frames(6, seed=5)
    media.encode(tmp_path / "jump" / "phone.mp4", frames, options=hdr)
    report = check(tmp_path, workers=1)
    assert not report.faults
    assert "1 of 3 videos are HDR, read as SDR: jump/phone.mp4" in report.notes
    assert "1 of 3 videos are interlaced, read by one field: jump/fields.mp4" in report.notes
    values = report.to_dict()
    assert [Path(path).name for path in values["hdr"]] == ["phone.mp4"]
    assert [Path(path).name for path in values["interlaced"]] == ["fields.mp4"]


@pytest.mark.parametrize("line", ["gone.mp4,up,1,2", "a.mp4,up,-1,2", "a.mp4,up,3,2"])
def test_a_list_without_one_usable_segment_is_a_table_of_faults(
    line: str, media, tmp_path: Path
) -> None:
    media.encode(tmp_path / "a.mp4", media.moving_frames(10))
    (tmp_path / "list.csv").write_text(f"video,label,start,end\n{line}\n")
    report = check(tmp_path / "list.csv")
    assert [fault.line for fault in report.faults] == [2]
