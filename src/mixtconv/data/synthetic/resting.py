"""What things do that do nothing: they rest, and now and then they stir.

A stir is far smaller than the motion of any class, and ends where it began: a thing sways around
its place, trembles, tilts a little this way and that, or becomes a little larger and smaller. So
that something moves does not mean that there is an action.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from mixtconv.data.synthetic.motions import Draft, hump
from mixtconv.data.synthetic.scene import FRAMES_PER_SECOND, Actor

LONGEST_STILL, LONGEST_STIR = 4, 3
"""Seconds."""

SHORTEST_STIR = 0.5
"""Seconds."""

LARGEST_TREMBLE = 0.012
"""Of the frame's side."""

LARGEST_TILT = 12.0
"""Degrees."""

LARGEST_GROWTH = 0.1
"""Of a thing's size."""


@dataclass(frozen=True)
class Stirring:
    """By how much a thing is away from where it rests, frame by frame."""

    x: np.ndarray
    """Of the frame's side. `(T,)`."""
    y: np.ndarray
    """Of the frame's side. `(T,)`."""
    growth: np.ndarray
    """Of its size. `(T,)`."""
    angle: np.ndarray
    """Degrees. `(T,)`."""

    @classmethod
    def none(cls, num_frames: int) -> Stirring:
        """Rest without a stir."""
        return cls(*np.zeros((4, num_frames)))

    def applied_to(self, actor: Actor) -> Actor:
        """The actor with its stirs."""
        return replace(
            actor,
            x=actor.x + self.x,
            y=actor.y + self.y,
            width=actor.width * (1.0 + self.growth),
            height=actor.height * (1.0 + self.growth),
            angle=actor.angle + self.angle,
        )


def stir(draft: Draft, stirring: Stirring, frames: range) -> None:
    """Draw stirs for a rest, the stretch `frames` of `stirring`; they are whole or not there."""
    rng = draft.rng
    at = frames.start
    while True:
        at += int(rng.integers(LONGEST_STILL * FRAMES_PER_SECOND))
        shortest = int(SHORTEST_STIR * FRAMES_PER_SECOND)
        length = int(rng.integers(shortest, LONGEST_STIR * FRAMES_PER_SECOND + 1))
        if at + length > frames.stop:
            return
        part = slice(at, at + length)
        moment = replace(draft, times=draft.times[part])
        STIRS[draft.choice(*STIRS)](moment, stirring, part, hump(np.linspace(0.0, 1.0, length)))
        at += length


def _sway(draft: Draft, stirring: Stirring, part: slice, strength: np.ndarray) -> None:
    reach = draft.level.distractor_reach
    stirring.x[part] = reach * draft.wander() * strength
    stirring.y[part] = reach * draft.wander() * strength


def _tremble(draft: Draft, stirring: Stirring, part: slice, strength: np.ndarray) -> None:
    for values in (stirring.x, stirring.y):
        steps = draft.rng.uniform(-LARGEST_TREMBLE, LARGEST_TREMBLE, len(strength))
        values[part] = steps * strength


def _tilt(draft: Draft, stirring: Stirring, part: slice, strength: np.ndarray) -> None:
    stirring.angle[part] = LARGEST_TILT * draft.wander() * strength


def _grow(draft: Draft, stirring: Stirring, part: slice, strength: np.ndarray) -> None:
    stirring.growth[part] = LARGEST_GROWTH * draft.wander() * strength


STIRS: dict[str, Callable[[Draft, Stirring, slice, np.ndarray], None]] = {
    "sway": _sway,
    "tremble": _tremble,
    "tilt": _tilt,
    "grow": _grow,
}
"""Functions that write a stir into a stretch of `Stirring`, with its strength, `(T,)`."""
