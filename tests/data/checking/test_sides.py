"""What is on both sides of a split: copies of bytes, groups, clips that look alike."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from mixtconv.data.checking.copies import same_content
from mixtconv.data.checking.near_duplicates import near_duplicates, num_alike
from mixtconv.data.checking.report import MOST_SHOWN, CheckReport
from mixtconv.data.checking.run import check
from mixtconv.data.datasets.catalog import load_catalog
from mixtconv.data.listing import DataSource
from mixtconv.video.thumbnails import Thumbnails, thumbnail_step


def rows(report: CheckReport) -> set[tuple[str, str, str]]:
    """Kind, video and the beginning of the reason of every fault."""
    return {(f.kind, f.video, f.reason.split(" as ")[0]) for f in report.faults}


# copies of bytes


@pytest.fixture
def split_folder(tmp_path: Path, media: ModuleType) -> Path:
    """Two classes, two videos each to train on, all of different content."""
    for seed, name in enumerate(("jump/1", "jump/2", "run/1", "run/2")):
        path = tmp_path / "train" / f"{name}.mp4"
        path.parent.mkdir(parents=True, exist_ok=True)
        media.encode(path, media.moving_frames(4, height=32, width=32, seed=seed))
    for name in ("jump", "run"):
        (tmp_path / "val" / name).mkdir(parents=True)
    return tmp_path


def test_copies_contradict_in_class_leak_across_the_split_or_are_noted(split_folder: Path) -> None:
    train, val = split_folder / "train", split_folder / "val"
    shutil.copy(train / "jump/1.mp4", val / "jump/a.mp4")
    shutil.copy(train / "jump/1.mp4", train / "jump/b.mp4")
    shutil.copy(train / "run/1.mp4", train / "jump/c.mp4")
    (val / "run/d.mp4").hardlink_to(train / "run/2.mp4")
    for quick in (False, True):
        report = check(split_folder, workers=1, quick=quick)
        assert rows(report) == {
            ("leak", "jump/a.mp4", "the same bytes"),
            ("leak", "run/d.mp4", "the same file"),
            ("mislabelled", "run/1.mp4", "the same bytes"),
        }
        assert report.look_alikes == ()  # told once
        assert report.notes[-1] == "1 copy in the same class and split: jump/b.mp4 of jump/1.mp4"
    leak = next(fault for fault in report.faults if fault.video == "jump/a.mp4")
    assert leak.reason == (
        f"the same bytes as {train / 'jump/1.mp4'}, here in split 'val', there in 'train'"
    )
    assert (leak.split, leak.label, leak.path) == ("val", "jump", str(val / "jump/a.mp4"))


def test_symbolic_links_are_told_once(split_folder: Path) -> None:
    (split_folder / "val/jump/a.mp4").symlink_to(split_folder / "train/jump/1.mp4")
    report = check(split_folder, workers=1)
    assert rows(report) == {("mislabelled", "jump/a.mp4", "the same file")}


def test_copies_of_folders_of_pictures_are_found(split_folder: Path) -> None:
    first = split_folder / "train/jump/pictures"
    first.mkdir()
    for number in range(5):
        noise = np.random.default_rng(number).integers(0, 256, (16, 24, 3), dtype=np.uint8)
        Image.fromarray(noise).save(first / f"{number:03}.png")
    shutil.copytree(first, split_folder / "val/jump/the same")
    other = shutil.copytree(first, split_folder / "val/run/another")
    middle = (other / "002.png").read_bytes()
    (other / "002.png").write_bytes(middle[:-20] + bytes(20))  # of the same size
    report = check(split_folder, workers=1, quick=True)
    assert rows(report) == {("leak", "jump/the same", "the same bytes")}


def test_sizes_and_ends_do_not_decide(tmp_path: Path) -> None:
    data = bytearray(np.random.default_rng(0).bytes(1 << 19))
    contents = {"a": bytes(data), "b": bytes(data), "c": bytes(data[:-1])}
    data[1 << 18] ^= 1
    contents |= {"d": bytes(data), "e": b"", "f": b"", "g": b"x", "h": b"x"}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    paths = [tmp_path / name for name in (*contents, "missing")]
    found = [[path.name for path in same] for same in same_content(paths)]
    assert sorted(found) == [["a", "b"], ["g", "h"]]


def test_a_drawn_split_has_sides_too(tmp_path: Path, media: ModuleType) -> None:
    (tmp_path / "run").mkdir()
    for seed in range(12):
        (tmp_path / "jump").mkdir(exist_ok=True)
        jump = media.moving_frames(2, height=32, width=32, seed=seed)
        media.encode(tmp_path / "jump" / f"{seed}.mp4", jump)
        run = media.moving_frames(2, height=32, width=32, seed=100 + seed)
        media.encode(tmp_path / "run" / f"{seed}.mp4", run)
    held = {sample.path for sample in load_catalog(tmp_path).val}
    trained = [sample.path for sample in load_catalog(tmp_path).train]
    copied = next(path for path in trained if path.parent.name == "jump")
    target = next(path for path in held if path.parent.name == "jump")
    shutil.copy(copied, target)
    (fault,) = check(tmp_path, workers=1).faults
    assert fault.kind == "leak" and fault.path == str(target) and fault.split is None
    assert "here in the split 'val' that training draws, there in 'train'" in fault.reason
    assert check(tmp_path, workers=1).to_dict()["split_drawn"]


# groups


def test_groups_that_the_split_cuts_through_are_faults(split_folder: Path) -> None:
    for name in ("jump/1", "jump/3", "run/2"):
        path = split_folder / "val" / f"{name}.mp4"
        path.write_bytes(b"")
    source = DataSource(str(split_folder), group=r"(jump/\d|run/\d)\.mp4")
    found = {f.video: f.reason for f in check(source, workers=1).faults if f.kind == "leak"}
    assert found == {
        "jump/1.mp4": "group 'jump/1' is on several sides: 1 in 'train', 1 in 'val'",
        "run/2.mp4": "group 'run/2' is on several sides: 1 in 'train', 1 in 'val'",
    }


def test_recordings_that_published_lists_cut_through_are_said_and_no_faults(
    tmp_path: Path, miniature: ModuleType
) -> None:
    root = miniature.make_miniature("ucf101", tmp_path, num_frames=2)
    lists = root / "ucfTrainTestlist"
    videos = root / "UCF-101" / "Archery"
    trained = (lists / "trainlist01.txt").read_text().splitlines()[0].split()[0]
    other = videos / Path(trained).name.replace("_c01", "_c02")
    shutil.copy(root / "UCF-101" / trained, other)
    other.write_bytes(other.read_bytes() + b"\\0")
    with (lists / "testlist01.txt").open("a") as tested:
        tested.write(f"Archery/{other.name}\n")
    report = check(DataSource("ucf101", root=str(root)), workers=1)
    assert report.faults == ()
    group = trained.partition("_c01")[0]
    assert report.notes[-1].startswith("1 pair of videos")
    assert report.notes[-2].startswith(
        f"1 group on both sides of the split: {group} (1 in 'train', 1 in 'test')"
    )
    assert [pair.video.path for pair in report.look_alikes] == [other]


# clips that look alike

FRAMES = 60


def smooth_film(seed: int, num_frames: int = FRAMES, size: int = 96) -> NDArray[np.uint8]:
    """(T, H, W, 3): blobs that move each at its own pace over a ground of their own."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    film = np.zeros((num_frames, size, size))
    film += 80 * np.sin(
        2 * np.pi * (rng.integers(1, 4) * x + rng.integers(1, 4) * y + rng.random())
    )
    for _ in range(4):
        place, speed, phase = rng.random(2), rng.uniform(-1.5, 1.5, 2), rng.random()
        for t in range(num_frames):
            cy, cx = 0.5 + 0.4 * np.sin(2 * np.pi * (place + speed * t / num_frames + phase))
            film[t] += 120 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 0.02)
    grey = np.clip(128 + film / 3, 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=3)


def small(film: NDArray[np.uint8], *, every: int | None = None) -> Thumbnails:
    """Pictures of 12 x 12 as means of areas, by plain reshaping."""
    step = every or thumbnail_step(len(film))
    size = film.shape[1] // 12
    areas = film[::step, :, :, 0].reshape(-1, 12, size, 12, size).astype(float)
    return Thumbnails(areas.mean(axis=(2, 4)).round().astype(np.uint8), step)


def noisy(film: NDArray[np.uint8], seed: int) -> NDArray[np.uint8]:
    noise = np.random.default_rng(seed).normal(0, 6, film.shape[:3])[..., None]
    return np.clip(0.8 * film.astype(float) + 20 + noise, 0, 255).astype(np.uint8)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (slice(0, 60), slice(0, 60), 60),
        (slice(0, 60), slice(0, 60, 2), 60),  # at half the frame rate
        (slice(0, 40), slice(20, 60), 20),
        (slice(20, 60), slice(0, 40), 20),
        (slice(0, 60), slice(31, 51), 20),  # a part of the other, at another step
        (slice(0, 30), slice(30, 60), 0),  # one after the other
    ],
)
def test_cuts_of_one_recording_coincide_as_far_as_they_overlap(
    seed: int, first: slice, second: slice, expected: int
) -> None:
    film = smooth_film(seed)
    a, b = small(film[first]), small(noisy(film[second], seed))
    assert abs(num_alike(a, b) - expected) <= 6
    assert bool(num_alike(b, a)) == bool(num_alike(a, b)) == bool(expected)


def test_other_recordings_do_not() -> None:
    films = [small(smooth_film(seed)) for seed in range(12)]
    assert not any(num_alike(a, b) for a in films for b in films if a is not b)


def test_takes_in_one_room_do_not_however_still_it_is() -> None:
    room = np.random.default_rng(0).integers(0, 256, (12, 12, 1)).repeat(8, 0).repeat(8, 1)
    takes = []
    for seed in range(6):
        take = np.repeat(room[None], FRAMES, axis=0).repeat(3, axis=3).astype(np.uint8)
        hand = smooth_film(seed)
        take[:, 30:60, 30:60] = hand[:, 30:60, 30:60]
        takes.append(small(take))
    assert not any(num_alike(a, b) for a in takes for b in takes if a is not b)
    assert all(num_alike(a, a) for a in takes)


def test_stills_count_if_whole_and_blank_ones_never() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (2, 1, 12, 12), dtype=np.uint8)
    first, second = (Thumbnails(picture.repeat(20, axis=0), 1) for picture in pictures)
    blank = Thumbnails(np.full((20, 12, 12), 7, np.uint8), 1)
    titled = Thumbnails(np.concatenate([first.pictures[:8], second.pictures[:12]]), 1)
    assert num_alike(first, first) >= 19
    assert not any(num_alike(first, other) for other in (second, blank))
    assert not num_alike(blank, blank)
    # What two films have in common is a title that stands still.
    film = small(smooth_film(0), every=3)
    other = Thumbnails(np.concatenate([first.pictures[:8], film.pictures[:12]]), 1)
    assert not num_alike(titled, other)


def test_of_many_the_pairs_are_those_of_comparing_each_with_each() -> None:
    films = [smooth_film(seed, 40, 48) for seed in range(60)]
    clips = {Path(f"train/{seed}"): small(film[:30]) for seed, film in enumerate(films)}
    clips |= {
        Path(f"val/{seed}"): small(noisy(films[seed][6 + seed % 7 :], seed))
        for seed in range(0, 60, 3)
    }
    clips |= {Path(f"val/new {seed}"): small(smooth_film(seed, 30, 48)) for seed in range(90, 99)}
    first = [path for path in clips if path.parts[0] == "train"]
    second = [path for path in clips if path.parts[0] == "val"]
    pairs = {(pair.first, pair.second) for pair in near_duplicates(clips, first, second)}
    plainly = {(a, b) for a in first for b in second if num_alike(clips[a], clips[b])}
    assert pairs == plainly
    assert pairs == {(Path(f"train/{seed}"), Path(f"val/{seed}")) for seed in range(0, 60, 3)}


def write(path: Path, media: ModuleType, film: NDArray[np.uint8], **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    media.encode(path, film, **options)
    return path


def resized(film: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    pictures = [Image.fromarray(frame).resize((width, height)) for frame in film]
    return np.stack([np.asarray(picture) for picture in pictures])


def write_pictures(folder: Path, film: Sequence[NDArray[np.uint8]]) -> None:
    folder.mkdir(parents=True)
    for number, frame in enumerate(film):
        Image.fromarray(frame).save(folder / f"{number:03}.jpg", quality=80)


def test_a_check_names_what_looks_alike_on_both_sides(tmp_path: Path, media: ModuleType) -> None:
    films = [smooth_film(seed) for seed in range(6)]
    for seed, film in enumerate(films[:4]):
        write(tmp_path / f"train/jump/{seed}.mp4", media, film)
    write(tmp_path / "train/jump/0 again.mp4", media, resized(films[0], 64, 64))  # on its side
    worse = {"b": "60000"}
    write(tmp_path / "val/jump/small.avi", media, resized(films[0], 64, 48), codec="mpeg4",
          options=worse)  # fmt: skip
    write(tmp_path / "val/jump/cut.mp4", media, films[1][25:], options={"crf": "35"})
    write_pictures(tmp_path / "test/run/pictures", resized(films[2], 48, 48))
    turned = write(tmp_path / "val/jump/turned.mp4", media, np.rot90(films[3], axes=(1, 2)).copy())
    media.set_display_matrix(turned, 0, 1, -1, 0)
    write(tmp_path / "val/jump/other.mp4", media, films[4])
    write(tmp_path / "test/run/late.mp4", media, films[4][::2])  # of val
    report = check(tmp_path, workers=2)
    found = {(pair.video.key, pair.split, pair.other.key, pair.other_split)
             for pair in report.look_alikes}  # fmt: skip
    assert found == {
        ("jump/small.avi", "val", "jump/0.mp4", "train"),
        ("jump/small.avi", "val", "jump/0 again.mp4", "train"),
        ("jump/cut.mp4", "val", "jump/1.mp4", "train"),
        ("run/pictures", "test", "jump/2.mp4", "train"),
        ("jump/turned.mp4", "val", "jump/3.mp4", "train"),
        ("run/late.mp4", "test", "jump/other.mp4", "val"),
    }
    assert not [fault for fault in report.faults if fault.kind == "leak"]
    (note,) = [note for note in report.notes if "nearly coincide" in note]
    assert note.startswith("6 pairs of videos on both sides of the split nearly coincide")
    values = report.to_dict()
    assert values["num_near_duplicates"] == len(values["near_duplicates"]) == 6
    columns, lines = report.table_of_look_alikes()
    assert len(columns) == 5 and len(lines) == 6
    assert ["val/jump/cut.mp4", "val", "train/jump/1.mp4", "train"] in [line[:4] for line in lines]
    assert check(tmp_path, workers=1, quick=True).look_alikes == ()


def test_a_long_table_is_cut_and_says_so(tmp_path: Path, media: ModuleType, capsys) -> None:
    from mixtconv.cli.main import main

    number = MOST_SHOWN + 2
    for seed in range(number):
        film = smooth_film(seed, 16, 48)
        write(tmp_path / f"train/run/{seed}.mp4", media, film)
        write(tmp_path / f"val/run/{seed}.mp4", media, film, options={"crf": "30"})
    assert main(["check", str(tmp_path), "--workers", "1"]) == 0  # no faults
    captured = capsys.readouterr()
    assert f"the first {MOST_SHOWN} of {number}" in captured.out
    assert captured.out.count("val/run/") == MOST_SHOWN
    assert f"{number} pairs of videos on both sides" in captured.err


def test_a_path_is_no_copy_of_itself_but_of_its_hard_link(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"1234")
    os.link(tmp_path / "a", tmp_path / "b")
    assert same_content([tmp_path / "a", tmp_path / "a"]) == []
    assert same_content([tmp_path / "a", tmp_path / "b"]) == [[tmp_path / "a", tmp_path / "b"]]
