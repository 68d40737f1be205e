"""Windows of a long video: which frames lie in which."""

from fractions import Fraction

import numpy as np
import pytest

from mixtconv.video.timing import TimedItem, timed_frames
from mixtconv.video.windows import WindowPlan, windows


def _items(times: list) -> list[TimedItem]:
    return [TimedItem(n, Fraction(t), Fraction(t) + 1, None) for n, t in enumerate(times)]


def _numbers(times: list, length: str, stride: str | None = None) -> list[list[int]]:
    found = windows(_items(times), WindowPlan.parse(length, stride))
    return [[item.number for item in window.frames] for window in found]


def _reference(times: list, length: Fraction, stride: Fraction) -> list[list[int]]:
    """All windows whose end the video reaches, and of the others what brings a new frame."""
    found, seen, k = [], -1, 0
    while k * stride <= times[-1]:
        start = k * stride
        inside = [n for n, t in enumerate(times) if start <= t < start + length]
        passed = times[-1] >= start + length
        if inside and (passed or inside[-1] > seen):
            found.append(inside)
            seen = inside[-1]
        k += 1
    return found


@pytest.mark.parametrize("seed", range(30))
def test_windows_are_those_of_a_search_through_all_frames(seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = rng.choice([0, 1, 2, 3, 40], size=60, p=[0.05, 0.6, 0.2, 0.1, 0.05])
    times = [Fraction(int(t), 3) for t in np.cumsum(steps) - steps[0]]
    length = Fraction(int(rng.integers(1, 20)), int(rng.integers(1, 4)))
    stride = Fraction(int(rng.integers(1, 20)), int(rng.integers(1, 4)))
    found = windows(_items(times), WindowPlan(length, stride))
    got = [[item.number for item in window.frames] for window in found]
    assert got == _reference(times, length, stride)


def test_frames_are_counted_where_windows_are_in_frames() -> None:
    times = [0, 5, 6, 7, 100, 101, 102, 300]
    assert _numbers(times, "3f", "2f") == [[0, 1, 2], [2, 3, 4], [4, 5, 6], [6, 7]]


def test_a_video_shorter_than_a_window_is_one_window() -> None:
    [window] = windows(_items([0, 1, 2]), WindowPlan.parse("60s", "1s"))
    assert len(window.frames) == 3
    assert (window.start, window.end, window.is_whole) == (0, 3, False)


def test_the_video_may_end_with_its_last_window() -> None:
    whole = [window.is_whole for window in windows(_items([*range(8)]), WindowPlan.parse("4s"))]
    assert whole == [True, True]
    assert _numbers([*range(9)], "4s") == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]


def test_no_frame_gives_no_window_and_frames_are_let_go() -> None:
    assert _numbers([], "4s") == []
    held = []

    def frames():
        for n in range(1000):
            yield TimedItem(n, Fraction(n), Fraction(n + 1), held.append(n))

    for window in windows(frames(), WindowPlan.parse("10s", "5s")):
        assert held[-1] - window.frames[0].number <= 10  # nothing is read ahead


@pytest.mark.parametrize(
    ("length", "stride", "says"),
    [
        ("0s", None, "--window is 0; give more than 0"),
        ("4s", "0s", "--stride is 0; give more than 0"),
        ("4 parsecs", None, "give seconds such as 4s"),
        ("-4s", None, "give seconds"),
        ("4s", "8f", "both in seconds or both in frames"),
        ("2.5f", None, "whole number of frames"),
    ],
)
def test_what_is_no_window_is_refused(length: str, stride: str | None, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        WindowPlan.parse(length, stride)


def test_durations_are_exact() -> None:
    assert WindowPlan.parse("0.1", "100ms").length == WindowPlan.parse("0.1", "100ms").stride
    assert WindowPlan.parse("2m").length == 120


def test_frames_have_the_times_of_the_file(tmp_path, media) -> None:
    times = [60, 80, 110, 120, 260, 290]  # of 1/600 s; the last three come out at the very end
    path = media.encode(tmp_path / "clip.mkv", media.moving_frames(6), times=times)
    frames = list(timed_frames(path))
    starts = [float(frame.seconds) for frame in frames]
    assert starts == pytest.approx([(t - 60) / 600 for t in times], abs=1e-3)
    assert all(frame.end_seconds == frame.seconds + Fraction(1, 25) for frame in frames)
