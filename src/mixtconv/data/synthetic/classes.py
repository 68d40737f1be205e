"""The classes of the synthetic dataset, and the settings of its two levels.

Classes are named like those of Something-Something. Each class is one motion, forwards or
backwards, mirrored or not; its partner (`reverse`) is the same motion in the other direction:

    Moving something from left to right      = moving across, forwards
    Moving something from right to left      = moving across, backwards

A `Level` says how large, how noisy and how cluttered clips are: lengths are fractions of the
frame's side, angles degrees, noise and light of 255.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mixtconv._names import unknown_name

LevelName = Literal["easy", "hard"]


@dataclass(frozen=True)
class SyntheticClass:
    """One class of the synthetic dataset."""

    name: str
    """Label, and the name of the folder that holds its clips."""
    reverse: str
    """The class that a clip of this one belongs to when its frames are run backwards."""
    mirror: str
    """The class that a clip of this one belongs to when its frames are flipped horizontally."""
    probes: str
    """What a network has to recognize to distinguish this class from the others."""
    motion: str
    """The motion that generates it, a key of `motions.MOTIONS` or `rhythms.RHYTHMS`."""
    run_backwards: bool = False
    """Whether the motion's frames are taken from the last to the first."""
    flipped: bool = False
    """Whether the motion's frames are flipped horizontally."""

    @property
    def is_paired(self) -> bool:
        """Whether the class has a direction in time, so that its reverse is another class."""
        return self.reverse != self.name


def classes(level: LevelName = "easy") -> tuple[SyntheticClass, ...]:
    """The classes of a level, partners next to each other.

    Example:
        >>> [c.name for c in classes("easy")[:2]]
        ['Moving something from left to right', 'Moving something from right to left']
        >>> len(classes("easy")), len(classes("hard"))
        (16, 24)
    """
    if level not in _CLASSES:
        raise unknown_name("level", level, _CLASSES)
    return _CLASSES[level]


def find_class(name: str, level: LevelName) -> SyntheticClass:
    """The class called `name` at `level`; an unknown name is refused with the nearest ones."""
    by_name = {c.name: c for c in classes(level)}
    if name not in by_name:
        raise unknown_name(f"class of level {level}:", name, by_name)
    return by_name[name]


def _pair(motion: str, forward: str, backward: str, *, probes: str) -> tuple[SyntheticClass, ...]:
    """A motion and its reverse, each unchanged by a mirror."""
    return (
        SyntheticClass(forward, backward, forward, probes, motion),
        SyntheticClass(backward, forward, backward, probes, motion, run_backwards=True),
    )


def _sided(motion: str, forward: str, backward: str, *, probes: str) -> tuple[SyntheticClass, ...]:
    """A motion and its reverse, which a mirror exchanges as it does left and right."""
    return (
        SyntheticClass(forward, backward, backward, probes, motion),
        SyntheticClass(backward, forward, forward, probes, motion, run_backwards=True),
    )


def _ascending_spin() -> tuple[SyntheticClass, ...]:
    """Two directions of rotation by two of travel: time exchanges both, a mirror one."""
    probes = "a fast local motion (the spin) and a slow global one (the way) at the same time"
    name = "Spinning something {} while moving it {}".format
    clockwise, counterclockwise = "clockwise", "counterclockwise"
    rows = []
    for spin, other in ((clockwise, counterclockwise), (counterclockwise, clockwise)):
        flipped = spin == counterclockwise
        up, down = name(spin, "up"), name(other, "down")
        rows.append(
            SyntheticClass(up, down, name(other, "up"), probes, "spinning upwards", False, flipped)
        )
        rows.append(
            SyntheticClass(down, up, name(spin, "down"), probes, "spinning upwards", True, flipped)
        )
    return tuple(rows)


_UP_DOWN = _pair(
    "moving upwards",
    "Moving something up",
    "Moving something down",
    probes="vertical direction of a motion over a large part of the frame",
)
_INTO = _pair(
    "putting into",
    "Putting something into something",
    "Taking something out of something",
    probes="whether an object disappears behind the rim of another one or comes out of it",
)

_EASY = (
    *_sided(
        "moving across",
        "Moving something from left to right",
        "Moving something from right to left",
        probes="horizontal direction of a motion over a large part of the frame",
    ),
    *_UP_DOWN,
    *_pair(
        "approaching",
        "Something approaching the camera",
        "Something moving away from the camera",
        probes="growing or shrinking, in place",
    ),
    *_pair(
        "opening",
        "Opening something",
        "Closing something",
        probes="whether the inside is uncovered or covered by a part of the same thing",
    ),
    *_sided(
        "turning",
        "Turning something clockwise",
        "Turning something counterclockwise",
        probes="direction of a rotation in place, from one side over the top to the other",
    ),
    *_INTO,
    *_pair(
        "covering",
        "Covering something with something",
        "Uncovering something",
        probes="which of two things is in front at the end",
    ),
    *_pair(
        "joining",
        "Moving something and something closer to each other",
        "Moving something and something away from each other",
        probes="change of the distance between two things, along any axis",
    ),
)

_HARD = (
    *_sided(
        "moving across slowly",
        "Moving something slowly from left to right",
        "Moving something slowly from right to left",
        probes="a long span: the motion takes most of the clip",
    ),
    *_sided(
        "moving across quickly",
        "Moving something quickly from left to right",
        "Moving something quickly from right to left",
        probes="a short span: the same way in a fifth of the clip, at an unknown moment",
    ),
    *_UP_DOWN,
    *_INTO,
    *_sided(
        "spinning",
        "Spinning something clockwise",
        "Spinning something counterclockwise",
        probes="direction of a fast rotation: neighbouring samples only, the ends say nothing",
    ),
    *_ascending_spin(),
    *_pair(
        "speeding up",
        "Something speeding up",
        "Something slowing down",
        probes="acceleration along a way of any direction: early steps against late steps",
    ),
    *_pair(
        "lifting and dropping",
        "Lifting something slowly, then letting it drop",
        "Throwing something up, then lowering it slowly",
        probes="a long span beside a short one: both ends are alike, only the tempo differs",
    ),
    *_pair(
        "ball soon before box",
        "Lifting a ball, then soon a box",
        "Lifting a box, then soon a ball",
        probes="order of two short events with a short gap",
    ),
    *_pair(
        "ball long before box",
        "Lifting a ball, then much later a box",
        "Lifting a box, then much later a ball",
        probes="order of two short events with a gap of half the clip: reach",
    ),
    SyntheticClass(
        "Lifting something twice",
        "Lifting something twice",
        "Lifting something twice",
        "counting: the same time aloft as three times, in two parts",
        "lifting twice",
    ),
    SyntheticClass(
        "Lifting something three times",
        "Lifting something three times",
        "Lifting something three times",
        "counting: the same time aloft as twice, in three parts",
        "lifting three times",
    ),
)

_CLASSES: dict[str, tuple[SyntheticClass, ...]] = {"easy": _EASY, "hard": _HARD}


Range = tuple[float, float]


@dataclass(frozen=True)
class Level:
    """Settings of one level of the synthetic dataset."""

    object_size: Range
    """Diameter of the subject."""
    num_distractors: tuple[int, int]
    """Minimum and maximum number of distractors."""
    distractor_size: Range
    """Diameter of a distractor."""
    distractor_saturation: Range
    """Saturation of distractors; that of the subject is 0.8 to 1."""
    distractor_motion: float
    """Probability that a distractor moves by itself, independent of the class."""
    distractor_reach: float
    """Its largest distance from its place then; far less than the motion of the class."""
    shake: float
    """Standard deviation of the camera's jitter from frame to frame."""
    drift: float
    """Largest offset of the camera's slow drift over the clip."""
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
