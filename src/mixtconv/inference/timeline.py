"""Labels along a long video: predictions of overlapping windows, and the segments shown for them.

`predict_windows` makes one pass over the frames. The scores of a window are those of
`Recognizer.predict` on a file of just its frames: the same frames are chosen among them, cropped
and averaged in the same way. Of every frame only its crops are kept, until the last window that
contains it is complete.

`shown_segments` removes the overlap: the label changes halfway between the centres of two adjacent
windows; where they do not touch, it ends with the first and begins again with the second:

    windows      |.....a.....|
                       |.....b.....|
    shown        aaaaaaaaa|bbbbbbbbb
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from mixtconv.inference.predicting import Prediction, VideoRecognizer, labels_of_logits
from mixtconv.video.in_memory import VideoLike, opened
from mixtconv.video.windows import WindowPlan, window_views


@dataclass(frozen=True)
class WindowPrediction:
    """The labels of one window."""

    start: float
    """Seconds since the first frame of the video."""
    end: float
    """Seconds; the end of the video if that comes first."""
    first_frame: int
    """Number of its first frame in the video, from 0."""
    num_frames: int
    """Number of frames."""
    predictions: tuple[Prediction, ...]
    """The best classes, best first."""
    is_whole: bool
    """Whether the video lasts until its end."""
    several: bool = False
    """Whether all labels hold at once; else the best one is shown."""

    @property
    def shown(self) -> tuple[Prediction, ...]:
        """The labels that are shown for it: the best, or of several all, perhaps none."""
        return self.predictions if self.several else self.predictions[:1]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "start": round(self.start, 4),
            "end": round(self.end, 4),
            "first_frame": self.first_frame,
            "num_frames": self.num_frames,
            "whole": self.is_whole,
            "predictions": [asdict(prediction) for prediction in self.predictions],
        }


def predict_windows(
    recognizer: VideoRecognizer, video: VideoLike, plan: WindowPlan, *, top_k: int = 5
) -> Iterator[WindowPrediction]:
    """Labels of every window of a video, each as soon as its last frame is decoded.

    Args:
        recognizer: the model and the protocol of clips and crops in each window.
        video: a file, an address, bytes or frames with their rate, as for
            `VideoRecognizer.predict`; or a folder of numbered pictures, with windows in frames.
        plan: length and stride of the windows.
        top_k: how many labels of each.

    Raises:
        UnreadableVideoError: the video gives no frame.
        ValueError: windows in seconds for pictures without times, or a model of optical flow.
    """
    with opened(video) as source:
        for window, views in window_views(recognizer.reader, source, plan):
            logits = recognizer.view_logits(views)
            yield WindowPrediction(
                start=float(window.start),
                end=float(window.end),
                first_frame=window.frames[0].number,
                num_frames=len(window.frames),
                predictions=tuple(labels_of_logits(logits, recognizer.spec, top_k)),
                is_whole=window.is_whole,
                several=recognizer.spec.several_labels,
            )


@dataclass(frozen=True)
class Segment:
    """A part of a video with one label."""

    start: float
    """Seconds since the first frame."""
    end: float
    """Seconds."""
    label: str
    """The best class."""
    score: float
    """Its score, averaged over the windows."""
    num_windows: int
    """Windows merged into it."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        values = asdict(self)
        return values | {"start": round(self.start, 4), "end": round(self.end, 4)}


def shown_segments(timeline: Sequence[WindowPrediction], *, merge: bool = False) -> list[Segment]:
    """The best label of each window while it is shown, in order, without overlap.

    Of windows of several labels each label of a window has a segment, which begins and ends with
    those of the others.

    Args:
        timeline: windows in order.
        merge: merge adjacent segments with the same label.

    >>> def window(start, label):
    ...     from mixtconv.inference.predicting import Prediction
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
        Segment(start, end, shown.label, shown.score, 1)
        for window, start, end in zip(timeline, starts, ends, strict=True)
        for shown in window.shown
    ]
    return _merged(segments) if merge else segments


def _border(one: WindowPrediction, other: WindowPrediction) -> tuple[float, float]:
    """End of the first one on the screen, and start of the second."""
    if other.start >= one.end:
        return one.end, other.start
    middle = (one.start + one.end + other.start + other.end) / 4
    return middle, middle


def _merged(segments: Sequence[Segment]) -> list[Segment]:
    """Merge segments that touch and have the same label."""
    merged: list[Segment] = []
    places: dict[str, int] = {}  # of the last segment of each label
    for segment in segments:
        place = places.get(segment.label)
        if place is None or merged[place].end != segment.start:
            places[segment.label] = len(merged)
            merged.append(segment)
            continue
        last = merged[place]
        count = last.num_windows + 1
        score = (last.score * last.num_windows + segment.score) / count
        merged[place] = replace(last, end=segment.end, score=score, num_windows=count)
    return merged
