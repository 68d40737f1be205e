"""Whether a camera stands still, on pictures whose motion is known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mixtconv.data.stillness import (
    LOOK_SIZE,
    NUM_LOOKS,
    camera_stands_still,
    grey_looks,
    looks_in,
    stillness,
)
from mixtconv.video.writer import write_video

TEXTURE = np.random.default_rng(0).integers(0, 256, (6, 400, 1, 1)).repeat(16, 0).repeat(16, 1)
"""Squares of 16 pixels in random grey, (96, 6400, 1, 1)."""


def video(path: Path, *, pan: int, num_frames: int = 24) -> Path:
    """A textured wall of 96 x 128 pixels, along which the camera goes by so many pixels a frame."""
    wall = TEXTURE[:, :, 0].repeat(3, 2).astype(np.uint8)
    frames = np.stack([wall[:, pan * i : pan * i + 128] for i in range(num_frames)])
    frames[:, 20:36, 20:36] = np.arange(num_frames).astype(np.uint8)[:, None, None, None] * 10
    write_video(path, frames, frames_per_second=25)
    return path


def test_frames_are_spread_over_the_clip() -> None:
    assert looks_in(12) == list(range(NUM_LOOKS))
    assert looks_in(1200) == list(range(50, 1200, 100))
    assert set(looks_in(1)) == {0}


def test_looks_are_mean_grey_values() -> None:
    frames = torch.randint(0, 256, (2, 3, 24, 64), dtype=torch.uint8)
    looks = grey_looks(frames)
    assert looks.shape == (2, *LOOK_SIZE)
    assert looks[1, 2, 5] == pytest.approx(frames[1, :, 4:6, 20:24].float().mean().item(), rel=1e-5)


def test_stillness_is_the_part_of_the_pixels_that_do_not_change() -> None:
    looks = np.zeros((12, 12, 16), np.float32)
    looks[::2, :3] = 20  # a quarter of the picture blinks by 10 grey levels from its mean
    looks[::2, 3:6] = 10  # another by 5, which is noise
    assert stillness(looks) == 0.75


def test_most_of_the_readable_videos_decide(tmp_path: Path) -> None:
    still = [video(tmp_path / f"still{i}.mp4", pan=0) for i in range(2)]
    moving = [video(tmp_path / f"moving{i}.mp4", pan=20) for i in range(3)]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    assert camera_stands_still(still)
    assert not camera_stands_still(moving)
    assert camera_stands_still([*still, moving[0], broken, broken])
    assert not camera_stands_still([*moving, still[0]])
    assert not camera_stands_still([broken])
