"""Shapes, colours and patterns of things, drawn once per clip as small RGBA pictures."""

from __future__ import annotations

import colorsys
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

Color = tuple[int, int, int]
Pattern = Literal["plain", "stripes", "checks", "dots", "halves"]

SUPERSAMPLING = 3


@dataclass(frozen=True)
class Look:
    """Shape and paint of one thing; its size and position are those of its `scene.Actor`."""

    shape: str
    """A key of `SHAPES`."""
    color: Color
    """The colour most of it has."""
    accent: Color = (255, 255, 255)
    """The colour of its pattern and mark."""
    pattern: Pattern = "plain"
    mark: tuple[float, float] | None = field(default=None)
    """Centre of a spot in the accent's colour, in the shape's coordinates, -1 to 1."""


def color_of(hue: float, saturation: float, value: float) -> Color:
    """RGB bytes of a hue (periodic with 1), a saturation and a value in [0, 1].

    Example:
        >>> color_of(1 / 3, 1.0, 1.0)
        (0, 255, 0)
    """
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, saturation, value)
    return round(red * 255), round(green * 255), round(blue * 255)


def _regular(corners: int, *, inner: float = 1.0, first: float = -90.0) -> np.ndarray:
    """A regular polygon, or with `inner` below 1 a star, around the origin. `(N, 2)`."""
    steps = corners * (1 if inner == 1.0 else 2)
    angles = np.radians(first + np.arange(steps) * 360.0 / steps)
    radii = np.where(np.arange(steps) % 2 == 0, 1.0, inner) if inner != 1.0 else np.ones(steps)
    return np.stack([radii * np.cos(angles), radii * np.sin(angles)], axis=1)


def _drop() -> np.ndarray:
    """A round body with one tip, upwards."""
    angles = np.radians(np.linspace(-30.0, 210.0, 24))
    body = np.stack([0.66 * np.cos(angles), 0.3 + 0.66 * np.sin(angles)], axis=1)
    return np.concatenate([body, [[0.0, -1.0]]])


def _heart() -> np.ndarray:
    t = np.linspace(0.0, 2.0 * np.pi, 40, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x / 17.0, y / 17.0], axis=1)


def _points(*corners: tuple[float, float]) -> np.ndarray:
    return np.array(corners, dtype=float)


SHAPES: dict[str, np.ndarray] = {
    "ball": _regular(40) * 0.94,
    "box": _points((-0.84, -0.84), (0.84, -0.84), (0.84, 0.84), (-0.84, 0.84)),
    "panel": _points((-1, -1), (1, -1), (1, 1), (-1, 1)),
    "triangle": _regular(3) * 0.98 + np.array([0.0, 0.15]),
    "diamond": _points((0, -1), (0.8, 0), (0, 1), (-0.8, 0)),
    "hexagon": _regular(6) * 0.96,
    "star": _regular(5, inner=0.5),
    "cross": _points(
        (-0.35, -0.95), (0.35, -0.95), (0.35, -0.35), (0.95, -0.35), (0.95, 0.35), (0.35, 0.35),
        (0.35, 0.95), (-0.35, 0.95), (-0.35, 0.35), (-0.95, 0.35), (-0.95, -0.35), (-0.35, -0.35),
    ),
    "drop": _drop(),
    "heart": _heart(),
    "arrow": _points(
        (0, -1), (0.8, -0.15), (0.32, -0.15), (0.32, 0.95), (-0.32, 0.95), (-0.32, -0.15),
        (-0.8, -0.15),
    ),
    "wedge": _points((0, -1), (0.62, 0.85), (-0.62, 0.85)),
    "tub": _points((-1, -1), (1, -1), (0.82, 1), (-0.82, 1)),
}  # fmt: skip
"""Outlines in the square from -1 to 1, y downwards. `(N, 2)` each."""

OBJECT_SHAPES = (
    "ball", "box", "triangle", "diamond", "hexagon", "star", "cross", "drop", "heart", "arrow",
)  # fmt: skip
"""Shapes of subjects."""

POINTED_SHAPES = ("drop", "arrow", "wedge")
"""Shapes with a visible direction at any angle: a tip and, at (0, 0.45), a tail."""

DISTRACTOR_SHAPES = ("triangle", "diamond", "hexagon", "star", "cross", "heart")
"""Shapes of distractors: neither a ball nor a box, which are subjects of some classes."""


def draw_sprite(look: Look, *, width: int, height: int) -> Image.Image:
    """Draw `look` into an RGBA picture with a clear margin of one pixel.

    Example:
        >>> draw_sprite(Look("ball", (200, 30, 30)), width=20, height=20).size
        (22, 22)
    """
    columns, rows = width * SUPERSAMPLING, height * SUPERSAMPLING
    scale = np.array([columns, rows]) / 2.0
    outline = SHAPES[look.shape]
    paint = Image.new("RGB", (columns, rows), look.color)
    drawing = ImageDraw.Draw(paint)
    if look.pattern != "plain":
        _PATTERNS[look.pattern](drawing, columns, rows, look.accent)
    if look.mark is not None:
        (x, y), radius = (np.array(look.mark) + 1.0) * scale, 0.16 * min(columns, rows)
        drawing.ellipse((x - radius, y - radius, x + radius, y + radius), fill=look.accent)
    edge: Color = tuple(c * 2 // 5 for c in look.color)  # type: ignore[assignment]
    corners = [(float(x), float(y)) for x, y in (outline + 1.0) * scale]
    drawing.line([*corners, corners[0], corners[1]], fill=edge, width=max(1, columns // 14))

    alpha = Image.new("L", (columns, rows), 0)
    ImageDraw.Draw(alpha).polygon(corners, fill=255)
    paint.putalpha(alpha)
    small = paint.resize((width, height), Image.Resampling.BOX)
    sprite = Image.new("RGBA", (width + 2, height + 2), (*look.color, 0))
    sprite.paste(small, (1, 1))
    return sprite


def _stripes(drawing: ImageDraw.ImageDraw, columns: int, rows: int, accent: Color) -> None:
    for i in range(3):
        left = columns * (2 * i + 1) / 7
        drawing.rectangle((left, 0, left + columns / 7, rows), fill=accent)


def _checks(drawing: ImageDraw.ImageDraw, columns: int, rows: int, accent: Color) -> None:
    for i in range(4):
        for j in range(4):
            if (i + j) % 2:
                x, y = columns * i / 4, rows * j / 4
                drawing.rectangle((x, y, x + columns / 4, y + rows / 4), fill=accent)


def _dots(drawing: ImageDraw.ImageDraw, columns: int, rows: int, accent: Color) -> None:
    radius = min(columns, rows) / 11
    for i in range(1, 4):
        for j in range(1, 4):
            x, y = columns * i / 4, rows * j / 4
            drawing.ellipse((x - radius, y - radius, x + radius, y + radius), fill=accent)


def _halves(drawing: ImageDraw.ImageDraw, columns: int, rows: int, accent: Color) -> None:
    drawing.rectangle((0, rows * 0.55, columns, rows), fill=accent)


_PATTERNS = {
    "stripes": _stripes,
    "checks": _checks,
    "dots": _dots,
    "halves": _halves,
}
