"""Long recordings: actions are where they are said to be, and what is between them is none.

The state of a scene is looked at frame by frame with plain loops, and the pixels of a few.
"""

import csv
import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from mixtconv.cli.main import main
from mixtconv.data.layouts import list_csv
from mixtconv.data.synthetic import (
    LongDataset,
    Recording,
    classes,
    draw_recording,
    recorded_classes,
    synthesize,
    synthesize_long,
)
from mixtconv.data.synthetic.scene import Actor

RATE = 24
UP_DOWN = ["Moving something up", "Moving something down"]


@pytest.fixture(scope="module", params=["easy", "hard"])
def recordings(request: pytest.FixtureRequest) -> list[Recording]:
    return [
        draw_recording(seed=seed, size=32, seconds=60, overlap=0.3, level=request.param)
        for seed in range(12)
    ]


def busy(recording: Recording) -> list[int]:
    """How many actions there are in each frame."""
    count = [0] * recording.num_frames
    for action in recording.actions:
        for frame in range(action.start, action.end):
            count[frame] += 1
    return count


def state(actor: Actor) -> np.ndarray:
    """Where an actor is, how large and how turned, in each frame in which it is there. (T, 5)"""
    assert actor.shown is not None
    series = (actor.x, actor.y, actor.width, actor.height, actor.angle)
    return np.stack([np.broadcast_to(values, len(actor.shown)) for values in series], axis=1)


# When.


def test_actions_take_1_to_6_seconds_and_nothing_three_times_as_long(recordings):
    shares, gaps = [], []
    for recording in recordings:
        assert recording.num_frames == 60 * RATE
        for action in recording.actions:
            start, end = action.seconds
            assert 1 <= end - start <= 6 and start > 0 and end < 60
            assert (start * RATE, end * RATE) == (action.start, action.end)
            assert (8 * start).denominator == (8 * end).denominator == 1  # a short decimal
        idle = "".join("." if n == 0 else "#" for n in busy(recording))
        shares.append(idle.count(".") / len(idle))
        gaps += [len(gap) for gap in idle.replace("#", " ").split()]
    assert 0.73 < np.mean(shares) < 0.82
    assert min(gaps) >= RATE and np.std(gaps) > 2 * RATE


def test_all_classes_are_as_frequent(recordings):
    names = [action.class_name for recording in recordings for action in recording.actions]
    level = "hard" if "Something speeding up" in names else "easy"
    assert set(names) == {c.name for c in recorded_classes(level)}
    assert {c.reverse for c in recorded_classes(level)} == set(names)
    counts = [names.count(name) for name in set(names)]
    assert max(counts) <= 4 * min(counts)


@pytest.mark.parametrize(
    ("overlap", "least", "most"), [(0.0, 0.0, 0.0), (0.4, 0.3, 0.5), (1.0, 0.85, 1.0)]
)
def test_the_share_of_overlaps_is_what_was_asked_for(overlap, least, most):
    alone, together = 0, 0
    for seed in range(25):
        recording = draw_recording(seed=seed, size=32, seconds=60, overlap=overlap)
        unpaired = 0
        for action in recording.actions:
            others = [a for a in recording.actions if a.start < action.end and action.start < a.end]
            assert len(others) <= 2
            assert len({a.class_name for a in others}) == len(others)
            unpaired += len(others) == 1
        assert overlap < 1 or unpaired == len(recording.actions) % 2
        alone, together = alone + unpaired, together + len(recording.actions) - unpaired
    assert least <= together / (alone + together) <= most


# What.


def test_a_motion_starts_and_ends_with_its_stretch_to_the_frame(recordings):
    for recording in recordings:
        for action, actor in zip(recording.actions, recording.performers, strict=True):
            values = state(actor)
            start, end = action.start - actor.shown.start, action.end - actor.shown.start
            changes = [bool(np.any(values[t] != values[t + 1])) for t in range(len(values) - 1)]
            assert not changes[start - 1] and changes[start]
            assert changes[end - 2] and not changes[end - 1]
            assert np.all(np.broadcast_to(actor.opacity, len(values))[start:end] == 1)


def test_outside_of_its_stretch_a_thing_stays_about_where_it_is(recordings):
    stirs, rests = 0, 0
    for recording in recordings:
        for action, actor in zip(recording.actions, recording.performers, strict=True):
            values = state(actor)
            start, end = action.start - actor.shown.start, action.end - actor.shown.start
            for rest, place in ((values[:start], values[start]), (values[end:], values[end - 1])):
                away = np.abs(rest - place)
                assert away[:, :2].max() <= 0.1 + 1e-9
                assert (away[:, 2:4] / place[2:4]).max() <= 0.1 + 1e-9
                assert away[:, 4].max() <= 12 + 1e-9
                stirs, rests = stirs + np.any(away > 0, axis=1).sum(), rests + len(away)
            inside = np.abs(values[start:end] - values[start]).max(0)
            assert max(inside[:2].max() / 0.3, inside[2] / 0.2, inside[4] / 80) >= 1
    assert 0.1 < stirs / rests < 0.6


DIRECTIONS = {
    "Moving something from left to right": (0, 1),
    "Moving something from right to left": (0, -1),
    "Moving something up": (1, -1),
    "Moving something down": (1, 1),
    "Something approaching the camera": (2, 1),
    "Something moving away from the camera": (2, -1),
    "Turning something clockwise": (4, 1),
    "Turning something counterclockwise": (4, -1),
}
"""What changes, of `state`, and in which direction."""


def test_a_stretch_shows_the_motion_of_its_class_and_no_stir():
    assert {c.name for c in recorded_classes("easy")} == set(DIRECTIONS)
    for seed in range(6):
        recording = draw_recording(seed=seed, size=32, seconds=120)
        for action, actor in zip(recording.actions, recording.performers, strict=True):
            what, sign = DIRECTIONS[action.class_name]
            part = state(actor)[action.start - actor.shown.start :][: action.num_frames]
            assert np.all(np.diff(part[:, what]) * sign > 0)


def test_things_move_between_actions_as_well(recordings):
    moving, still = 0, 0
    for recording in recordings:
        changed = np.zeros(recording.num_frames, bool)
        for actor in recording.actors:
            shown = actor.shown or range(recording.num_frames)
            for values in (actor.x, actor.y, actor.width, actor.angle):
                if np.ndim(values):
                    changed[shown.start + 1 : shown.stop] |= np.diff(values) != 0
        nothing = np.array(busy(recording)) == 0
        moving, still = moving + (changed & nothing).sum(), still + (~changed & nothing).sum()
    assert moving > 0.3 * (moving + still)


def test_a_recording_has_one_look_and_another_one_another():
    looks = []
    for seed in range(4):
        recording = draw_recording(seed=seed, size=32, seconds=60)
        assert 2 <= len({(p.look.color, p.look.mark) for p in recording.performers}) <= 4
        colors = {p.look.color for p in recording.performers}
        assert len(colors) <= 2
        looks.append((np.asarray(recording.background).tobytes(), *sorted(colors)))
    assert len(set(looks)) == 4


def without(recording: Recording, actor: Actor) -> Recording:
    """The same recording without one of its things."""
    return replace(recording, actors=tuple(a for a in recording.actors if a is not actor))


def test_the_picture_follows_the_state_to_the_frame():
    names = ["Moving something from left to right", "Moving something from right to left"]
    recording = draw_recording(seed=1, seconds=20, overlap=0.0, class_names=names)
    action, actor = recording.actions[0], recording.performers[0]
    acting, resting = [], []
    pairs = zip(recording.frames(), without(recording, actor).frames(), strict=True)
    for t, (frame, bare) in enumerate(pairs):
        if actor.shown.start + 6 <= t < actor.shown.stop - 6:
            seen = np.nonzero(np.abs(frame.astype(int) - bare).max(-1) > 40)[1].mean() / 64
            away = seen - actor.x[t - actor.shown.start] - recording.camera.x[t]
            (acting if action.start <= t < action.end else resting).append(away)
    step = np.abs(np.diff(actor.x)).sum() / action.num_frames
    assert len(resting) > 10 and abs(np.mean(acting) - np.mean(resting)) < step / 4


def test_a_thing_is_seen_only_while_it_is_there():
    recording = draw_recording(seed=3, size=32, seconds=20, overlap=0.0)
    actor = recording.performers[0]
    pairs = zip(recording.frames(), without(recording, actor).frames(), strict=True)
    for t, (frame, bare) in enumerate(pairs):
        assert np.array_equal(frame, bare) or t in actor.shown
        # The fades begin and end faintly.
        if t in (actor.shown.start, actor.shown.stop - 1):
            assert np.abs(frame.astype(int) - bare).max() < 70
        if t == recording.actions[0].start:
            assert np.abs(frame.astype(int) - bare).max() > 70


# The files.


FEW = {"train_recordings": 2, "val_recordings": 1, "test_recordings": 1, "seconds": 20, "size": 32}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> LongDataset:
    root = tmp_path_factory.mktemp("recordings") / "long"
    return synthesize_long(root, **FEW, overlap=0.0, class_names=UP_DOWN, seed=2, workers=1)


@pytest.fixture(scope="module")
def written(made: LongDataset) -> Path:
    return made.root


def contents(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_the_list_says_what_the_files_show(made, written):
    with (written / "segments.csv").open() as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0]) == ["video", "label", "start", "end", "split"]
    names = {"recordings/train-00000.mp4": "train", "recordings/train-00001.mp4": "train",
             "recordings/val-00000.mp4": "val", "recordings/test-00000.mp4": "test"}  # fmt: skip
    assert {line["video"]: line["split"] for line in lines} == names
    assert {line["label"] for line in lines} == set(UP_DOWN)
    assert [
        (line["label"], Fraction(line["start"]) * RATE, Fraction(line["end"]) * RATE)
        for line in lines
    ] == [(a.class_name, a.start, a.end) for r in made.recordings for a in r.actions]
    for name, own in ((name, [a for a in lines if a["video"] == name]) for name in names):
        with av.open(str(written / name)) as container:
            frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
        assert len(frames) == 20 * RATE
        usual = np.median(frames, axis=0)  # without what comes and goes
        assert [Fraction(a["start"]) for a in own] == sorted(Fraction(a["start"]) for a in own)
        for line in own:
            first, end = (Fraction(line[border]) * RATE for border in ("start", "end"))
            assert first.denominator == end.denominator == 1
            heights = []
            for number in (int(first), int(end) - 1):
                rows, _ = np.nonzero(np.abs(frames[number] - usual).max(-1) > 70)
                heights.append(rows.mean())
            rise = heights[0] - heights[1]
            assert rise > 8 if line["label"] == "Moving something up" else rise < -8


def test_the_list_is_read_as_segments_without_a_fault(written):
    listing = list_csv(written / "segments.csv")
    assert listing.faults == () and listing.notes == ()
    assert all(video.span is not None and video.path.is_file() for video in listing.videos)
    assert {video.split for video in listing.videos} == {"train", "val", "test"}


def test_bytes_depend_on_the_seed_and_not_on_the_workers_or_on_how_many_there_are(
    written, tmp_path
):
    settings = FEW | {"overlap": 0.0, "class_names": UP_DOWN}
    synthesize_long(tmp_path / "two", **settings, seed=2, workers=2)
    assert contents(tmp_path / "two") == contents(written)
    synthesize_long(tmp_path / "two", **(settings | {"val_recordings": 2}), seed=2, workers=1)
    more = contents(tmp_path / "two")
    added = {"recordings/val-00001.mp4"}
    videos = {name for name in more if name.endswith(".mp4")}
    assert videos - set(contents(written)) == added
    assert all(more[name] == contents(written)[name] for name in videos - added)
    assert set(contents(written)["segments.csv"].splitlines()) < set(
        more["segments.csv"].splitlines()
    )
    one = FEW | {"train_recordings": 1, "val_recordings": 1, "test_recordings": 0}
    synthesize_long(tmp_path / "other", **one, seed=3, workers=1)
    other = contents(tmp_path / "other")
    assert len(other) == 4 and not set(other.values()) & set(more.values())


def test_the_description_is_complete_and_other_settings_are_refused(written, tmp_path):
    found = json.loads((written / "dataset.json").read_text())
    assert found["complete"] and found["format"] == "mixtconv synthetic recordings"
    assert (found["seconds"], found["overlap"], found["frames_per_second"]) == (20, 0.0, 24)
    assert found["pairs"] == [UP_DOWN] and found["train_recordings"] == 2
    settings = FEW | {"overlap": 0.0, "class_names": UP_DOWN, "seed": 2}
    before = contents(written)
    for changed in ({"seconds": 21}, {"overlap": 0.1}, {"seed": 1}, {"train_recordings": 1}):
        with pytest.raises(ValueError, match=f"with other {next(iter(changed))}: .* no fewer"):
            synthesize_long(written, **(settings | changed))
    with pytest.raises(ValueError, match="is of 'mixtconv synthetic recordings': the dataset"):
        synthesize(written, train_clips=1, val_clips=1, size=32)
    assert contents(written) == before


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"seconds": 7}, "seconds 7: recordings must be of 8 to 21600 seconds"),
        ({"seconds": 21601}, "seconds 21601"),
        ({"overlap": 1.5}, "overlap 1.5: .* give 0 to 1"),
        ({"overlap": float("nan")}, "overlap nan"),
        ({"train_recordings": 0}, "train_recordings 0: it must be 1 or more"),
        ({"val_recordings": 0}, "val_recordings 0"),
        ({"test_recordings": -1}, "test_recordings -1: it must be 0 or more"),
        ({"size": 33}, "size 33"),
        ({"seed": -1}, "seed -1"),
        ({"level": "medium"}, "unknown level 'medium'"),
        ({"class_names": UP_DOWN[:1]}, "without its reverse"),
        ({"class_names": ["Opening something"]}, "unknown class in recordings of level easy"),
    ],
)
def test_bad_settings_are_one_line_and_leave_no_folder(setting, words, tmp_path):
    with pytest.raises(ValueError, match=words) as caught:
        synthesize_long(tmp_path / "out", **setting)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_what_recordings_show_are_classes_with_their_partners():
    for level in ("easy", "hard"):
        everything, shown = classes(level), recorded_classes(level)
        assert set(shown) < set(everything) and len(shown) >= 6
        assert {c.reverse for c in shown} == {c.mirror for c in shown} == {c.name for c in shown}


# The command.


def test_the_command_says_what_it_made(tmp_path, capsys):
    flags = "--long --train-recordings 1 --val-recordings 1 --test-recordings 0 --seconds 8"
    out = str(tmp_path / "out")
    words = ["synthesize", *flags.split(), "--size", "32", "--overlap", "0", "--out", out]
    assert main([*words, "--workers", "1", "--format", "json"]) == 0
    made = json.loads(capsys.readouterr().out)
    with Path(made["segments"]).open() as file:
        lines = list(csv.DictReader(file))
    assert made["num_videos"] == 2 and len(made["classes"]) == 8
    for split in ("train", "val"):
        own = [line for line in lines if line["split"] == split]
        assert made["splits"][split] == {
            "recordings": 1,
            "seconds": 8,
            "actions": len(own),
            "overlapping": 0,
            "seconds_of_action": sum(float(a["end"]) - float(a["start"]) for a in own),
        }


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ("--seconds 8 --overlap 0", "--seconds, --overlap: for long recordings; give --long too"),
        ("--long --val-clips 3", "--val-clips: not for long recordings"),
    ],
)
def test_flags_of_the_other_kind_are_refused(flags, words, tmp_path, capsys):
    assert main(["synthesize", *flags.split(), "--out", str(tmp_path / "out")]) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
