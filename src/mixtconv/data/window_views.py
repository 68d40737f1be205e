"""The views of every window of a video, in one pass over its frames.

Of every frame only what its views need is kept, for as long as a window that it is in is open.
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from mixtconv.data.frame_folder import list_frames, load_pictures
from mixtconv.data.picture_crop import scoring_side
from mixtconv.data.timed_frames import timed_frames
from mixtconv.data.view_reader import ViewReader
from mixtconv.data.windows import TimedItem, Window, WindowPlan, windows


def window_views(
    reader: ViewReader, video: Path, plan: WindowPlan
) -> Iterator[tuple[Window[Any], Any]]:
    """Every window and its views, each as soon as its last frame is decoded.

    Raises:
        UnreadableVideoError: the video gives no frame.
        ValueError: windows in seconds of pictures without times, or a model of optical flow.
    """
    if reader.spec.modality in ("flow", "rgbflow"):
        raise ValueError(
            "the model takes optical flow, which videos do not hold; leave --window out, or use a "
            "model of modality rgb or rgbdiff"
        )
    for window in windows(_kept_frames(reader, video, plan), plan):
        yield window, reader.views_of([frame.kept for frame in window.frames])


def _kept_frames(reader: ViewReader, video: Path, plan: WindowPlan) -> Iterator[TimedItem[Any]]:
    """Of every frame what the reader keeps, with its time."""
    if video.is_dir():
        if not plan.in_frames:
            raise ValueError(
                f"{video} is a folder of pictures, which have no times; give --window and --stride "
                "in frames, such as 32f"
            )
        names, side = list_frames(video), scoring_side(reader.spec.image_size)
        for number in range(len(names)):
            [picture] = load_pictures(video, names, (number,), least_short_side=side)
            time = Fraction(number)
            yield TimedItem(number, time, time + 1, reader.keep(picture))
        return
    for frame in timed_frames(video):
        yield TimedItem(frame.number, frame.start, frame.end, reader.keep(frame.to_rgb()))
