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

from mixtconv.models.spec import ModelSpec, Sampling

ClipPlacement = Literal["own", "dense", "tenths", "snippets"]
"""Placement of the clips of a test: by the model's own sampling; in dense windows spread evenly
from the first to the last (TSM); in dense windows that start at each tenth (of ten clips) of the
video and wrap to its start (Non-local); or one snippet at the centre of each of as many segments
(TSN)."""

DENSE_SPAN = 64
"""Frames that the dense clips of I3D, Non-local and TSM span."""


def random_clip(
    num_video_frames: int,
    num_frames: int,
    rng: np.random.Generator,
    *,
    sampling: Sampling = "segment",
    frame_stride: int = 8,
) -> list[int]:
    """Frame indices of one clip for training.

    Args:
        num_video_frames: frames of the video.
        num_frames: T.
        rng: random generator.
        sampling: `segment` or `dense`.
        frame_stride: distance of consecutive frames, for `dense`.

    >>> random_clip(80, 4, np.random.default_rng(0))
    [12, 25, 40, 60]
    """
    if sampling == "dense":
        last_start = max(0, num_video_frames - num_frames * frame_stride)
        return _window(
            num_video_frames, num_frames, int(rng.integers(last_start + 1)), frame_stride
        )
    return _segments(num_video_frames, num_frames, rng.random(num_frames))


def fixed_clips(
    num_video_frames: int,
    num_frames: int,
    *,
    num_clips: int = 1,
    sampling: Sampling = "segment",
    frame_stride: int = 8,
) -> list[list[int]]:
    """Frame indices of the clips of a video for testing, deterministic.

    Each segment clip takes its frames at one phase of the segments: the first at the centre, others
    at evenly spread phases, so that two clips are TSM's "twice sample" (centre and start). Dense
    windows are evenly spread; a single one is in the middle.

    >>> fixed_clips(80, 4, num_clips=2)
    [[10, 30, 50, 70], [0, 20, 40, 60]]
    """
    if sampling == "dense":
        last_start = max(0, num_video_frames - num_frames * frame_stride)
        starts = np.linspace(0, last_start, num_clips) if num_clips > 1 else [last_start // 2]
        return [_window(num_video_frames, num_frames, int(start), frame_stride) for start in starts]
    phases = [(0.5 + clip / num_clips) % 1 for clip in range(num_clips)]
    return [_segments(num_video_frames, num_frames, np.full(num_frames, phase)) for phase in phases]


def training_clip(spec: ModelSpec, num_video_frames: int, rng: np.random.Generator) -> list[int]:
    """`random_clip` with the sampling of a model."""
    return random_clip(
        num_video_frames,
        spec.num_frames,
        rng,
        sampling=spec.sampling,
        frame_stride=spec.frame_stride,
    )


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


def _own_clips(spec: ModelSpec, num_video_frames: int, num_clips: int) -> list[list[int]]:
    return fixed_clips(
        num_video_frames,
        spec.num_frames,
        num_clips=num_clips,
        sampling=spec.sampling,
        frame_stride=spec.frame_stride,
    )


def _dense_clips(spec: ModelSpec, num_video_frames: int, num_clips: int) -> list[list[int]]:
    return fixed_clips(
        num_video_frames,
        spec.num_frames,
        num_clips=num_clips,
        sampling="dense",
        frame_stride=_dense_stride(spec),
    )


def _clips_from_each_tenth(
    spec: ModelSpec, num_video_frames: int, num_clips: int
) -> list[list[int]]:
    starts = [num_video_frames * clip // num_clips for clip in range(num_clips)]
    stride = _dense_stride(spec)
    return [_window(num_video_frames, spec.num_frames, start, stride) for start in starts]


def _single_snippets(spec: ModelSpec, num_video_frames: int, num_clips: int) -> list[list[int]]:
    return [[frame] for frame in _segments(num_video_frames, num_clips, np.full(num_clips, 0.5))]


_PLACEMENTS: dict[ClipPlacement, Callable[[ModelSpec, int, int], list[list[int]]]] = {
    "own": _own_clips,
    "dense": _dense_clips,
    "tenths": _clips_from_each_tenth,
    "snippets": _single_snippets,
}


def _dense_stride(spec: ModelSpec) -> int:
    """The stride of a dense model's training, else the one at which a clip spans 64 frames."""
    return spec.frame_stride if spec.sampling == "dense" else max(1, DENSE_SPAN // spec.num_frames)


def _segments(num_video_frames: int, num_frames: int, phases: np.ndarray) -> list[int]:
    """One frame of each segment, at its phase from 0 to 1."""
    positions = (np.arange(num_frames) + phases) * num_video_frames / num_frames
    return np.minimum(positions.astype(int), num_video_frames - 1).tolist()


def _window(num_video_frames: int, num_frames: int, start: int, stride: int) -> list[int]:
    return ((start + stride * np.arange(num_frames)) % num_video_frames).tolist()
