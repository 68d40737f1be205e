"""Labels along a long video: the prediction of every window of it, in one pass over its frames.

A window's scores are those of `Recognizer.predict` on a file of just its frames: the same frames
are chosen among them, cropped alike and averaged alike. Of every frame only its crops are kept, for
as long as a window that it is in is open.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mixtconv.data.window_views import window_views
from mixtconv.data.windows import Window, WindowPlan
from mixtconv.inference.predicting import VideoRecognizer
from mixtconv.inference.ranking import Prediction, ranked


@dataclass(frozen=True)
class WindowPrediction:
    """The labels of one window."""

    start: float
    """Seconds from the first frame of the video on."""
    end: float
    """Seconds; the video's end, where that comes first."""
    first_frame: int
    """Number of its first frame in the video, from 0."""
    num_frames: int
    """Frames in it."""
    predictions: tuple[Prediction, ...]
    """The best classes, best first."""
    is_whole: bool
    """Whether the video goes on to its end."""

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
    recognizer: VideoRecognizer, video: str | Path, plan: WindowPlan, *, top_k: int = 5
) -> Iterator[WindowPrediction]:
    """Labels of every window of a video, each as soon as its last frame is decoded.

    Args:
        recognizer: model and protocol, whose clips and crops are those of each window.
        video: a file; or a folder of numbered pictures, whose windows count frames.
        plan: length and stride of the windows.
        top_k: how many labels of each.

    Raises:
        UnreadableVideoError: the video gives no frame.
        ValueError: windows in seconds of pictures without times, or a model of optical flow.
    """
    for window, logits in window_logits(recognizer, video, plan):
        yield WindowPrediction(
            start=float(window.start),
            end=float(window.end),
            first_frame=window.frames[0].number,
            num_frames=len(window.frames),
            predictions=tuple(ranked(logits, recognizer.classes, top_k)),
            is_whole=window.is_whole,
        )


def window_logits(
    recognizer: VideoRecognizer, video: str | Path, plan: WindowPlan
) -> Iterator[tuple[Window[Any], Any]]:
    """Every window and its logits (K,), averaged over the views; see `predict_windows`."""
    for window, views in window_views(recognizer.reader, Path(video), plan):
        yield window, recognizer.view_logits(views)
