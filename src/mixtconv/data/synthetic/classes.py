"""The classes of the synthetic dataset, and the settings of its two levels, read from a file.

Each class is one motion, forwards or backwards, mirrored or not; its partner (`reverse`) is the
same motion in the other direction:

    Moving something from left to right      = moving across, forwards
    Moving something from right to left      = moving across, backwards

`levels.yaml` holds them all. A `Level` says how large, how noisy and how cluttered clips are:
lengths are fractions of the frame's side, angles degrees, noise and light of 255.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml

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
    return level_of(level).classes


def find_class(name: str, level: LevelName) -> SyntheticClass:
    """The class called `name` at `level`; an unknown name is refused with the nearest ones."""
    by_name = {c.name: c for c in classes(level)}
    if name not in by_name:
        raise unknown_name(f"class of level {level}:", name, by_name)
    return by_name[name]


def clip_classes(
    level: LevelName, names: Sequence[str] | None = None
) -> tuple[SyntheticClass, ...]:
    """The classes of a level, or those of these names, each with its partner.

    Raises:
        ValueError: a name is none of them, a class is there without its reverse, or fewer than two.
    """
    return _chosen(names, classes(level), kind=f"class of level {level}:")


def recorded_classes(
    level: LevelName, names: Sequence[str] | None = None
) -> tuple[SyntheticClass, ...]:
    """The classes of a level that long recordings show, or those of these names.

    Raises:
        ValueError: as for `clip_classes`.

    Example:
        >>> [c.motion for c in recorded_classes("easy")[::2]]
        ['moving across', 'moving upwards', 'approaching', 'turning']
    """
    recorded = level_of(level).recorded
    among = tuple(c for c in classes(level) if c.motion in recorded)
    return _chosen(names, among, kind=f"class in recordings of level {level}:")


def _chosen(
    names: Sequence[str] | None, among: tuple[SyntheticClass, ...], *, kind: str
) -> tuple[SyntheticClass, ...]:
    """The classes of these names, in the order of `among`; all if None. `kind` is for messages."""
    if names is None:
        return among
    by_name = {c.name: c for c in among}
    for name in names:
        if name not in by_name:
            raise unknown_name(kind, name, by_name)
        if (reverse := by_name[name].reverse) not in names:
            raise ValueError(
                f"class {name!r} is requested without its reverse: both are needed for order to "
                f"matter; add {reverse!r}"
            )
    chosen = tuple(c for c in among if c.name in names)
    if len(chosen) < 2:
        raise ValueError(
            f"{len(chosen)} classes requested: at least 2 are needed; leave class_names out for all"
        )
    return chosen


def pairs_of(chosen: Sequence[SyntheticClass]) -> tuple[tuple[str, str], ...]:
    """Names of the classes that are each other's reverse in time, each pair once."""
    return tuple((c.name, c.reverse) for c in chosen if c.is_paired and not c.run_backwards)


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
    recorded: tuple[str, ...]
    """The motions that long recordings show: of one thing, so that two can be seen at once, and
    recognized without knowing when a clip begins and ends."""
    classes: tuple[SyntheticClass, ...]
    """The classes, partners next to each other."""


def level_of(name: LevelName) -> Level:
    """The level of a name; an unknown one is refused with the nearest ones."""
    levels = _read_levels()
    if name not in levels:
        raise unknown_name("level", name, levels)
    return levels[name]


@cache
def _read_levels() -> dict[str, Level]:
    text = (files("mixtconv.data.synthetic") / "levels.yaml").read_text(encoding="utf-8")
    levels = {}
    for name, content in yaml.safe_load(text).items():
        settings: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in content["settings"].items()
        }
        everything = tuple(c for motion in content["classes"] for c in _classes_of(**motion))
        levels[name] = Level(**settings, classes=everything)
    return levels


def _classes_of(
    motion: str,
    forwards: str,
    probes: str,
    backwards: str | None = None,
    mirror: Any = "same",
    flipped: bool = False,
) -> Iterator[SyntheticClass]:
    """The classes of one entry of `levels.yaml`, which explains the arguments."""
    names = (forwards, backwards or forwards)
    reverses = names[::-1]
    mirrors = {"same": names, "partner": reverses}.get(str(mirror), mirror)
    for i in range(1 if backwards is None else 2):
        yield SyntheticClass(names[i], reverses[i], mirrors[i], probes, motion, i == 1, flipped)
