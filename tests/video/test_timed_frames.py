"""Times of frames: in order, without drift, whatever the file says."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from mixtconv.video import timing as module
from mixtconv.video.survey import survey_file
from mixtconv.video.timing import timed_frames

FALLING = (4, 8, 16, 12, 20, 28, 24, 32, 40, 36)  # hundredths of a second, as an AVI has them


@pytest.fixture
def shown(monkeypatch):
    """The starts, in hundredths of a second, that frames with such times are shown at."""

    def starts(*hundredths: float | None) -> list[float]:
        frames = [SimpleNamespace(seconds=None if value is None else Fraction(value, 100))
                  for value in hundredths]  # fmt: skip
        monkeypatch.setattr(module, "decode_every", lambda path: iter(frames))
        monkeypatch.setattr(module, "frame_rate", lambda path: Fraction(25))
        given = list(timed_frames("clip"))
        assert [item.kept for item in given] == frames  # pictures stay in their order
        assert all(item.end_seconds - item.seconds == Fraction(1, 25) for item in given)
        return [float(item.seconds * 100) for item in given]

    return starts


def test_neighbours_with_each_others_times_change_them(shown) -> None:
    assert shown(*FALLING) == [0, 4, 8, 12, 16, 20, 24, 28, 32, 36]


def test_times_never_fall_and_a_wrong_one_moves_no_other(shown) -> None:
    assert shown(0, 30, 20, 10, 40) == [0, 20, 20, 30, 40]
    assert shown(0, 4, 8, 3, 12, 7, 16) == [0, 4, 4, 8, 8, 12, 16]


def test_a_clock_that_is_set_back_goes_on(shown) -> None:
    assert shown(100, 104, 500, 0, 4, 8) == [0, 4, 400, 404, 408, 412]


def test_a_frame_without_time_follows_a_period_later(shown) -> None:
    assert shown(None, None, 8, None, 16) == [0, 4, 8, 12, 16]
    assert shown(None, None, None, 2, 6, 10) == [0, 4, 8, 12, 16, 20]


def test_a_real_clip_is_as_long_as_it_says(shared_videos) -> None:
    frames = list(timed_frames(shared_videos / "apply_eye_makeup.avi"))
    assert len(frames) == 164 and float(frames[-1].end_seconds) == pytest.approx(6.56)


@pytest.mark.parametrize(
    ("codec", "options"),
    [
        ("libx264", {"x264-params": "bframes=8:b-pyramid=normal:b-adapt=0:scenecut=0"}),
        ("mpeg4", {"bf": "2"}),
        ("mpeg4", {}),
    ],
)
def test_frames_of_an_avi_are_at_the_ticks_of_its_clock(codec, options, media, tmp_path) -> None:
    frames = media.moving_frames(30)
    path = media.encode(tmp_path / "a.avi", frames, codec=codec, options=options)
    shown = list(timed_frames(path))
    assert [frame.seconds for frame in shown] == [Fraction(tick, 25) for tick in range(30)]
    pictures = media.decode_all(path)  # they stay in their order
    assert all(np.array_equal(f.kept.to_rgb(), p) for f, p in zip(shown, pictures, strict=True))


def test_an_avi_may_leave_ticks_out(media, tmp_path) -> None:
    ticks = [0, 1, 2, 9, 10, 11, 30, 31]
    times = [24 * tick for tick in ticks]  # in 1/600 s
    frames = media.moving_frames(len(ticks))
    path = media.encode(tmp_path / "a.avi", frames, codec="mpeg4", times=times)
    assert [frame.seconds for frame in timed_frames(path)] == [Fraction(t, 25) for t in ticks]
    assert survey_file(path).damage() is None
