"""Textured backgrounds: muted, so that a colourful thing in front of them stands out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from mixtconv.data.synthetic.looks import color_of


def draw_background(rng: np.random.Generator, *, side: int) -> Image.Image:
    """Draw one of `TEXTURES`, in two muted tones, as an RGB picture of `side` by `side` pixels.

    Example:
        >>> draw_background(np.random.default_rng(0), side=80).size
        (80, 80)
    """
    texture = TEXTURES[list(TEXTURES)[rng.integers(len(TEXTURES))]](rng, side)  # (H, W), 0 to 1
    value = rng.uniform(0.3, 0.8)
    contrast = rng.uniform(0.15, 0.35) * (1 if value < 0.55 else -1)
    hue = rng.uniform()
    dark, light = (
        np.array(color_of(hue + rng.uniform(-0.1, 0.1), rng.uniform(0.02, 0.22), v), dtype=float)
        for v in (value, value + contrast)
    )
    mixed = dark + (light - dark) * texture[..., None]  # (H, W, 3)
    return Image.fromarray(np.clip(mixed + 0.5, 0, 255).astype(np.uint8))


def _clouds(rng: np.random.Generator, side: int, *, cells: int, rows: int = 0) -> np.ndarray:
    """Smooth random values, `cells` across and `rows` (or as many) down. (H, W), 0 to 1."""
    total = np.zeros((side, side))
    for octave in range(3):
        shape = ((rows or cells) << octave, cells << octave)
        grid = Image.fromarray(rng.uniform(0.0, 1.0, size=shape).astype(np.float32))
        total += np.asarray(grid.resize((side, side), Image.Resampling.BICUBIC)) / 2.0**octave
    total -= total.min()
    return total / max(float(total.max()), 1e-6)


def _grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """x (1, W) and y (H, 1), 0 to 1."""
    steps = (np.arange(side) + 0.5) / side
    return steps[None, :], steps[:, None]


def _plaster(rng: np.random.Generator, side: int) -> np.ndarray:
    return _clouds(rng, side, cells=int(rng.integers(2, 7)))


def _gravel(rng: np.random.Generator, side: int) -> np.ndarray:
    return _clouds(rng, side, cells=int(rng.integers(10, 16)))


def _wood(rng: np.random.Generator, side: int) -> np.ndarray:
    x, y = _grid(side)
    bend = _clouds(rng, side, cells=2, rows=3) * rng.uniform(0.1, 0.3)
    grain = 0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(5, 10) * (y + bend + 0.05 * x))
    return 0.7 * grain + 0.3 * _clouds(rng, side, cells=3, rows=16)


def _tiles(rng: np.random.Generator, side: int) -> np.ndarray:
    x, y = _grid(side)
    count = rng.uniform(3, 7)
    shift = rng.uniform(size=2)
    joints = np.maximum(
        np.abs((x * count + shift[0]) % 1 - 0.5), np.abs((y * count + shift[1]) % 1 - 0.5)
    )
    return 0.75 * (joints < 0.44) + 0.25 * _clouds(rng, side, cells=6)


def _cloth(rng: np.random.Generator, side: int) -> np.ndarray:
    x, y = _grid(side)
    count = rng.uniform(5, 11)
    weave = np.sin(2 * np.pi * count * x) * rng.uniform(0.3, 1) + np.sin(2 * np.pi * count * y)
    return 0.35 + 0.18 * weave + 0.25 * _clouds(rng, side, cells=4)


def _room(rng: np.random.Generator, side: int) -> np.ndarray:
    """A wall above a floor."""
    _, y = _grid(side)
    floor = y > rng.uniform(0.4, 0.7)
    wall = 0.25 * _clouds(rng, side, cells=3)
    boards = 0.75 + 0.25 * _clouds(rng, side, cells=2, rows=12)
    return np.where(floor, boards, wall)


def _slope(rng: np.random.Generator, side: int) -> np.ndarray:
    """Light from one side over a fine grain."""
    x, y = _grid(side)
    angle = rng.uniform(0, 2 * np.pi)
    light = 0.5 + 0.5 * (np.cos(angle) * (x - 0.5) + np.sin(angle) * (y - 0.5)) / 0.71
    return 0.8 * light + 0.2 * _clouds(rng, side, cells=14)


TEXTURES: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "plaster": _plaster,
    "gravel": _gravel,
    "wood": _wood,
    "tiles": _tiles,
    "cloth": _cloth,
    "room": _room,
    "slope": _slope,
}
"""Each gives values from about 0 to 1. `(H, W)`."""
