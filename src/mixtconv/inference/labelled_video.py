"""A video with captions drawn on it."""

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from mixtconv._types import Frame
from mixtconv.video.reader import frame_rate
from mixtconv.video.windows import timed_frames
from mixtconv.video.writer import write_video

MOST_FRAMES_PER_SECOND = 60
"""Of the video that is written; one whose rate changes is written at its average rate."""

Caption = tuple[float, float, str]
"""Start and end in seconds, and the text."""


def write_labelled_video(video: str | Path, path: str | Path, captions: Sequence[Caption]) -> None:
    """Write a video again, with captions in a bar at the bottom, and without sound.

    Every frame is shown when the original shows it, at a steady rate. One pixel is cut off at the
    right and the bottom where width and height are odd, which H.264 cannot have. Two pictures are
    held at a time.

    Args:
        video: a video file.
        path: the file to write.
        captions: in order, without overlap.

    Raises:
        UnreadableVideoError: the video gives no frame.
    """
    rate = min(frame_rate(video) or Fraction(25), Fraction(MOST_FRAMES_PER_SECOND))
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    write_video(
        path, _captioned(_steady(Path(video), rate), rate, captions), frames_per_second=rate
    )


def draw_caption(picture: Frame, text: str) -> Frame:
    """A copy of a picture (H, W, 3) with a line of text in a dark bar at its bottom.

    >>> draw_caption(np.full((120, 160, 3), 255, np.uint8), "wave (90 %)").shape
    (120, 160, 3)
    """
    height, width = picture.shape[:2]
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image, "RGBA")
    size = max(9, height // 14)
    font = _font(size)
    while size > 6 and draw.textlength(text, font=font) > width - size:
        size -= 1
        font = _font(size)
    bar = round(1.7 * size)
    draw.rectangle((0, height - bar, width, height), fill=(0, 0, 0, 170))
    draw.text((size // 2, height - bar // 2), text, fill="white", font=font, anchor="lm")
    return np.array(image)


def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which comes with matplotlib and has the letters of most alphabets."""
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)


def _steady(video: Path, rate: Fraction) -> Iterator[Frame]:
    """At each tick of the rate the latest frame, of even width and height."""
    tick, newest = 0, None
    for frame in timed_frames(video):
        while newest is not None and tick < math.ceil(frame.start * rate - Fraction(1, 2)):
            yield newest
            tick += 1
        picture = frame.to_rgb()
        newest = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
    if newest is not None:
        yield newest


def _captioned(
    pictures: Iterator[Frame], rate: Fraction, captions: Sequence[Caption]
) -> Iterator[Frame]:
    waiting = iter(captions)
    caption = next(waiting, None)
    for number, picture in enumerate(pictures):
        seconds = float(number / rate)
        while caption is not None and seconds >= caption[1]:
            caption = next(waiting, None)
        shown = caption is not None and seconds >= caption[0]
        yield draw_caption(picture, caption[2]) if shown and caption is not None else picture
