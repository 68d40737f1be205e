"""Frame indices of clips; no video is read.

    segment (TSN, arXiv 1608.00859): the video in T equal parts, one frame (f) of each

        |..f...|.f....|...f..|f.....|          training: a random place of its segment
        |...f..|...f..|...f..|...f..|          testing: the centre

    dense (I3D, TSM's `dense_sample`): T frames at a fixed stride (x = skipped)

        ......fxxxfxxxfxxxf.................   training: the window starts at a random place

All functions return frame indices from 0 to num_video_frames - 1. If a video is shorter than a
clip, `segment` repeats frames evenly, and `dense` wraps to the start of the video.
"""

from collections.abc import Callable
from typing import Literal

import numpy as np

from mixtconv.models.spec import ModelSpec

ClipPlacement = Literal["own", "dense", "tenths", "snippets"]
"""Placement of the clips of a test: by the model's own sampling; in dense windows spread evenly
from the first to the last (TSM); in dense windows that start at each tenth (of ten clips) of the
video and wrap to its start (Non-local); or one snippet at the centre of each of as many segments
(TSN)."""

DENSE_SPAN = 64
"""Frames that the dense clips of I3D, Non-local and TSM span."""


def training_clip(
    spec: ModelSpec, num_video_frames: int, rng: np.random.Generator, *, time_jitter: float = 0.0
) -> list[int]:
    """Frame indices of one clip for training, with the clip length and the sampling of a model.

    Args:
        spec: the model.
        num_video_frames: frames of the video.
        rng: random generator.
        time_jitter: largest fraction of the video that is left out at its ends, for `segment`; how
            much and where are random, so that speed and start vary.

    >>> spec = ModelSpec("tsn_resnet18", ("a", "b"), num_frames=4)
    >>> training_clip(spec, 80, np.random.default_rng(0))
    [12, 25, 40, 60]
    """
    if spec.sampling == "dense":
        start = int(rng.integers(_last_start(spec, num_video_frames) + 1))
        return _window(spec, num_video_frames, start)
    phases = rng.random(spec.num_frames)
    if not time_jitter:
        return _segments(num_video_frames, spec.num_frames, phases)
    left_out, before = rng.random(2) * (time_jitter, 1.0)
    start, length = left_out * before * num_video_frames, (1 - left_out) * num_video_frames
    positions = start + (np.arange(spec.num_frames) + phases) * length / spec.num_frames
    return np.minimum(positions.astype(int), num_video_frames - 1).tolist()


def fixed_clips(spec: ModelSpec, num_video_frames: int, num_clips: int) -> list[list[int]]:
    """Frame indices of the clips of a video for testing, deterministic.

    Each segment clip takes its frames at one phase of the segments: the first at the centre, others
    at evenly spread phases, so that two clips are TSM's "twice sample" (centre and start). Dense
    windows are evenly spread; a single one is in the middle.

    >>> fixed_clips(ModelSpec("tsn_resnet18", ("a", "b"), num_frames=4), 80, 2)
    [[10, 30, 50, 70], [0, 20, 40, 60]]
    """
    if spec.sampling == "dense":
        return _dense_clips(spec, num_video_frames, num_clips)
    length = spec.num_frames
    phases = [(0.5 + clip / num_clips) % 1 for clip in range(num_clips)]
    return [_segments(num_video_frames, length, np.full(length, phase)) for phase in phases]


def place_clips(
    placement: ClipPlacement, spec: ModelSpec, num_video_frames: int, num_clips: int
) -> list[list[int]]:
    """Frame indices of the clips of a video for testing, with the clip length of a model.

    >>> spec = ModelSpec("tsn_resnet18", ("a", "b"), num_frames=2)
    >>> place_clips("own", spec, 100, 2)
    [[25, 75], [0, 50]]
    >>> place_clips("dense", spec, 100, 3)
    [[0, 32], [18, 50], [36, 68]]
    >>> place_clips("snippets", spec, 100, 4)
    [[12], [37], [62], [87]]
    """
    return _PLACEMENTS[placement](spec, num_video_frames, num_clips)


def _dense_clips(spec: ModelSpec, num_video_frames: int, num_clips: int) -> list[list[int]]:
    last_start = _last_start(spec, num_video_frames)
    starts = np.linspace(0, last_start, num_clips) if num_clips > 1 else [last_start // 2]
    return [_window(spec, num_video_frames, int(start)) for start in starts]


def _clips_from_each_tenth(
    spec: ModelSpec, num_video_frames: int, num_clips: int
) -> list[list[int]]:
    starts = [num_video_frames * clip // num_clips for clip in range(num_clips)]
    return [_window(spec, num_video_frames, start) for start in starts]


def _single_snippets(spec: ModelSpec, num_video_frames: int, num_clips: int) -> list[list[int]]:
    return [[frame] for frame in _segments(num_video_frames, num_clips, np.full(num_clips, 0.5))]


_PLACEMENTS: dict[ClipPlacement, Callable[[ModelSpec, int, int], list[list[int]]]] = {
    "own": fixed_clips,
    "dense": _dense_clips,
    "tenths": _clips_from_each_tenth,
    "snippets": _single_snippets,
}


def _dense_stride(spec: ModelSpec) -> int:
    """The stride of a dense model's training, else the one at which a clip spans 64 frames."""
    return spec.frame_stride if spec.sampling == "dense" else max(1, DENSE_SPAN // spec.num_frames)


def _last_start(spec: ModelSpec, num_video_frames: int) -> int:
    """The last start of a dense window that lies in the video."""
    return max(0, num_video_frames - spec.num_frames * _dense_stride(spec))


def middles(number: int, count: int) -> list[int]:
    """The places in the middles of so many equal parts of 0 to `number` - 1.

    >>> middles(10, 4)
    [1, 3, 6, 8]
    """
    return [(2 * part + 1) * number // (2 * count) for part in range(count)]


def _segments(num_video_frames: int, num_frames: int, phases: np.ndarray) -> list[int]:
    """One frame of each segment, at its phase from 0 to 1."""
    positions = (np.arange(num_frames) + phases) * num_video_frames / num_frames
    return np.minimum(positions.astype(int), num_video_frames - 1).tolist()


def _window(spec: ModelSpec, num_video_frames: int, start: int) -> list[int]:
    frames = start + _dense_stride(spec) * np.arange(spec.num_frames)
    return (frames % num_video_frames).tolist()
