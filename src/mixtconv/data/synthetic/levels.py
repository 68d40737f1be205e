"""How large, how noisy and how cluttered the clips of each level are.

Lengths are fractions of the frame's side, angles degrees, noise and light of 255.
"""

from __future__ import annotations

from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Level:
    """Settings of one level of the synthetic dataset."""

    object_size: Range
    """Diameter of the thing that the class is about."""
    num_distractors: tuple[int, int]
    """Fewest and most other things in the picture."""
    distractor_size: Range
    """Diameter of those."""
    distractor_saturation: Range
    """How colourful those are; the thing itself is at 0.75 to 1."""
    distractor_motion: float
    """Probability that one of those moves by itself, whatever the class."""
    distractor_reach: float
    """How far it then gets from its place; far less than the motion of the class."""
    shake: float
    """Standard deviation of the camera's jitter from frame to frame."""
    drift: float
    """Slow wandering of the camera over the clip, largest offset."""
    flicker: float
    """Largest change of brightness over the clip, as a factor."""
    noise: Range
    """Standard deviation of the sensor's noise."""


LEVELS: dict[str, Level] = {
    "easy": Level(
        object_size=(0.22, 0.32),
        num_distractors=(0, 3),
        distractor_size=(0.05, 0.09),
        distractor_saturation=(0.05, 0.3),
        distractor_motion=0.25,
        distractor_reach=0.06,
        shake=0.003,
        drift=0.02,
        flicker=0.06,
        noise=(1.0, 5.0),
    ),
    "hard": Level(
        object_size=(0.16, 0.22),
        num_distractors=(2, 5),
        distractor_size=(0.06, 0.12),
        distractor_saturation=(0.3, 0.9),
        distractor_motion=0.6,
        distractor_reach=0.1,
        shake=0.008,
        drift=0.05,
        flicker=0.15,
        noise=(3.0, 10.0),
    ),
}
