"""A scene and its camera: things on their paths in front of a background, rendered to frames.

Positions and lengths are fractions of the frame's side, x to the right and y downwards; angles are
degrees, clockwise. An actor's numbers are arrays of one value for each frame in which it is there,
`(T,)`, or single values.
Backgrounds are textures in muted tones, so that a colourful thing in front of them stands out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from PIL import Image

from mixtconv.data.synthetic.looks import Look, color_of, draw_sprite

Values = np.ndarray | float

FRAMES_PER_SECOND = 24

MARGIN = 0.125
"""How far the background extends beyond each edge of the frame, for the camera's motion."""

SHADOW_OFFSET = 0.016
"""Distance of a shadow from its thing, to the right and downwards."""


@dataclass(frozen=True)
class Actor:
    """One thing of a scene."""

    look: Look
    x: Values
    """Centre."""
    y: Values
    width: Values
    height: Values
    angle: Values = 0.0
    shadow: bool = False
    """Whether it casts a shadow."""
    opacity: Values = 1.0
    """From 0, not to be seen, to 1."""
    shown: range | None = None
    """The frames in which it is there; all if None."""

    @property
    def is_still(self) -> bool:
        """Whether it is there from the first frame to the last and does not change."""
        values = (self.x, self.y, self.width, self.height, self.angle, self.opacity)
        return self.shown is None and all(np.ndim(v) == 0 for v in values)


@dataclass(frozen=True)
class Camera:
    """Motion, brightness and noise of the camera."""

    x: np.ndarray
    """Sideways offset of the picture. `(T,)`."""
    y: np.ndarray
    """Downwards offset of the picture. `(T,)`."""
    gain: np.ndarray
    """Brightness. `(T,)`."""
    noise: float
    """Standard deviation of the sensor's noise, of 255."""


def render(
    background: Image.Image,
    actors: Sequence[Actor],
    camera: Camera,
    *,
    size: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Film a scene as `film` does, all of it at once. `(T, H, W, 3)` uint8."""
    frames = np.empty((len(camera.x), size, size, 3), np.uint8)
    for t, frame in enumerate(film(background, actors, camera, size=size, rng=rng)):
        frames[t] = frame
    return frames


def film(
    background: Image.Image,
    actors: Sequence[Actor],
    camera: Camera,
    *,
    size: int,
    rng: np.random.Generator,
) -> Iterator[np.ndarray]:
    """Film a scene with `size` by `size` pixels, frame by frame. `(H, W, 3)` uint8 each.

    The background is square and reaches `MARGIN` beyond the frame; the actors stand before it from
    the rearmost to the foremost. `rng` gives the noise.
    """
    num_frames = len(camera.x)
    background, moving = _settle(background, actors, size=size)
    painters: dict[int, _Painter] = {}
    # The noise of each frame is a random crop of one larger sheet, which is drawn once.
    sheet = rng.standard_normal((2 * size, 2 * size, 3), np.float32)
    sheet *= camera.noise
    places = rng.integers(0, size, size=(num_frames, 2))
    vignette = _vignette(size)
    for t, (row, column) in enumerate(places):
        offset = camera.x[t] * size, camera.y[t] * size
        picture = _crop(background, offset, size=size)
        for i, actor in enumerate(moving):
            shown = range(num_frames) if actor.shown is None else actor.shown
            if t in shown:
                if i not in painters:
                    painters[i] = _Painter(actor, num_frames=len(shown), size=size)
                painters[i].paint(picture, t - shown.start, offset)
            else:
                painters.pop(i, None)  # its pictures need not be kept
        light = np.asarray(picture) * (vignette * np.float32(camera.gain[t]))  # (H, W, 3)
        light += sheet[row : row + size, column : column + size]
        yield np.clip(light, 0.0, 255.0, out=light).astype(np.uint8)


def _settle(
    background: Image.Image, actors: Sequence[Actor], *, size: int
) -> tuple[Image.Image, Sequence[Actor]]:
    """The background with the still actors painted on it, and the moving ones in front."""
    background = background.copy()
    margin = (background.width - size) / 2
    for i, actor in enumerate(actors):
        if not actor.is_still:
            return background, actors[i:]
        _Painter(actor, num_frames=1, size=size).paint(background, 0, (margin, margin))
    return background, []


def _crop(background: Image.Image, offset: tuple[float, float], *, size: int) -> Image.Image:
    """The part of the background that the camera sees, with subpixel offsets. RGB."""
    margin = (background.width - size) / 2
    affine = (1, 0, margin - offset[0], 0, 1, margin - offset[1])
    return background.transform(
        (size, size), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR
    )


@cache
def _vignette(size: int) -> np.ndarray:
    """The slight darkening of a lens towards the corners. `(H, W, 1)` float32."""
    steps = (np.arange(size) + 0.5) / size * 2.0 - 1.0
    radius_squared = steps[None, :] ** 2 + steps[:, None] ** 2
    return (1.0 - 0.08 * radius_squared).astype(np.float32)[..., None]


class _Painter:
    """Paints one actor and its shadow into the frames."""

    def __init__(self, actor: Actor, *, num_frames: int, size: int) -> None:
        def pixels(values: Values) -> np.ndarray:
            return np.broadcast_to(np.asarray(values, dtype=float) * size, (num_frames,))

        self.x, self.y = pixels(actor.x), pixels(actor.y)
        self.width, self.height = pixels(actor.width), pixels(actor.height)
        self.angle = np.radians(np.broadcast_to(actor.angle, (num_frames,)))
        self.opacity = np.broadcast_to(actor.opacity, (num_frames,))
        self.shadow_offset = round(SHADOW_OFFSET * size) if actor.shadow else 0
        # A sprite of twice the resolution keeps edges sharp when it is rotated.
        full = max(2, round(2 * self.width.max())), max(2, round(2 * self.height.max()))
        self.full_width, self.full_height = full
        self.sprite = cache(partial(_sprite, actor.look, *full))

    def paint(self, picture: Image.Image, t: int, offset: tuple[float, float]) -> None:
        """Paint the actor as it is in frame `t` of its own, moved by `offset` pixels."""
        if min(self.width[t], self.height[t]) < 0.5:
            return
        shrink = min(self.full_width / self.width[t], self.full_height / self.height[t])
        halvings = max(0, int(np.log2(shrink / 1.9)))
        x, y = self.x[t] + offset[0], self.y[t] + offset[1]
        self._place(picture, self.sprite(halvings), t, x, y)

    def _place(self, picture: Image.Image, sprite: Image.Image, t: int, x: float, y: float) -> None:
        """Rotate, scale and paste `sprite` with its centre at pixel `(x, y)`."""
        cos, sin = np.cos(self.angle[t]), np.sin(self.angle[t])
        across = self.width[t] / (sprite.width - 2)  # pixels of the frame per pixel of the sprite
        down = self.height[t] / (sprite.height - 2)
        half_x = (abs(cos) * across * sprite.width + abs(sin) * down * sprite.height) / 2
        half_y = (abs(sin) * across * sprite.width + abs(cos) * down * sprite.height) / 2
        left, top = max(0, int(x - half_x)), max(0, int(y - half_y))
        right = min(picture.width, int(x + half_x) + 1)
        bottom = min(picture.height, int(y + half_y) + 1)
        if right <= left or bottom <= top:
            return
        # Pillow wants the inverse map, from pixels of the patch to those of the sprite.
        a, b, d, e = cos / across, sin / across, -sin / down, cos / down
        c = sprite.width / 2 + a * (left - x) + b * (top - y)
        f = sprite.height / 2 + d * (left - x) + e * (top - y)
        patch = sprite.transform(
            (right - left, bottom - top),
            Image.Transform.AFFINE,
            (a, b, c, d, e, f),
            Image.Resampling.BILINEAR,
        )
        if self.opacity[t] < 1.0:
            patch.putalpha(patch.getchannel("A").point(lambda alpha: alpha * self.opacity[t]))
        if self.shadow_offset:
            shade = Image.fromarray(np.asarray(patch)[..., 3] // 3)
            picture.paste((0, 0, 0), (left + self.shadow_offset, top + self.shadow_offset), shade)
        picture.paste(patch, (left, top), patch)


def _sprite(look: Look, width: int, height: int, halvings: int) -> Image.Image:
    """The picture of `look`, halved in size `halvings` times. RGBA."""
    return draw_sprite(look, width=max(2, width >> halvings), height=max(2, height >> halvings))


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


def _grains(rng: np.random.Generator, side: int, *, least: int, below: int) -> np.ndarray:
    return _clouds(rng, side, cells=int(rng.integers(least, below)))


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
    "plaster": partial(_grains, least=2, below=7),
    "gravel": partial(_grains, least=10, below=16),
    "wood": _wood,
    "tiles": _tiles,
    "cloth": _cloth,
    "room": _room,
    "slope": _slope,
}
"""Name -> function of a random generator and a side, giving values from about 0 to 1. `(H, W)`."""
