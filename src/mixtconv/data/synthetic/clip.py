"""One clip of the synthetic dataset: frames, and where its subject is in each.

A class and its partner are drawn from the same motion. For one of the two, everything that is
filmed is run backwards: background, camera, light, distractors and noise. So their clips hold the
same pictures with the same probability, and only the order of the pictures distinguishes them.
If a mirror does not change the class, half of its clips are mirrored; if mirroring and reversing
together do not (left to right), half are mirrored and reversed; if reversing alone does not
(counting), half are reversed. By construction no side and no end is preferred.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from mixtconv.data.synthetic.classes import Level, LevelName, SyntheticClass, find_class, level_of
from mixtconv.data.synthetic.looks import DISTRACTOR_SHAPES, Color, Look, color_of
from mixtconv.data.synthetic.motions import MOTIONS, Draft, Plan
from mixtconv.data.synthetic.rhythms import RHYTHMS
from mixtconv.data.synthetic.scene import MARGIN, Actor, Camera, draw_background, render

MIN_FRAMES, MAX_FRAMES = 24, 96
"""Minimum and maximum number of frames of a clip."""

MIN_SIZE, MAX_SIZE = 32, 512

ALL_MOTIONS = {**MOTIONS, **RHYTHMS}
"""The motions of both levels by the name that `SyntheticClass.motion` gives."""


@dataclass(frozen=True)
class Trajectory:
    """Position of the subject in fractions of the frame's side, angle in degrees clockwise.

    Arrays are `(T,)`.
    """

    x: np.ndarray
    y: np.ndarray
    width: np.ndarray
    height: np.ndarray
    angle: np.ndarray
    start: float
    """Time at which the action starts, as a fraction of the clip."""
    end: float
    """Time at which the action ends, as a fraction of the clip."""


@dataclass(frozen=True)
class SyntheticClip:
    """A rendered clip and its ground truth."""

    frames: np.ndarray
    """`(T, H, W, 3)` uint8."""
    trajectory: Trajectory
    class_name: str
    color: Color
    """RGB of the subject, as painted."""

    def backwards(self) -> SyntheticClip:
        """The same clip with time reversed; the class name stays."""
        path = self.trajectory
        series = {k: getattr(path, k)[::-1] for k in ("x", "y", "width", "height", "angle")}
        reversed_path = Trajectory(**series, start=1.0 - path.end, end=1.0 - path.start)
        return replace(self, frames=self.frames[::-1], trajectory=reversed_path)

    def mirrored(self) -> SyntheticClip:
        """The same clip with left and right exchanged; the class name stays."""
        path = replace(self.trajectory, x=1.0 - self.trajectory.x, angle=-self.trajectory.angle)
        return replace(self, frames=self.frames[:, :, ::-1], trajectory=path)


def render_clip(
    class_name: str,
    *,
    seed: int | np.random.SeedSequence,
    size: int = 64,
    level: LevelName = "easy",
) -> SyntheticClip:
    """Render one clip of a class.

    With the same seed, a class and its partner give the same frames in opposite order.

    Args:
        class_name: A name from `classes(level)`.
        seed: Determines everything about the clip.
        size: Height and width in pixels, even, 32 to 512.
        level: `"easy"` or `"hard"`.

    Returns:
        The clip: frames `(T, H, W, 3)`, T from 24 to 96, and the subject's trajectory.

    Raises:
        ValueError: If the level, the class or the size does not exist.

    Example:
        >>> up = render_clip("Moving something up", seed=1)
        >>> up.frames.shape
        (..., 64, 64, 3)
        >>> bool(up.trajectory.y[0] > up.trajectory.y[-1])
        True
        >>> down = render_clip("Moving something down", seed=1)
        >>> bool((down.frames == up.frames[::-1]).all())
        True
    """
    description = find_class(class_name, level)
    check_size(size)
    rng = np.random.default_rng(seed)
    clip = _film(description, rng=rng, size=size, level=level_of(level))
    flip, reverse = harmless_change(description, rng)
    if description.flipped != flip:
        clip = clip.mirrored()
    if description.run_backwards != reverse:
        clip = clip.backwards()
    return replace(clip, frames=np.ascontiguousarray(clip.frames))


def check_size(size: int) -> None:
    """Refuse a size that cannot be rendered or encoded."""
    if size % 2 or not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(
            f"size {size}: it must be an even number from {MIN_SIZE} to {MAX_SIZE}; "
            "64 is the default"
        )


def harmless_change(description: SyntheticClass, rng: np.random.Generator) -> tuple[bool, bool]:
    """Whether to flip and whether to reverse a clip: a random choice that keeps its class."""
    name, mirror, reverse = description.name, description.mirror, description.reverse
    first, second = (bool(coin) for coin in rng.uniform(size=2) < 0.5)
    if mirror == name:
        return first, second and reverse == name
    if mirror == reverse:
        return first, first
    return False, False


def _film(
    description: SyntheticClass, *, rng: np.random.Generator, size: int, level: Level
) -> SyntheticClip:
    """Draw a clip of the class's motion, forwards, and film it."""
    num_frames = int(rng.integers(MIN_FRAMES, MAX_FRAMES + 1))
    times = np.linspace(0.0, 1.0, num_frames)
    draft = Draft(rng, times, level, hue=float(rng.uniform()))
    plan = ALL_MOTIONS[description.motion](draft)
    camera = draw_camera(draft)
    side = 2 * round(size * (1 + 2 * MARGIN) / 2)
    background = draw_background(rng, side=side)
    actors = [*draw_distractors(draft), *plan.actors]
    frames = render(background, actors, camera, size=size, rng=rng)
    return SyntheticClip(
        frames, _trajectory(plan, camera), description.name, plan.subject.look.color
    )


def _trajectory(plan: Plan, camera: Camera) -> Trajectory:
    """The subject's trajectory as the camera sees it."""
    actor = plan.subject
    x, y = actor.x + camera.x, actor.y + camera.y
    series = np.broadcast_arrays(x, y, actor.width, actor.height, actor.angle)
    x, y, width, height, angle = series
    return Trajectory(x, y, width, height, angle, plan.interval.start, plan.interval.end)


def draw_camera(draft: Draft) -> Camera:
    """A hand-held camera that drifts and shakes, in light that changes a little."""
    level = draft.level

    def unsteady() -> np.ndarray:
        shake = draft.rng.normal(0.0, level.shake, size=draft.times.shape)
        return np.clip(level.drift * draft.wander() + shake, -MARGIN, MARGIN)

    gain = 1.0 + level.flicker * draft.wander()
    return Camera(unsteady(), unsteady(), gain, noise=draft.uniform(*level.noise))


def draw_distractors(draft: Draft) -> list[Actor]:
    """Other things behind the subject, still or moving a little, independent of the class."""
    level = draft.level
    actors = []
    for _ in range(draft.rng.integers(level.num_distractors[0], level.num_distractors[1] + 1)):
        saturation = draft.uniform(*level.distractor_saturation)
        color = color_of(draft.hue + draft.uniform(0.2, 0.8), saturation, draft.uniform(0.25, 0.85))
        size = draft.uniform(*level.distractor_size)
        x, y = draft.uniform(0.05, 0.95), draft.uniform(0.05, 0.95)
        angle = draft.uniform(0, 360)
        look = Look(draft.choice(*DISTRACTOR_SHAPES), color)
        actor = Actor(look, x, y, size, size, angle)
        if draft.rng.uniform() < level.distractor_motion:
            way_x, way_y = (level.distractor_reach * draft.wander() for _ in range(2))
            actor = replace(actor, x=x + way_x, y=y + way_y)
        actors.append(actor)
    return sorted(actors, key=lambda actor: not actor.is_still)
