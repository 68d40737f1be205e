"""The motions of the easy level, forwards, and what the motions of both levels share.

A motion is a function from a `Draft` (random numbers, times, level) to a `Plan`: the actors and
their positions in every frame. Its reverse and its mirror image are not its concern: `clip.py`
makes those from finished frames. Times of a clip run from 0 to 1; an `Interval` is the part of it
that the action takes, and easings and `hump` shape the progress inside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from mixtconv.data.synthetic.classes import Level
from mixtconv.data.synthetic.looks import (
    OBJECT_SHAPES,
    POINTED_SHAPES,
    Color,
    Look,
    Pattern,
    color_of,
)
from mixtconv.data.synthetic.scene import Actor, Values


@dataclass(frozen=True)
class Interval:
    """The part of a clip that an action takes, as fractions of the clip."""

    start: float
    end: float

    def progress(self, times: np.ndarray) -> np.ndarray:
        """Progress of the action at `times`: 0 before, 1 after, linear between. `(T,)`.

        Example:
            >>> Interval(0.25, 0.75).progress(np.linspace(0, 1, 5)).tolist()
            [0.0, 0.0, 0.5, 1.0, 1.0]
        """
        return np.clip((times - self.start) / (self.end - self.start), 0.0, 1.0)


def random_interval(
    rng: np.random.Generator, *, shortest: float = 0.2, longest: float = 1.0
) -> Interval:
    """An interval of random length at a random place in the clip."""
    length = rng.uniform(shortest, longest)
    start = rng.uniform(0.0, 1.0 - length)
    return Interval(start, start + length)


def smooth(progress: np.ndarray) -> np.ndarray:
    """Slow at the start and at the end."""
    return progress * progress * (3.0 - 2.0 * progress)


EASINGS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    lambda progress: progress,
    smooth,
    lambda progress: 1.0 - (1.0 - progress) ** 1.5,  # a gentle stop
    lambda progress: progress**1.5,  # a gentle start
)
"""Curves from 0 to 1, none so uneven as to look like speeding up or slowing down."""


def hump(progress: np.ndarray) -> np.ndarray:
    """Up in the first quarter, held, down in the last: the same when time is reversed. `(T,)`.

    Example:
        >>> hump(np.linspace(0, 1, 5)).tolist()
        [0.0, 1.0, 1.0, 1.0, 0.0]
    """
    return smooth(np.clip(4.0 * np.minimum(progress, 1.0 - progress), 0.0, 1.0))


@dataclass(frozen=True)
class Plan:
    """The content of a clip without camera, background and distractors."""

    actors: tuple[Actor, ...]
    """From the rearmost to the foremost."""
    subject: Actor
    """The one of them that shows the class."""
    interval: Interval
    """The time of the action."""


@dataclass(frozen=True)
class Draft:
    """The random numbers and settings of which a motion draws a clip."""

    rng: np.random.Generator
    times: np.ndarray
    """Time of each frame, 0 to 1. `(T,)`."""
    level: Level
    hue: float
    """Hue of the subject."""

    def uniform(self, low: float, high: float) -> float:
        """A random number."""
        return float(self.rng.uniform(low, high))

    def choice(self, *items: str) -> str:
        """One of `items`."""
        return items[self.rng.integers(len(items))]

    def object_size(self) -> float:
        """A diameter for the subject."""
        return self.uniform(*self.level.object_size)

    def subject_color(self) -> Color:
        """A strong colour of the subject's hue."""
        return color_of(self.hue, self.uniform(0.8, 1.0), self.uniform(0.8, 1.0))

    def other_color(self, *, saturation: tuple[float, float] = (0.6, 0.9)) -> Color:
        """A colour of a hue far from the subject's."""
        hue = self.hue + self.uniform(0.3, 0.7)
        return color_of(hue, self.uniform(*saturation), self.uniform(0.45, 0.85))

    def look(self, shape: str | None = None, *, plain: float = 0.5) -> Look:
        """The subject's look; `plain` is the probability of no pattern."""
        pattern: Pattern = "plain"
        if self.rng.uniform() > plain:
            pattern = ("stripes", "dots", "halves")[self.rng.integers(3)]
        accent = (255, 255, 255) if self.rng.uniform() < 0.5 else (30, 30, 35)
        return Look(
            shape or self.choice(*OBJECT_SHAPES), self.subject_color(), accent, pattern=pattern
        )

    def pointed_look(self) -> Look:
        """A shape with a tip, and a mark towards its tail."""
        accent = (255, 255, 255) if self.rng.uniform() < 0.5 else (25, 25, 30)
        return Look(
            self.choice(*POINTED_SHAPES), self.subject_color(), accent, "plain", mark=(0.0, 0.45)
        )

    def thing(self, x: Values, y: Values, size: Values, *, look: Look | None = None) -> Actor:
        """The subject as an actor, tilted a little at random."""
        tilt = self.uniform(-25, 25)
        return Actor(look or self.look(), x, y, size, size, tilt, shadow=True)

    def eased(self, interval: Interval) -> np.ndarray:
        """Progress of the action with a random easing. `(T,)`."""
        easing = EASINGS[self.rng.integers(len(EASINGS))]
        return easing(interval.progress(self.times))

    def wander(self) -> np.ndarray:
        """A slow random curve between -1 and 1. `(T,)`."""
        curve = np.zeros_like(self.times)
        for _ in range(2):
            cycles, phase = self.uniform(0.2, 1.2), self.uniform(0, 2 * np.pi)
            curve += 0.5 * np.sin(2 * np.pi * cycles * self.times + phase)
        return curve


def between(start: float, end: float, progress: np.ndarray) -> np.ndarray:
    """From `start` to `end` as `progress` goes from 0 to 1. `(T,)`."""
    return start + (end - start) * progress


def travel(draft: Draft, interval: Interval) -> tuple[np.ndarray, np.ndarray]:
    """A path over most of the frame, and a small motion across it. Two of `(T,)`."""
    progress = draft.eased(interval)
    along = between(draft.uniform(0.13, 0.28), draft.uniform(0.72, 0.87), progress)
    middle = draft.uniform(0.25, 0.75)
    slope = draft.uniform(-0.1, 0.1)
    return along, between(middle - slope, middle + slope, progress)


def moving_across(draft: Draft, *, shortest: float = 0.2, longest: float = 1.0) -> Plan:
    """From left to right, in a part of the clip between `shortest` and `longest`."""
    interval = random_interval(draft.rng, shortest=shortest, longest=longest)
    x, y = travel(draft, interval)
    subject = draft.thing(x, y, draft.object_size())
    return Plan((subject,), subject, interval)


def moving_upwards(draft: Draft) -> Plan:
    """From the bottom to the top."""
    interval = random_interval(draft.rng)
    along, aside = travel(draft, interval)
    subject = draft.thing(aside, 1.0 - along, draft.object_size())
    return Plan((subject,), subject, interval)


def approaching(draft: Draft) -> Plan:
    """Growing to two or three times the size."""
    interval = random_interval(draft.rng)
    progress = draft.eased(interval)
    start = draft.uniform(0.18, 0.24)
    size = start * draft.uniform(2.1, 3.2) ** progress
    x = between(draft.uniform(0.35, 0.65), draft.uniform(0.42, 0.58), progress)
    y = between(draft.uniform(0.35, 0.65), draft.uniform(0.42, 0.58), progress)
    subject = draft.thing(x, y, size)
    return Plan((subject,), subject, interval)


def turning(draft: Draft) -> Plan:
    """Clockwise in place, from one side over the top to the other.

    Less than a quarter turn between eight evenly spread frames, less than a half turn in all.
    """
    interval = random_interval(draft.rng, shortest=0.25)
    samples = 8 * (interval.end - interval.start)
    total = draft.uniform(0.8, 1.0) * min(160.0, 55.0 * samples)
    angle = draft.uniform(-25, 25) + total * (draft.eased(interval) - 0.5)
    size = draft.uniform(0.4, 0.55)
    look = draft.pointed_look()
    x, y = draft.uniform(0.38, 0.62), draft.uniform(0.38, 0.62)
    subject = Actor(look, x, y, size, size, angle, shadow=True)
    return Plan((subject,), subject, interval)


def opening(draft: Draft) -> Plan:
    """A door, a pair of doors or a shutter uncovers the dark inside."""
    interval = random_interval(draft.rng)
    left_closed = draft.uniform(0.85, 1.0)
    covered = between(left_closed, draft.uniform(0.06, 0.2), draft.eased(interval))  # (T,)
    x, y = draft.uniform(0.42, 0.58), draft.uniform(0.42, 0.58)
    width, height = draft.uniform(0.5, 0.66), draft.uniform(0.48, 0.64)
    frame_color = draft.other_color(saturation=(0.1, 0.3))
    frame = Actor(Look("panel", frame_color), x, y, width + 0.07, height + 0.07, shadow=True)
    inside = Actor(Look("panel", (22, 20, 24)), x, y, width, height)
    content_color = draft.other_color(saturation=(0.2, 0.4))
    content = Actor(Look(draft.choice(*OBJECT_SHAPES), content_color), x, y + 0.08, 0.2, 0.2)
    pattern: Pattern = "stripes" if draft.rng.uniform() < 0.3 else "plain"
    color = draft.subject_color()
    accent: Color = tuple(c * 2 // 3 for c in color)  # type: ignore[assignment]
    look = Look("panel", color, accent, pattern)
    kind = draft.choice("door", "two doors", "shutter")
    doors: tuple[Actor, ...]
    if kind == "shutter":
        top = y - height / 2
        doors = (Actor(look, x, top + covered * height / 2, width, covered * height),)
    elif kind == "door":
        left = x - width / 2
        doors = (Actor(look, left + covered * width / 2, y, covered * width, height),)
    else:
        leaf = covered * width / 2
        doors = (
            Actor(look, x - width / 2 + leaf / 2, y, leaf, height),
            Actor(look, x + width / 2 - leaf / 2, y, leaf, height),
        )
    return Plan((frame, inside, content, *doors), doors[0], interval)


def putting_into(draft: Draft) -> Plan:
    """Over the rim of a tub and down behind its front."""
    interval = random_interval(draft.rng)
    progress = draft.eased(interval)
    size = draft.object_size()
    tub_x, tub_y = draft.uniform(0.35, 0.65), draft.uniform(0.74, 0.8)
    tub_width, tub_height = size + draft.uniform(0.14, 0.24), draft.uniform(0.34, 0.4)
    rim = tub_y - tub_height / 2
    color = draft.other_color(saturation=(0.15, 0.45))
    dark: Color = tuple(c // 3 for c in color)  # type: ignore[assignment]
    back = Actor(Look("panel", dark), tub_x, rim, tub_width, 0.06)
    front_look = Look("tub", color, tuple(c * 3 // 4 for c in color), pattern="stripes")  # type: ignore[arg-type]
    front = Actor(front_look, tub_x, tub_y, tub_width, tub_height)
    start_x = float(np.clip(tub_x + draft.uniform(-0.3, 0.3), 0.15, 0.85))
    start_y = draft.uniform(0.14, 0.24)
    sideways = np.clip(progress / 0.6, 0.0, 1.0)
    x = between(start_x, tub_x, sideways)
    inside_y = rim + size * draft.uniform(0.3, 0.62)
    y = between(start_y, inside_y, progress**1.5)
    subject = draft.thing(x, y, size)
    return Plan((back, subject, front), subject, interval)


def covering(draft: Draft) -> Plan:
    """A patterned cloth comes from a side and ends in front of the thing."""
    interval = random_interval(draft.rng)
    progress = draft.eased(interval)
    size = draft.object_size() * 1.2
    x, y = draft.uniform(0.4, 0.6), draft.uniform(0.4, 0.6)
    subject = draft.thing(x, y, size)
    pattern: Pattern = "checks" if draft.rng.uniform() < 0.5 else "stripes"
    cloth_look = Look("panel", draft.other_color(), draft.other_color(), pattern)
    width, height = size * draft.uniform(1.45, 1.7), size * draft.uniform(1.45, 1.7)
    way = draft.uniform(0.5, 0.6)
    dx, dy = {"left": (-way, 0.0), "right": (way, 0.0), "top": (0.0, -way), "bottom": (0.0, way)}[
        draft.choice("left", "right", "top", "bottom")
    ]
    left = 1.0 - progress
    cloth = Actor(cloth_look, x + dx * left, y + dy * left, width, height, shadow=True)
    return Plan((subject, cloth), subject, interval)


def joining(draft: Draft) -> Plan:
    """Two things come together along a random axis."""
    interval = random_interval(draft.rng)
    first_size, second_size = draft.object_size() * 0.85, draft.object_size() * 0.85
    near = (first_size + second_size) / 2 * draft.uniform(1.0, 1.1)
    distance = between(draft.uniform(0.6, 0.7), near, draft.eased(interval))
    axis = draft.uniform(0, np.pi)
    dx, dy = np.cos(axis) * distance / 2, np.sin(axis) * distance / 2
    x, y = draft.uniform(0.45, 0.55), draft.uniform(0.45, 0.55)
    first = draft.thing(x + dx, y + dy, first_size)
    second = draft.thing(x - dx, y - dy, second_size)
    return Plan((first, second), first, interval)


MOTIONS: dict[str, Callable[[Draft], Plan]] = {
    "moving across": moving_across,
    "moving upwards": moving_upwards,
    "approaching": approaching,
    "opening": opening,
    "turning": turning,
    "putting into": putting_into,
    "covering": covering,
    "joining": joining,
}
"""Motions by the name that `SyntheticClass.motion` gives; `rhythms.py` has those of level hard."""
