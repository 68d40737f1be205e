"""Labels along a long video: the prediction of every window of it, in one pass over its frames.

A window's scores are those of `Recognizer.predict` on a file of just its frames: the same frames
are chosen among them, cropped alike and averaged alike. Of every frame only its crops are kept, for
as long as a window that it is in is open.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixtconv.data.frame_folder import list_frames, load_frames
from mixtconv.data.modality import join_snippets, snippet_frames
from mixtconv.data.timed_frames import timed_frames
from mixtconv.data.transforms import CROPS, mirror, scoring_side
from mixtconv.data.windows import TimedItem, Window, WindowPlan, windows
from mixtconv.inference.ranking import Prediction, ranked
from mixtconv.inference.recognizer import Recognizer


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
    recognizer: Recognizer, video: str | Path, plan: WindowPlan, *, top_k: int = 5
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
    recognizer: Recognizer, video: str | Path, plan: WindowPlan
) -> Iterator[tuple[Window[Tensor], Tensor]]:
    """Every window and its logits (K,), averaged over the views; see `predict_windows`."""
    if recognizer.model.spec.modality in ("flow", "rgbflow"):
        raise ValueError(
            "the model takes optical flow, which videos do not hold; leave --window out, or use a "
            "model of modality rgb or rgbdiff"
        )
    for window in windows(_crops_of_frames(recognizer, Path(video), plan), plan):
        yield window, recognizer.view_logits(_views(recognizer, window))


def _views(recognizer: Recognizer, window: Window[Tensor]) -> Tensor:
    """The views of a window, uint8 (V, T, C, S, S), as `read_views` has those of a file."""
    spec, protocol = recognizer.model.spec, recognizer.protocol

    def choose(num_places: int) -> list[int]:
        return [frame for clip in protocol.clips(spec, num_places) for frame in clip]

    chosen = snippet_frames(len(window.frames), choose, spec.snippet.num_frames)
    frames = torch.stack([window.frames[index].kept for index in chosen])  # (F, crops, 3, S, S)
    clips = frames.unflatten(0, (protocol.num_clips, protocol.clip_frames(spec), -1))
    views = clips.movedim(3, 1).flatten(0, 1)  # (V, T, L, 3, S, S)
    views = torch.stack(
        [
            mirror(view, spec.modality) if mirrored else view
            for view, mirrored in zip(views, protocol.mirrored, strict=True)
        ]
    )
    return join_snippets(views if spec.snippet.num_frames > 1 else views.squeeze(2), spec)


def _crops_of_frames(
    recognizer: Recognizer, video: Path, plan: WindowPlan
) -> Iterator[TimedItem[Tensor]]:
    """Of every frame its crops (crops, 3, S, S), with its time."""
    size, crops = recognizer.model.spec.image_size, CROPS[recognizer.protocol.num_crops]

    def cropped(picture: Tensor) -> Tensor:
        return torch.stack([crop[0] for crop in crops(picture, size)])

    if video.is_dir():
        if not plan.in_frames:
            raise ValueError(
                f"{video} is a folder of pictures, which have no times; give --window and --stride "
                "in frames, such as 32f"
            )
        names = list_frames(video)
        for number in range(len(names)):
            picture = load_frames(video, names, (number,), least_short_side=scoring_side(size))
            time = Fraction(number)
            yield TimedItem(number, time, time + 1, cropped(picture))
        return
    for frame in timed_frames(video):
        picture = torch.as_tensor(frame.to_rgb().copy()).permute(2, 0, 1)[None]  # (1, 3, H, W)
        yield TimedItem(frame.number, frame.start, frame.end, cropped(picture))
