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
SEEDS = range(8)


def read(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])


# Measurements on pixels, one number a frame. `frames` is (T, H, W, 3) uint8.


def colorful(frames: np.ndarray) -> np.ndarray:
    """Where a strong colour is. (T, H, W), True or False."""
    values = frames.astype(int)
    return values.max(-1) - values.min(-1) > 110


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
    """Direction from a mark to the rest, degrees clockwise from upwards, unwrapped. (T,)"""
    x, y = center(mask)
    mark_x, mark_y = center(mark)
    return np.degrees(np.unwrap(np.arctan2(x - mark_x, mark_y - y)))


def rotation(frames: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """How the coloured shape points: from its filled hull's mark (what is not coloured). (T,)"""
    mask = of_color(frames, color)
    inside = np.stack([_row_hull(picture) for picture in mask])
    return pointing(mask, inside & ~mask)


def _row_hull(picture: np.ndarray) -> np.ndarray:
    """Pixels that have picture to their left, right, above and below: holes filled. (H, W)"""
    sides = [
        np.maximum.accumulate(picture, axis=0),
        np.maximum.accumulate(picture[::-1], axis=0)[::-1],
        np.maximum.accumulate(picture, axis=1),
        np.maximum.accumulate(picture[:, ::-1], axis=1)[:, ::-1],
    ]
    return np.logical_and.reduce(sides)


# What grows from the beginning of a clip to its end, by class, and by how much at least.

GROWS = {
    "Moving something from left to right": (lambda f, c: center(of_color(f, c))[0], 0.3),
    "Moving something down": (lambda f, c: center(of_color(f, c))[1], 0.3),
    "Something approaching the camera": (lambda f, c: area(of_color(f, c)), 0.03),
    "Closing something": (lambda f, c: area(of_color(f, c)), 0.1),
    "Turning something clockwise": (rotation, 50.0),
    "Taking something out of something": (lambda f, c: area(of_color(f, c)), 0.004),
    "Uncovering something": (lambda f, c: area(of_color(f, c)), 0.01),
    "Moving something and something away from each other": (
        lambda f, c: spread(of_color(f, c)),
        0.08,
    ),
}


def shown_class(frames: np.ndarray, color: tuple[int, int, int], motion: str) -> str:
    """Which of a motion's two classes the pixels show, or "neither"."""
    (name,) = [n for n in GROWS if EASY[n].motion == motion]
    measure, least = GROWS[name]
    values = measure(frames, color)
    growth = values[-3:].mean() - values[:3].mean()
    if abs(growth) < least:
        return "neither"
    return name if growth > 0 else EASY[name].reverse
