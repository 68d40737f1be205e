"""A dataset of which pictures tell one half of the class and motion the other half.

Four classes: a textured square, red or blue, that moves to the left or to the right over a textured
background. It starts anywhere and wraps round at the edges, so that one frame says nothing of the
motion; flow is computed from grey values, in which the two colours have the same textures, so that
it says nothing of the colour.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtconv.video.writer import write_video

COLOURS = {"red": 0, "blue": 2}
MOTIONS = {"left": -1, "right": 1}
HEIGHT, WIDTH, SIDE = 64, 96, 36
NUM_FRAMES = 24
SPEED = 3
"""Pixels from one frame to the next."""

Frame = npt.NDArray[np.uint8]


def make_two_stream_dataset(root: Path, *, videos_per_class: int, seed: int) -> None:
    """Write `root/{train,val}/{red,blue}_{left,right}/*.mp4`; a third of the videos is for val."""
    num_val = max(1, videos_per_class // 3)
    for label, (colour, motion) in enumerate((c, m) for c in COLOURS for m in MOTIONS):
        for number in range(videos_per_class):
            split = "val" if number < num_val else "train"
            folder = root / split / f"{colour}_{motion}"
            folder.mkdir(parents=True, exist_ok=True)
            frames = two_stream_frames(colour, motion, seed=seed * 10_000 + label * 1000 + number)
            write_video(folder / f"{number:03d}.mp4", frames, frames_per_second=12)


def two_stream_frames(colour: str, motion: str, *, seed: int) -> Iterator[Frame]:
    """The frames of one video, RGB (H, W, 3)."""
    rng = np.random.default_rng(seed)
    background = _texture(HEIGHT, WIDTH, rng)  # (H, W), about 0
    square = _texture(SIDE, SIDE, rng)
    top = int(rng.integers(HEIGHT - SIDE + 1))
    start = int(rng.integers(WIDTH))
    for number in range(NUM_FRAMES):
        columns = (start + MOTIONS[motion] * SPEED * number + np.arange(SIDE)) % WIDTH
        values = 110 + 45 * background
        frame = np.repeat(values[..., None], 3, axis=2)  # (H, W, 3)
        frame[top : top + SIDE, columns] = _coloured(square, COLOURS[colour])
        yield frame.round().clip(0, 255).astype(np.uint8)


def _coloured(texture: npt.NDArray[np.float64], channel: int) -> npt.NDArray[np.float64]:
    """A texture in one colour, whose grey values (0.299 R + 0.587 G + 0.114 B) are 110 about."""
    grey = 110 + 45 * texture
    weights = np.array([0.299, 0.587, 0.114])
    tint = np.zeros(3)
    tint[channel] = 90.0
    tint -= weights @ tint  # the same from all channels, so that the grey value stays
    return grey[..., None] + tint  # (SIDE, SIDE, 3)


def _texture(height: int, width: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Smooth noise in -1 to 1, without a seam from right to left."""
    noise = rng.standard_normal((height, width))
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :]
    smooth = np.fft.ifft2(np.fft.fft2(noise) * np.exp(-60 * (rows**2 + columns**2))).real
    return (smooth / np.abs(smooth).max()).clip(-1, 1)
