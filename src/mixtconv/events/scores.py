"""Scores of classes over time, in whole microseconds and millionths.

Each step of a recording, a frame or a window, has a score for every class. Whole numbers make sums,
means and comparisons exact: 0.3 s - 0.1 s is 0.2 s, an average of equal scores is that score, and
one step after the other gives what all at once give. A user's times stay floats: what an event
needs is their order and their differences to the microsecond, not the address of a frame.

Steps that overlap, as windows do, share the time: one lasts until halfway between its centre and
that of the next, as it is shown in a timeline. Where no step is for at most the time held, the one
before lasts; after a longer time without, there is a break, and all begins anew.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from mixtconv._names import first_few
from mixtconv.events.settings import EventSettings

MILLION = 1_000_000
"""Microseconds of a second, and millionths of a score."""

Whole: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Seconds: TypeAlias = float | Fraction


def to_whole(values: npt.ArrayLike) -> Whole:
    """Seconds as microseconds, or scores as millionths.

    >>> to_whole([0.1, 1 / 3]).tolist()
    [100000, 333333]
    """
    return np.rint(np.asarray(values, dtype=np.float64) * MILLION).astype(np.int64)


@dataclass(frozen=True, eq=False)
class ScoreSequence:
    """Scores of a recording.

    Raises:
        ValueError: arrays that do not fit each other, scores that are no probabilities, or steps
            that are not in order.

    >>> ScoreSequence(("wave", "jump"), [0, 1, 2], [1, 2, 3], [[0.9, 0], [0.8, 0], [0, 1]])
    ScoreSequence(2 classes, 3 steps)
    """

    classes: tuple[str, ...]
    """Class names, in the order of the columns."""
    starts: npt.ArrayLike
    """(T,), start of each step in seconds; kept as float64."""
    ends: npt.ArrayLike
    """(T,), end of each step in seconds; kept as float64."""
    scores: npt.ArrayLike
    """(T, K), probabilities; kept as float64."""

    def __post_init__(self) -> None:
        for name in ("starts", "ends", "scores"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=np.float64))
        starts, ends, scores = map(np.asarray, (self.starts, self.ends, self.scores))
        wanted = len(starts), len(self.classes)
        if not len(starts) and not scores.size:
            object.__setattr__(self, "scores", scores.reshape(wanted))
        elif starts.ndim != 1 or starts.shape != ends.shape or scores.shape != wanted:
            raise ValueError(
                f"got starts {starts.shape}, ends {ends.shape} and scores {scores.shape} of "
                f"{len(self.classes)} classes; give (T,), (T,) and (T, {len(self.classes)})"
            )
        check_steps(self.classes, starts, ends, np.asarray(self.scores))

    @classmethod
    def of(
        cls, classes: Sequence[str], steps: Iterable[tuple[Seconds, Seconds, npt.ArrayLike]]
    ) -> "ScoreSequence":
        """The sequence of steps, each with its start, its end and its scores (K,).

        >>> ScoreSequence.of(["wave"], [(0, Fraction(1, 3), [0.5])])
        ScoreSequence(1 class, 1 step)
        """
        rows = [(float(start), float(end), np.asarray(scores)) for start, end, scores in steps]
        starts, ends, scores = zip(*rows, strict=True) if rows else ((), (), ())
        return cls(tuple(classes), starts, ends, scores)

    def __repr__(self) -> str:
        num_steps, num_classes = np.shape(self.scores)
        return (
            f"ScoreSequence({num_classes} class{'es' * (num_classes != 1)}, "
            f"{num_steps} step{'s' * (num_steps != 1)})"
        )


def check_steps(
    classes: Sequence[str],
    starts: npt.NDArray[np.float64],
    ends: npt.NDArray[np.float64],
    scores: npt.NDArray[np.float64],
) -> None:
    """Refuse steps that are not in order, and scores that are no probabilities.

    Raises:
        ValueError: the first such step, with its time.
    """
    if len(set(classes)) < len(classes) or not classes:
        raise ValueError(f"classes are {first_few(classes)}; give one or more different names")
    is_time = np.isfinite(starts) & np.isfinite(ends) & (ends - starts >= 1 / MILLION)
    for at in np.flatnonzero(~is_time)[:1]:
        raise ValueError(
            f"step {at} goes from {starts[at]:g} to {ends[at]:g} s; give an end after its start"
        )
    falls = (np.diff(starts) < 0) | (np.diff(ends) < 0)
    for at in np.flatnonzero(falls)[:1]:
        refuse_disorder((starts[at], ends[at]), (starts[at + 1], ends[at + 1]))
    is_score = (scores >= -0.5 / MILLION) & (scores <= 1 + 0.5 / MILLION)  # NaN is not
    for at, column in np.argwhere(~is_score)[:1]:
        raise ValueError(
            f"the score of {classes[column]!r} at {starts[at]:g} s is {scores[at, column]:g}; give "
            "probabilities, from 0 to 1"
        )


def refuse_disorder(one: tuple[float, float], other: tuple[float, float]) -> None:
    """Raise a ValueError if a step begins or ends before the one that came before it."""
    if other[0] < one[0] or other[1] < one[1]:
        raise ValueError(
            f"a step from {other[0]:g} to {other[1]:g} s follows one from {one[0]:g} to "
            f"{one[1]:g} s; give steps in order"
        )


@dataclass(frozen=True)
class Runs:
    """Stretches in which a class is active, in the order of their first steps; R of them."""

    columns: Whole
    """(R,), its class, as a column of the scores."""
    starts: Whole
    """(R,), in microseconds."""
    ends: Whole
    """(R,)."""


class SmoothedScores:
    """Scores of a recording after their moving average, all at once.

    The average at step i is that of the steps that began within the last `smoothing_seconds`. It
    holds for the middle one of them, as an average delays by half its length: the time of a change
    at step i is where that one begins.

    Args:
        sequence: scores.
        smoothing_seconds, hold_seconds: as in `EventSettings`.
    """

    def __init__(
        self, sequence: ScoreSequence, *, smoothing_seconds: float, hold_seconds: float
    ) -> None:
        self.classes = sequence.classes
        starts, self._ends = to_whole(sequence.starts), to_whole(sequence.ends)
        steps = np.arange(len(starts))
        self._breaks = np.ones(len(starts), bool)  # whether all begins anew at a step
        self._breaks[1:] = starts[1:] - self._ends[:-1] > to_whole(hold_seconds)
        anew = np.maximum.accumulate(np.where(self._breaks, steps, 0))
        self._onward = starts[anew]  # times since the last break begin here
        self._borders = starts.copy()  # where a step begins
        centres = starts + self._ends  # twice the centres
        overlaps = np.flatnonzero(starts[1:] < self._ends[:-1]) + 1
        self._borders[overlaps] = (centres[overlaps - 1] + centres[overlaps]) // 4
        begun = np.searchsorted(starts, starts - to_whole(smoothing_seconds), side="right")
        first = np.minimum(np.maximum(begun, anew), steps)  # of the steps that are averaged
        self._middle = (first + steps) // 2
        self._counts = steps + 1 - first
        self.totals = np.zeros((len(sequence.classes), len(starts) + 1), np.int64)
        np.cumsum(to_whole(sequence.scores).T, axis=1, out=self.totals[:, 1:])
        self._sums = self.totals[:, 1:] - self.totals[:, first]  # (K, T)
        self._winners: Whole | None = None

    def borders(self, lag: int) -> Whole:
        """Where each step begins, (T,) in microseconds, always later than the one before.

        Args:
            lag: how late the scores are, in microseconds.
        """
        borders = np.maximum(self._borders - lag, self._onward)
        steps = np.arange(len(borders))
        return np.maximum.accumulate(borders - steps) + steps

    def runs(self, settings: EventSettings) -> Runs:
        """Stretches in which classes are active, by hysteresis, but for background."""
        borders = self.borders(int(to_whole(settings.lag_seconds)))
        num_steps = len(borders)
        if not num_steps:
            return Runs(*np.zeros((3, 0), np.int64))
        columns = np.array(event_columns(self.classes, settings))
        enter, leave = thresholds(self.classes, settings)
        sums = self._sums if len(columns) == len(self.classes) else self._sums[columns]
        is_on = sums >= enter[:, None] * self._counts  # (E, T)
        is_off = sums < leave[:, None] * self._counts
        if settings.exclusive:
            if self._winners is None:
                self._winners = self._sums.argmax(axis=0)
            is_on &= self._winners == columns[:, None]
            is_off |= self._winners != columns[:, None]
        # A class is as it was at the last step that decided: where it entered, left, or all began.
        decides = is_on | is_off | self._breaks
        decided = np.maximum.accumulate(np.where(decides, np.arange(num_steps), 0), axis=1)
        is_active = np.take_along_axis(is_on, decided, axis=1)
        before = np.zeros_like(is_active)
        before[:, 1:] = is_active[:, :-1] & ~self._breaks[1:]
        goes_on = np.zeros_like(is_active)
        goes_on[:, :-1] = is_active[:, 1:] & ~self._breaks[1:]
        which, begins = np.nonzero(is_active & ~before)
        _, lasts = np.nonzero(is_active & ~goes_on)
        # After the last step before a break, or of all, nothing is known: the run ends with it.
        after = np.append(borders[self._middle[1:]], 0)
        is_cut = np.append(self._breaks[1:], True)
        ends = np.where(is_cut, np.maximum(self._ends, borders + 1), after)[lasts]
        starts = borders[self._middle[begins]]
        order = np.argsort(begins, kind="stable") if settings.exclusive else slice(None)
        return Runs(columns[which][order], starts[order], ends[order])


def event_columns(classes: Sequence[str], settings: EventSettings) -> list[int]:
    """The columns of the classes that are not background."""
    return [at for at, label in enumerate(classes) if label not in settings.background]


def thresholds(classes: Sequence[str], settings: EventSettings) -> tuple[Whole, Whole]:
    """To enter and to leave, (E,) in millionths each, of the classes but background."""
    rules = [settings.rule_of(classes[at]) for at in event_columns(classes, settings)]
    enter = to_whole([rule.enter for rule in rules])
    return enter, to_whole([rule.leave_threshold for rule in rules])
