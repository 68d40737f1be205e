"""When something happens in a long recording: actions, and three times as much nothing.

A turn is one action, or two that overlap. Between turns, before the first and after the last,
nothing happens for at least a second, otherwise for times of very different length:

    nothing      up       nothing   left to right         nothing          ...
    ---------|========|-----------|===============|-------------------------
                                          |===========|
                                            clockwise

All begin and end on whole eighths of a second, which are whole frames and short decimals: the
times in a list are exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from mixtconv.data.synthetic.scene import FRAMES_PER_SECOND

STEPS_PER_SECOND = 8

FRAMES_PER_STEP = FRAMES_PER_SECOND // STEPS_PER_SECOND

SHORTEST_ACTION, LONGEST_ACTION = 1, 6
"""Seconds."""

NOTHING_PER_ACTION = 3
"""Seconds of nothing for each second of action."""

SHORTEST_GAP = 1
"""Seconds of nothing around every turn, at least."""

SHORTEST_OVERLAP = 0.5
"""Seconds."""

MIN_SECONDS, MAX_SECONDS = 8, 6 * 3600
"""Length of a recording."""


@dataclass(frozen=True)
class Action:
    """A stretch of a recording that shows a class."""

    class_name: str
    start: int
    """Its first frame."""
    end: int
    """The first frame after it."""

    @property
    def num_frames(self) -> int:
        """Number of frames that show it."""
        return self.end - self.start

    @property
    def seconds(self) -> tuple[Fraction, Fraction]:
        """When it starts and ends, exactly."""
        return Fraction(self.start, FRAMES_PER_SECOND), Fraction(self.end, FRAMES_PER_SECOND)


Turn = tuple[Action, ...]
"""One action, or two of different classes of which the second starts during the first and ends
with it or later."""


def draw_turns(
    rng: np.random.Generator, class_names: Sequence[str], *, seconds: int, overlap: float
) -> tuple[Turn, ...]:
    """Draw the actions of a recording.

    Args:
        rng: gives the chance.
        class_names: at least two, all equally likely.
        seconds: length of the recording, 8 or more.
        overlap: share of actions that overlap with another one, 0 to 1, on average over recordings.

    Returns:
        The turns in the order of time; there is at least one.

    Example:
        >>> turns = draw_turns(np.random.default_rng(0), ["up", "down"], seconds=20, overlap=0)
        >>> [(action.class_name, *action.seconds) for (action,) in turns]
        [...]
    """
    lengths = _draw_lengths(rng, seconds * STEPS_PER_SECOND // (1 + NOTHING_PER_ACTION))
    names = _draw_names(rng, class_names, len(lengths))
    turns = []
    at = 0
    for count in _draw_counts(rng, len(lengths), overlap):
        chosen = slice(at, at + count)
        turns.append(_draw_turn(rng, names[chosen], lengths[chosen], class_names))
        at += count
    taken = [max(action.end for action in turn) for turn in turns]
    gaps = _draw_gaps(rng, len(turns) + 1, seconds * STEPS_PER_SECOND - sum(taken))
    starts = np.cumsum(gaps[:-1]) + np.cumsum([0, *taken[:-1]])
    return tuple(
        tuple(_in_frames(action, int(start)) for action in turn)
        for turn, start in zip(turns, starts, strict=True)
    )


def overlaps(actions: Sequence[Action]) -> tuple[int, float]:
    """How many actions overlap with another one, and the seconds in which there is any.

    Example:
        >>> overlaps([Action("up", 0, 48), Action("left", 24, 72), Action("down", 96, 120)])
        (2, 4.0)
    """
    count = np.zeros(max((action.end for action in actions), default=0), int)
    for action in actions:
        count[action.start : action.end] += 1
    overlapping = sum(int(count[action.start : action.end].max() > 1) for action in actions)
    return overlapping, float((count > 0).sum() / FRAMES_PER_SECOND)


def _draw_lengths(rng: np.random.Generator, total: int) -> list[int]:
    """Lengths of actions that make up `total`, all in steps."""
    shortest, longest = (n * STEPS_PER_SECOND for n in (SHORTEST_ACTION, LONGEST_ACTION))
    lengths: list[int] = []
    while (left := total - sum(lengths)) >= shortest:
        lengths.append(min(int(rng.integers(shortest, longest + 1)), left))
    rng.shuffle(lengths)  # the last one may have been cut short
    return lengths


def _draw_names(rng: np.random.Generator, class_names: Sequence[str], count: int) -> list[str]:
    """Classes in random order, none oftener than as if they took turns."""
    copies = -(-count // len(class_names))
    order = rng.permutation(copies * len(class_names))
    return [class_names[i % len(class_names)] for i in order[:count]]


def _draw_counts(rng: np.random.Generator, num_actions: int, overlap: float) -> list[int]:
    """The number of actions of each turn, 1 or 2."""
    num_pairs = min(int(overlap * num_actions / 2 + rng.uniform()), num_actions // 2)
    counts = [2] * num_pairs + [1] * (num_actions - 2 * num_pairs)
    rng.shuffle(counts)
    return counts


def _draw_turn(
    rng: np.random.Generator, names: list[str], lengths: list[int], class_names: Sequence[str]
) -> Turn:
    """A turn that starts at 0, in steps."""
    first = Action(names[0], 0, lengths[0])
    if len(names) == 1:
        return (first,)
    others = [name for name in class_names if name != names[0]]
    name = names[1] if names[1] in others else others[rng.integers(len(others))]
    shared = int(rng.integers(int(SHORTEST_OVERLAP * STEPS_PER_SECOND), min(lengths) + 1))
    start = lengths[0] - shared
    return first, Action(name, start, start + lengths[1])


def _draw_gaps(rng: np.random.Generator, count: int, total: int) -> np.ndarray:
    """Uneven gaps that make up `total`, all in steps. `(count,)`"""
    shortest = SHORTEST_GAP * STEPS_PER_SECOND
    weights = rng.uniform(size=count) ** 2
    borders = np.floor(np.cumsum(weights) / weights.sum() * (total - count * shortest) + 0.5)
    return shortest + np.diff(borders, prepend=0).astype(int)


def _in_frames(action: Action, start: int) -> Action:
    """An action whose times are in steps, moved by `start` steps, in frames."""
    first, last = ((start + step) * FRAMES_PER_STEP for step in (action.start, action.end))
    return Action(action.class_name, first, last)
