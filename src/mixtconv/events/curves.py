"""Scores over time at few enough points to be drawn, whatever the length of a recording."""

import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

MAX_POINTS = 2000
"""Of each curve."""

MAX_CURVES = 20
"""Classes whose scores are shown where fewer have events."""


SAME_SECONDS = 0.001
"""Times that are closer are one."""


class ScoreCurves:
    """A curve of the scores of each class, in memory that does not grow with their number.

    A point is the highest score of so many steps that follow each other: one at first, and twice as
    many whenever there are more points than allowed. So no peak is lost. Scores of the same time
    are one step.

    Args:
        classes: class names, in the order of the scores.
        max_points: points of a curve, an even number.

    >>> curves = ScoreCurves(["wave"], max_points=2)
    >>> for second, score in enumerate([0.1, 0.9, 0.3, 0.2, 0.4]):
    ...     curves.push(second, [score])
    >>> curves.finish(5)
    >>> curves.to_dict(["wave"])["starts"], curves.to_dict(["wave"])["classes"]
    ([0.0, 4.0], [{'label': 'wave', 'values': [0.9, 0.4]}])
    """

    def __init__(self, classes: Sequence[str], *, max_points: int = MAX_POINTS) -> None:
        if max_points < 2 or max_points % 2:
            raise ValueError(f"max_points is {max_points}; give an even number from 2 on")
        self.classes = tuple(classes)
        self._max_points = max_points
        self._starts: list[float] = []
        self._peaks: list[npt.NDArray[np.float32]] = []
        self._width, self._in_last = 1, 0  # steps of a point, and of the last one so far
        self._end = 0.0
        self._latest = -math.inf

    def push(self, start: float, scores: npt.ArrayLike) -> None:
        """Give it the scores (K,) from a time on, in seconds."""
        row = np.asarray(scores, dtype=np.float32)
        is_same = start - self._latest < SAME_SECONDS  # as while the first average fills
        self._latest = self._latest if is_same else start
        if self._starts and (is_same or self._in_last < self._width):
            self._peaks[-1] = np.maximum(self._peaks[-1], row)
            self._in_last += not is_same
            return
        if len(self._starts) == self._max_points:
            pairs = zip(self._peaks[::2], self._peaks[1::2], strict=True)
            self._peaks = [np.maximum(*pair) for pair in pairs]
            self._starts = self._starts[::2]
            self._width *= 2
        self._starts.append(float(start))
        self._peaks.append(row)
        self._in_last = 1

    def finish(self, end: float) -> None:
        """The last scores hold up to a time."""
        self._end = float(end)

    @property
    def end(self) -> float:
        """Where the curves end, in seconds."""
        return self._end

    def shown(self, labels: Collection[str]) -> list[str]:
        """Classes to draw, in their order: some, and up to 20 in all those of the highest peaks."""
        peaks = np.max(self._peaks, axis=0) if self._peaks else np.zeros(len(self.classes))
        by_peak = [self.classes[at] for at in np.argsort(-peaks, kind="stable")]
        others = [label for label in by_peak if label not in labels]
        chosen = {*labels, *others[: max(0, MAX_CURVES - len(set(labels)))]}
        return [label for label in self.classes if label in chosen]

    def to_dict(self, labels: Sequence[str]) -> dict[str, Any]:
        """Plain values, as JSON holds them, of some classes: seconds, and scores to 0.001."""
        peaks = np.array(self._peaks, dtype=np.float64).reshape(-1, len(self.classes)).round(3)
        columns = [self.classes.index(label) for label in labels]
        return {
            "starts": [round(start, 3) for start in self._starts],
            "end": round(self._end, 3),
            "classes": [
                {"label": label, "values": peaks[:, column].tolist()}
                for label, column in zip(labels, columns, strict=True)
            ],
        }
