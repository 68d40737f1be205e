"""Frame indices: the arithmetic of TSN and of dense windows, against sums written out by hand."""

import numpy as np
import pytest

from mixtconv.models.spec import ModelSpec
from mixtconv.video.sampling import fixed_clips, training_clip


def spec(num_frames: int, **sampling: object) -> ModelSpec:
    return ModelSpec("tsn_resnet18", ("a",), num_frames=num_frames, **sampling)  # type: ignore[arg-type]


def test_centres_of_segments_are_those_of_tsm() -> None:
    """TSM's test indices: int(tick / 2 + tick * segment)."""
    for num_video_frames in (1, 3, 7, 8, 9, 50, 280, 1001):
        tick = num_video_frames / 8
        expected = [int(tick / 2 + tick * segment) for segment in range(8)]
        assert fixed_clips(spec(8), num_video_frames, 1) == [expected]


def test_two_clips_are_the_centres_and_the_starts_of_the_segments() -> None:
    tick = 100 / 8
    centres = [int(tick / 2 + tick * segment) for segment in range(8)]
    starts = [int(tick * segment) for segment in range(8)]
    assert fixed_clips(spec(8), 100, 2) == [centres, starts]


def test_random_segment_frames_stay_in_their_segments_and_reach_all_of_them() -> None:
    rng = np.random.default_rng(0)
    seen: list[set[int]] = [set() for _ in range(4)]
    for _ in range(600):
        clip = training_clip(spec(4), 20, rng)
        for segment, frame in enumerate(clip):
            assert 5 * segment <= frame < 5 * (segment + 1)
            seen[segment].add(frame)
    assert seen == [set(range(5 * segment, 5 * segment + 5)) for segment in range(4)]


def test_a_clip_from_a_random_part_covers_enough_of_the_video_at_any_place() -> None:
    rng = np.random.default_rng(0)
    plain, unchanged = np.random.default_rng(1), np.random.default_rng(1)
    assert training_clip(spec(50), 1000, plain) == training_clip(
        spec(50), 1000, unchanged, time_jitter=0.0
    )
    starts, spans = [], []
    for _ in range(400):
        clip = training_clip(spec(50), 1000, rng, time_jitter=0.4)
        assert clip == sorted(clip) and clip[0] >= 0 and clip[-1] < 1000
        starts.append(clip[0])
        spans.append(clip[-1] - clip[0])
    # first and last frame lie inside the first and last of 50 segments of 600 to 1000 frames
    assert 600 * 48 / 50 <= min(spans) < 620 and max(spans) > 950
    assert min(starts) < 10 and max(starts) > 300


@pytest.mark.parametrize("num_video_frames", [1, 2, 5, 7])
def test_short_videos_repeat_frames_in_order_and_use_all(num_video_frames: int) -> None:
    clip = training_clip(spec(8), num_video_frames, np.random.default_rng(3))
    assert clip == sorted(clip)
    (fixed,) = fixed_clips(spec(8), num_video_frames, 1)
    assert set(fixed) == set(range(num_video_frames))


def test_dense_windows_keep_the_stride_and_lie_inside() -> None:
    rng = np.random.default_rng(0)
    starts = set()
    for _ in range(500):
        clip = training_clip(spec(4, sampling="dense", frame_stride=8), 40, rng)
        assert np.diff(clip).tolist() == [8, 8, 8]
        assert clip[0] >= 0
        assert clip[-1] < 40
        starts.add(clip[0])
    assert starts == set(range(9))  # 40 - 4 * 8 = 8 is the last start


def test_dense_test_windows_are_spread_from_first_to_last_start() -> None:
    dense = spec(4, sampling="dense", frame_stride=8)
    clips = fixed_clips(dense, 100, 3)
    assert [clip[0] for clip in clips] == [0, 34, 68]
    assert fixed_clips(dense, 100, 1)[0][0] == 34


def test_dense_window_longer_than_the_video_starts_again() -> None:
    assert fixed_clips(spec(4, sampling="dense", frame_stride=4), 10, 1) == [[0, 4, 8, 2]]
