"""Which pictures of a folder are frames, and in which order, by their names."""

import random
import tracemalloc
from pathlib import Path

import pytest

from mixtconv.video.find import natural_order
from mixtconv.video.folder import check_numbers, list_frames
from mixtconv.video.pictures import UnreadableVideoError


def frames_of(folder: Path, names: list[str]) -> list[str]:
    """The frames of a folder of these pictures, which may be empty files: only names count."""
    folder.mkdir(exist_ok=True)
    for name in random.Random(0).sample(names, len(names)):
        (folder / name).touch()
    return list_frames(folder)


STRAY = ["thumb.jpg", "cover.png", "folder.jpg", "a.jpg", "00003_mask.png", "00003 (1).jpg"]


@pytest.mark.parametrize("stray", [[], *([name] for name in STRAY), STRAY[:5]])
@pytest.mark.parametrize("pattern", ["{:05d}.jpg", "IMG_{}.PNG", "v1_{:03d}_640x480.jpg"])
def test_frames_are_those_of_one_naming(pattern: str, stray: list[str], tmp_path: Path) -> None:
    names = [pattern.format(number) for number in range(1, 21)]
    folder = tmp_path / "clip"
    assert frames_of(folder, [*names, *stray]) == names
    (folder / names[6]).unlink()  # whatever is beside them, a gap is one
    with pytest.raises(UnreadableVideoError, match="1 of frames 1 to 20 missing: 7;"):
        list_frames(folder)


def test_as_many_masks_as_frames_are_no_frames(tmp_path: Path) -> None:
    names = [f"{number:05d}.jpg" for number in range(9)]
    assert frames_of(tmp_path, names + [f"{n:05d}_mask.png" for n in range(9)]) == names


def test_pictures_that_all_are_named_so_are_frames(tmp_path: Path) -> None:
    names = [f"mask_{number}.png" for number in range(12)]
    assert frames_of(tmp_path, names) == names


def test_two_kinds_of_one_numbering_are_refused(tmp_path: Path) -> None:
    names = [f"{kind}_{number}.png" for kind in ("rgb", "ir") for number in range(4)]
    with pytest.raises(UnreadableVideoError, match=r"such as ir_0\.png and rgb_0\.png; leav"):
        frames_of(tmp_path, names)


@pytest.mark.parametrize(
    "names",
    [
        ["a.jpg", "b.jpg", "c.jpg"],
        ["3f9a.jpg", "a07.jpg", "c2b1.jpg", "d.jpg"],
        ["walk1.jpg", "walk2.jpg", "zoom3.jpg", "zoom4.jpg"],
    ],
)
def test_without_one_naming_all_are_frames(names: list[str], tmp_path: Path) -> None:
    assert frames_of(tmp_path, names) == names


START = 1403636579763555584
TIMES = {
    "ns": [f"{START + 50_000_000 * i}.png" for i in range(20)],
    "us": [f"{1699999999123456 + 33_333 * i + i % 3}.jpg" for i in range(20)],
    "ms": [f"{1699999999123 + 33 * i}.jpg" for i in range(20)],
    "ms of 120 frames a second": [f"frame_{round(i * 1000 / 120)}.jpg" for i in range(200)],
    "with a pause": [f"{1000 * i + 10**7 * (i > 5)}.jpg" for i in range(12)],
    "seconds": [f"{1526 + i // 4}.{250_000 * (i % 4):06d}.jpg" for i in range(9)],
    "short decimals": [f"frame_{i * 0.25:g}s.jpg" for i in range(12)],
    "hundredths": [f"{i * 0.04:g}.png" for i in range(60)],
    "within a second": [f"0.{4 * i:02d}.png" for i in range(24)],
    "dates": [f"2024-05-06_12-{i // 60:02d}-{i % 60:02d}.jpg" for i in range(50, 70)],
}


@pytest.mark.parametrize("kind", TIMES)
def test_names_that_are_times_are_an_order(kind: str, tmp_path: Path) -> None:
    assert frames_of(tmp_path / "a", TIMES[kind]) == TIMES[kind]
    kept = [name for place, name in enumerate(TIMES[kind]) if place % 5 != 3]
    assert frames_of(tmp_path / "b", [*kept, "thumb.jpg"]) == kept


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        ([f"shot1.{i:04d}.jpg" for i in (1, 2, 4, 5)], "1 of frames 1 to 5 missing: 3"),
        ([f"v2.{i}.jpg" for i in (8, 9, 10, 12)], "1 of frames 8 to 12 missing: 11"),
        ([f"{i}.jpg" for i in range(0, 40, 2)], "19 of frames 0 to 38 missing: 1, 3, 5, 7, 9, ..."),
        (
            [f"{i}.jpg" for i in (1, 2, 3, 9999999999999)],
            "9999999999995 of frames 1 to 9999999999999 missing: 4, 5, 6, 7, 8, ...",
        ),
    ],
)
def test_counts_must_have_no_gap(names: list[str], missing: str, tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideoError) as caught:
        frames_of(tmp_path, names)
    assert missing in str(caught.value)


def test_order_of_two_counts_is_that_of_both(tmp_path: Path) -> None:
    names = [f"part{part}.{number}.jpg" for part in (1, 2, 10) for number in range(8, 13)]
    assert frames_of(tmp_path, names) == names == natural_order(names)


@pytest.mark.parametrize("numbers", [[1, 2, 10**18], [1, 2, 3, 4, 10**30], [0, 10**200]])
def test_checking_numbers_takes_what_their_count_takes(numbers: list[int]) -> None:
    tracemalloc.start()
    try:
        check_numbers("clip", numbers, "frames")
    except UnreadableVideoError as error:
        assert f"{numbers[-1] + 1 - numbers[0] - len(numbers)} of frames" in str(error)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000
