"""The synthetic dataset: order is all that partners differ in, and the files say what they should.

What a clip shows is measured here on its pixels (where the most colourful thing is, how large,
which way it points), without asking how it was rendered.
"""

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

from mixtconv.data.synthetic import classes, render_clip, synthesize

EASY = {c.name: c for c in classes("easy")}
HARD = {c.name: c for c in classes("hard")}
SEEDS = range(4)


def read(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


# Measurements on pixels, one number a frame. `frames` is (T, H, W, 3) uint8.


def saturation(frames: np.ndarray) -> np.ndarray:
    """Distance of the strongest from the weakest primary colour. (T, H, W)"""
    return frames.max(-1).astype(int) - frames.min(-1)


def colorful(frames: np.ndarray) -> np.ndarray:
    """Where a strong colour is. (T, H, W), True or False."""
    return saturation(frames) > 110


def of_color(frames: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Where this colour is, whatever its brightness. (T, H, W), True or False."""
    values = frames.astype(float) + 1e-3
    chroma = values / values.sum(-1, keepdims=True)
    wanted = np.array(color) / sum(color)
    return (np.abs(chroma - wanted).sum(-1) < 0.25) & colorful(frames)


def center(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean x and y of the pixels in each frame, as fractions of the side. Two of (T,)."""
    t, y, x = np.nonzero(mask)
    count = np.maximum(np.bincount(t, minlength=len(mask)), 1)
    side = mask.shape[1]
    return (
        np.bincount(t, x, len(mask)) / count / side,
        np.bincount(t, y, len(mask)) / count / side,
    )


def area(mask: np.ndarray) -> np.ndarray:
    return mask.mean((1, 2))


def spread(mask: np.ndarray) -> np.ndarray:
    """Root mean square distance of the pixels from their centre. (T,)"""
    steps = np.arange(mask.shape[1]) / mask.shape[1]
    result = []
    for picture in mask:
        ys, xs = np.nonzero(picture)
        result.append(np.hypot(steps[xs] - steps[xs].mean(), steps[ys] - steps[ys].mean()).mean())
    return np.array(result)


def pointing(mask: np.ndarray, mark: np.ndarray) -> np.ndarray:
    """Direction from a mark to the rest, degrees clockwise from upwards. (T,)"""
    x, y = center(mask)
    mark_x, mark_y = center(mark)
    return np.degrees(np.arctan2(x - mark_x, mark_y - y))


def rotation(frames: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """How a shape with a white or black mark at its tail points. (T,)"""
    mask = of_color(frames, color)
    sides = [
        np.maximum.accumulate(mask, axis=1),
        np.maximum.accumulate(mask[:, ::-1], axis=1)[:, ::-1],
        np.maximum.accumulate(mask, axis=2),
        np.maximum.accumulate(mask[:, :, ::-1], axis=2)[:, :, ::-1],
    ]
    enclosed = np.sum(sides, axis=0) >= 3  # has colour above, below, left, right: three of these
    return pointing(mask, enclosed & (saturation(frames) < 60))


# What grows from the beginning of a clip to its end, by class, and by how much at least.

GROWS = {
    "Moving something from left to right": (lambda f, c: center(of_color(f, c))[0], 0.3),
    "Moving something down": (lambda f, c: center(of_color(f, c))[1], 0.3),
    "Something approaching the camera": (lambda f, c: area(of_color(f, c)), 0.01),
    "Closing something": (lambda f, c: area(of_color(f, c)), 0.1),
    "Turning something clockwise": (rotation, 50.0),
    "Taking something out of something": (lambda f, c: area(of_color(f, c)), 0.004),
    "Uncovering something": (lambda f, c: area(of_color(f, c)), 0.004),
    "Moving something and something away from each other": (
        lambda f, c: spread(colorful(f)),
        0.05,
    ),
}


def growth(values: np.ndarray, *, is_angle: bool = False) -> float:
    """From the first three frames to the last three; for angles the shorter way round."""
    if is_angle:
        turns = np.exp(1j * np.radians(values))
        return float(np.degrees(np.angle(turns[-3:].mean() / turns[:3].mean())))
    return float(values[-3:].mean() - values[:3].mean())


def shown_class(frames: np.ndarray, color: tuple[int, int, int], motion: str) -> str:
    """Which of a motion's two classes the pixels show, or "neither"."""
    (name,) = [n for n in GROWS if EASY[n].motion == motion]
    measure, least = GROWS[name]
    amount = growth(measure(frames, color), is_angle=measure is rotation)
    if abs(amount) < least:
        return "neither"
    return name if amount > 0 else EASY[name].reverse


@pytest.mark.parametrize("name", EASY)
def test_pixels_show_the_class_backwards_its_reverse_and_flipped_its_mirror(name):
    for seed in SEEDS:
        clip = render_clip(name, seed=seed)
        motion = EASY[name].motion
        assert shown_class(clip.frames, clip.color, motion) == name
        assert shown_class(clip.frames[::-1], clip.color, motion) == EASY[name].reverse
        assert shown_class(clip.frames[:, :, ::-1], clip.color, motion) == EASY[name].mirror


@pytest.mark.parametrize("name", EASY)
def test_reversed_files_are_clips_of_the_partner(name, small_dataset):
    root, _ = small_dataset
    for number in range(2):
        frames = read(root / "val" / name / f"{number:05d}.mp4")
        partner = read(root / "val" / EASY[name].reverse / f"{number:05d}.mp4")
        assert not np.array_equal(frames, partner)
        assert np.array_equal(frames[::-1], partner)  # encoding adds no direction either


@pytest.mark.parametrize("level", ["easy", "hard"])
def test_with_one_seed_partners_hold_the_same_pictures_in_opposite_order(level):
    for c in classes(level):
        if c.is_paired:
            frames = render_clip(c.name, seed=3, size=32, level=level).frames
            partner = render_clip(c.reverse, seed=3, size=32, level=level).frames
            assert np.array_equal(frames[::-1], partner)


@pytest.mark.parametrize("level", ["easy", "hard"])
def test_names_pair_up_and_a_mirror_swaps_the_words_that_the_loader_swaps(level):
    by_name = {c.name: c for c in classes(level)}
    assert len(by_name) >= 12 and len(by_name) % 2 == 0
    swaps = {"left": "right", "right": "left"}
    swaps |= {"clockwise": "counterclockwise", "counterclockwise": "clockwise"}
    for c in by_name.values():
        assert by_name[c.reverse].reverse == c.name
        assert by_name[c.mirror].mirror == c.name
        assert c.mirror == " ".join(swaps.get(word, word) for word in c.name.split())
        assert c.is_paired or c.name.startswith("Lifting something t")


@pytest.mark.parametrize("name", ["Moving something from left to right", "Opening something"])
def test_no_side_and_no_end_is_preferred(name):
    ways = [render_clip(name, seed=seed, size=32).trajectory for seed in range(80)]
    middles = np.array([(way.start + way.end) / 2 for way in ways])
    asymmetry = np.array([way.x.mean() - 0.5 for way in ways])
    for values in (middles - 0.5, asymmetry):
        assert abs(values.mean()) < 4 * values.std() / np.sqrt(len(values)) + 1e-9


def test_lengths_and_speeds_span_what_is_promised():
    clips = [render_clip("Something approaching the camera", seed=s, size=32) for s in range(60)]
    lengths = [len(clip.frames) for clip in clips]
    spans = [clip.trajectory.end - clip.trajectory.start for clip in clips]
    assert min(lengths) >= 24 and max(lengths) <= 96
    assert min(lengths) < 32 and max(lengths) > 88
    assert min(spans) >= 0.2 - 1e-9 and min(spans) < 0.25 and max(spans) > 0.95


# Level hard: what each motion is for, read off the pixels.


def hard_clip(name: str, seed: int) -> tuple[np.ndarray, tuple[int, int, int]]:
    clip = render_clip(name, seed=seed, level="hard")
    return clip.frames, clip.color


@pytest.mark.parametrize(
    ("name", "count"), [("Lifting something twice", 2), ("Lifting something three times", 3)]
)
def test_lifts_can_be_counted(name, count):
    for seed in SEEDS:
        _, y = center(of_color(*hard_clip(name, seed)))
        up = y < (y.min() + y.max()) / 2
        assert np.count_nonzero(np.diff(up.astype(int)) == 1) == count


@pytest.mark.parametrize("speed", ["slowly", "quickly"])
def test_tempo_is_the_time_between_the_ends(speed):
    for seed in SEEDS:
        frames, color = hard_clip(f"Moving something {speed} from left to right", seed)
        x, _ = center(of_color(frames, color))
        place = (x - x.min()) / (x.max() - x.min())
        assert x[-1] > x[0]
        share = np.mean((place > 0.2) & (place < 0.8))
        assert share > 0.3 if speed == "slowly" else share < 0.3


@pytest.mark.parametrize("name", ["Something speeding up", "Something slowing down"])
def test_half_of_the_way_comes_late_when_speeding_up(name):
    for seed in SEEDS:
        x, y = center(of_color(*hard_clip(name, seed)))
        gone = np.hypot(x - x[0], y - y[0])
        half = np.argmax(gone > gone[-1] / 2) / len(gone)
        assert half > 0.5 if name == "Something speeding up" else half < 0.5


@pytest.mark.parametrize("name", [n for n in HARD if n.startswith("Spinning")])
def test_spins_turn_the_way_their_names_say(name):
    for seed in SEEDS:
        frames, color = hard_clip(name, seed)
        turns = np.exp(1j * np.radians(rotation(frames, color)))
        step = len(frames) // 8
        steps = np.angle(turns[step:] / turns[:-step])
        assert np.sign(np.median(steps)) == (-1 if "counterclockwise" in name else 1)
        if "moving" in name:
            _, y = center(of_color(frames, color))
            assert np.sign(growth(y)) == (-1 if name.endswith("up") else 1)


@pytest.mark.parametrize("name", [n for n in HARD if n.startswith("Lifting a ")])
def test_two_lifts_come_in_order_with_their_gap(name):
    for seed in SEEDS:
        clip = render_clip(name, seed=seed, level="hard")
        way = clip.trajectory  # the ball's; the box is the other coloured thing that rises
        ball_lift = (way.y.max() - way.y) > 0.2
        columns = np.arange(64) < 32
        ball_is_left = np.median(way.x) < 0.5
        values = []
        for side in (columns, ~columns):
            _, y = center(of_color(clip.frames, clip.color) & side)
            values.append(y)
        ball, box = values if ball_is_left else values[::-1]
        ball_up, box_up = (np.flatnonzero(y < (y.min() + y.max()) / 2) for y in (ball, box))
        assert abs(ball_up.mean() - np.flatnonzero(ball_lift).mean()) < 3
        first, second = (
            (ball_up, box_up) if name.startswith("Lifting a ball") else (box_up, ball_up)
        )
        gap = (second.min() - first.max()) / len(clip.frames)
        assert 0.35 < gap < 0.65 if "much later" in name else 0.0 < gap < 0.2


# The files.


@pytest.fixture(scope="module")
def small_dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("synthetic") / "data"
    seen = []
    made = synthesize(
        root, train_clips=1, val_clips=2, size=32, seed=5, workers=1,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen[-1] == (made.num_videos, made.num_videos)
    return root, made


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_layout_and_description(small_dataset):
    root, made = small_dataset
    expected = {f"train/{n}/00000.mp4" for n in EASY}
    expected |= {f"val/{n}/{i:05d}.mp4" for n in EASY for i in range(2)} | {"dataset.json"}
    assert set(contents(root)) == expected
    found = json.loads((root / "dataset.json").read_text())
    assert (found["level"], found["size"], found["seed"], found["complete"]) == (
        "easy",
        32,
        5,
        True,
    )
    assert [c["name"] for c in found["classes"]] == list(EASY)
    assert len(found["pairs"]) == 8 and made.num_videos == 48
    for file in root.rglob("*.mp4"):
        with av.open(str(file)) as container:
            stream = container.streams.video[0]
            assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 32, 32)


def test_bytes_depend_on_the_seed_and_not_on_the_workers(small_dataset, tmp_path):
    root, _ = small_dataset
    synthesize(tmp_path / "two", train_clips=1, val_clips=2, size=32, seed=5, workers=2)
    assert contents(tmp_path / "two") == contents(root)
    names = ["Moving something up", "Moving something down"]
    synthesize(tmp_path / "some", train_clips=2, val_clips=2, size=32, seed=5, class_names=names)
    synthesize(tmp_path / "other", train_clips=1, val_clips=2, size=32, seed=6, class_names=names)
    some, other = contents(tmp_path / "some"), contents(tmp_path / "other")
    clips = [k for k in other if k.endswith(".mp4")]
    assert all(some[k] == contents(root)[k] for k in clips)  # more clips, fewer classes: the same
    assert all(some[k] != other[k] for k in clips)
    assert len({data for k, data in some.items() if "/Moving something up/" in k}) == 4


def test_an_earlier_dataset_is_completed_and_nothing_else_is_touched(tmp_path):
    names = ["Opening something", "Closing something"]

    def make(**changed):
        settings = {"train_clips": 1, "val_clips": 1, "size": 32, "class_names": names} | changed
        return synthesize(tmp_path / "out", **settings)

    make()
    (tmp_path / "out" / "mine.txt").write_text("keep")
    (tmp_path / "out" / "train" / names[0] / "00000.mp4").unlink()
    make(train_clips=2)
    assert len(list((tmp_path / "out").rglob("*.mp4"))) == 6
    assert (tmp_path / "out" / "mine.txt").read_text() == "keep"
    for changed in ({"seed": 1}, {"size": 34}, {"level": "easy", "train_clips": 1}):
        with pytest.raises(ValueError, match="holds a synthetic dataset with other") as caught:
            make(**({"train_clips": 2} | changed))
        assert "\n" not in str(caught.value)


def test_a_folder_or_file_of_something_else_is_refused_and_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    for out, words in ((tmp_path, "is not empty"), (tmp_path / "notes.txt", "is a file")):
        with pytest.raises(ValueError, match=words):
            synthesize(out, train_clips=1, val_clips=1)
    (tmp_path / "dataset.json").write_text("{}")
    with pytest.raises(ValueError, match="is not empty"):
        synthesize(tmp_path, train_clips=1, val_clips=1)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dataset.json", "notes.txt"]


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"size": 65}, "size 65: it must be an even number from 32 to 512"),
        ({"size": 30}, "size 30"),
        ({"size": 514}, "size 514"),
        ({"level": "medium"}, "unknown level 'medium'"),
        ({"train_clips": 0}, "train_clips 0: it must be 1 or more"),
        ({"val_clips": -1}, "val_clips -1"),
        ({"seed": -1}, "seed -1"),
        ({"workers": -1}, "workers -1"),
        ({"class_names": ["Opening something"]}, "without its reverse"),
        ({"class_names": ["Opening"]}, "did you mean 'Opening something'"),
        ({"class_names": []}, "at least 2 are needed"),
    ],
)
def test_bad_settings_are_one_line_and_leave_no_folder(setting, words, tmp_path):
    with pytest.raises(ValueError, match=words) as caught:
        synthesize(tmp_path / "out", **setting)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("size", [32, 50, 200])
def test_any_even_size_gives_the_same_scene(size):
    clip = render_clip("Moving something up", seed=2, size=size)
    assert clip.frames.shape[1:] == (size, size, 3)
    x, y = center(of_color(clip.frames, clip.color))
    assert np.abs(x - clip.trajectory.x).max() < 0.06
    assert np.abs(y - clip.trajectory.y).max() < 0.06


def test_workers_start_without_heavy_imports():
    code = "import sys, mixtconv.data.synthetic.dataset; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("guard", ['if __name__ == "__main__": ', ""], ids=["guard", "no guard"])
def test_a_script_whose_videos_are_written_by_processes_runs_once(guard, tmp_path):
    call = "synthesize('out', size=32, train_clips=1, val_clips=1, workers=2)"
    script = tmp_path / "script.py"
    script.write_text(
        f"print('begins')\nfrom mixtconv.data.synthetic import synthesize\n{guard}{call}\n"
    )
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "begins\n"), done.stderr
    assert len(list((tmp_path / "out").rglob("*.mp4"))) == 32
