"""What a timeline shows at a time: windows overlap, labels on a screen must not.

Between two windows that follow each other the label changes in the middle between their centres,
or, where they do not touch, stops at the end of the one and begins at the start of the other:

    windows      |.....a.....|
                       |.....b.....|
    shown        aaaaaaaaa|bbbbbbbbb
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from mixtconv.inference.timeline import WindowPrediction


@dataclass(frozen=True)
class Segment:
    """A stretch of a video with one label."""

    start: float
    """Seconds from the first frame on."""
    end: float
    """Seconds."""
    label: str
    """The best class."""
    score: float
    """Its score, averaged over the windows."""
    num_windows: int
    """Windows that the stretch was made of."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        values = asdict(self)
        return values | {"start": round(self.start, 4), "end": round(self.end, 4)}


def shown_segments(timeline: Sequence[WindowPrediction], *, merge: bool = False) -> list[Segment]:
    """The best label of each window for the time that it is shown, in order, without overlap.

    Args:
        timeline: windows in order.
        merge: make one segment of neighbours with the same label.

    >>> def window(start, label):
    ...     from mixtconv.inference.ranking import Prediction
    ...     return WindowPrediction(start, start + 4, 0, 100, (Prediction(label, 0.5),), True)
    >>> timeline = [window(0, "wave"), window(2, "wave"), window(4, "jump")]
    >>> [(s.start, s.end, s.label) for s in shown_segments(timeline, merge=True)]
    [(0, 5.0, 'wave'), (5.0, 8, 'jump')]
    """
    if not timeline:
        return []
    borders = [_border(one, other) for one, other in pairwise(timeline)]
    starts = [timeline[0].start, *(start for _, start in borders)]
    ends = [*(end for end, _ in borders), timeline[-1].end]
    segments = [
        Segment(start, end, window.predictions[0].label, window.predictions[0].score, 1)
        for window, start, end in zip(timeline, starts, ends, strict=True)
    ]
    return _merged(segments) if merge else segments


def _border(one: WindowPrediction, other: WindowPrediction) -> tuple[float, float]:
    """When the first is not shown any more, and when the second is."""
    if other.start >= one.end:
        return one.end, other.start
    middle = (one.start + one.end + other.start + other.end) / 4
    return middle, middle


def _merged(segments: Sequence[Segment]) -> list[Segment]:
    """One segment for neighbours that touch and have one label."""
    parts: list[list[Segment]] = []
    for segment in segments:
        last = parts[-1][-1] if parts else None
        if last is not None and (last.label, last.end) == (segment.label, segment.start):
            parts[-1].append(segment)
        else:
            parts.append([segment])
    return [
        Segment(
            part[0].start,
            part[-1].end,
            part[0].label,
            sum(segment.score for segment in part) / len(part),
            len(part),
        )
        for part in parts
    ]
