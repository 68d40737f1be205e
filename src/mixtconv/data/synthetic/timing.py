"""When things happen inside a clip: intervals, easing and humps, as functions of time in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """The part of a clip that an action takes, as fractions of the clip."""

    start: float
    end: float

    def progress(self, times: np.ndarray) -> np.ndarray:
        """How far the action has come at `times`: 0 before, 1 after, linear between. `(T,)`.

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
    """Starts and stops gently."""
    return progress * progress * (3.0 - 2.0 * progress)


EASINGS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "steady": lambda progress: progress,
    "smooth": smooth,
    "gentle stop": lambda progress: 1.0 - (1.0 - progress) ** 1.5,
    "gentle start": lambda progress: progress**1.5,
}
"""Ways to get from 0 to 1, none so uneven as to look like speeding up or slowing down."""


def random_easing(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """One of `EASINGS`."""
    return EASINGS[list(EASINGS)[rng.integers(len(EASINGS))]]


def hump(progress: np.ndarray) -> np.ndarray:
    """Up in the first quarter, held, down in the last: the same when time is reversed. `(T,)`.

    Example:
        >>> hump(np.linspace(0, 1, 5)).tolist()
        [0.0, 1.0, 1.0, 1.0, 0.0]
    """
    return smooth(np.clip(4.0 * np.minimum(progress, 1.0 - progress), 0.0, 1.0))
