"""A video with captions drawn on it."""

import math
from bisect import bisect
from collections.abc import Iterator, Sequence
from contextlib import suppress
from fractions import Fraction
from functools import cache
from operator import itemgetter
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mixtconv._atomic_write import written_whole
from mixtconv._types import Frame
from mixtconv.video.reader import frame_rate
from mixtconv.video.timing import timed_frames
from mixtconv.video.writer import write_video

MAX_FRAMES_PER_SECOND = 60
"""Rate of the written video, at most; a variable rate becomes the average one."""

Caption = tuple[float, float, str]
"""Start and end in seconds, and the text."""


def write_labelled_video(video: str | Path, path: str | Path, captions: Sequence[Caption]) -> None:
    """Write a copy of a video with captions in a bar at the bottom, without sound.

    Every frame is shown when the original shows it, at a constant rate. An odd width or height
    loses its last pixel, since H.264 needs even ones. Two pictures are in memory at a time.

    Args:
        video: a video file.
        path: the file to write.
        captions: in order, without overlap.

    Raises:
        UnreadableVideoError: the video gives no frame.
    """
    _say_lacking_letters([text for *_, text in captions])
    rate = min(frame_rate(video) or Fraction(25), Fraction(MAX_FRAMES_PER_SECOND))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as unfinished:
        write_video(
            unfinished,
            _captioned(_steady(Path(video), rate), rate, captions),
            frames_per_second=rate,
            container={".mkv": "matroska"}.get(path.suffix.lower(), "mp4"),
        )


def draw_caption(picture: Frame, text: str) -> Frame:
    """A copy of a picture (H, W, 3) with a line of text in a dark bar at its bottom.

    >>> draw_caption(np.full((120, 160, 3), 255, np.uint8), "wave (90 %)").shape
    (120, 160, 3)
    """
    height, width = picture.shape[:2]
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image, "RGBA")
    parts = _parts(text)

    def lengths(size: int) -> list[float]:
        return [draw.textlength(part, font=_font(file, size)) for part, file in parts]

    size = max(9, height // 14)
    while size > 6 and sum(lengths(size)) > width - size:
        size -= 1
    bar = round(1.7 * size)
    draw.rectangle((0, height - bar, width, height), fill=(0, 0, 0, 170))
    left = float(size // 2)
    for (part, file), length in zip(parts, lengths(size), strict=True):
        place = (left, height - bar // 2)
        draw.text(place, part, fill="white", font=_font(file, size), anchor="lm")
        left += length
    return np.array(image)


def _parts(text: str) -> list[tuple[str, str | None]]:
    """A text in parts, each with the file of a font that has its letters.

    Without matplotlib all of it is for Pillow's own font, which None stands for.
    """
    try:
        from mixtconv._fonts import font_runs  # noqa: PLC0415 - only to draw
    except ImportError:
        return [(text, None)]
    return [*font_runs(text)]


@cache
def _font(file: str | None, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)


def _say_lacking_letters(texts: Sequence[str]) -> None:
    with suppress(ImportError):  # Pillow's own font does not tell
        from mixtconv._fonts import say_lacking_letters  # noqa: PLC0415

        say_lacking_letters(texts, "captions show")


def _steady(video: Path, rate: Fraction) -> Iterator[Frame]:
    """The latest frame at each tick of a constant rate, of even width and height."""
    tick, newest = 0, None
    for frame in timed_frames(video):
        while newest is not None and tick < math.ceil(frame.seconds * rate - Fraction(1, 2)):
            yield newest
            tick += 1
        picture = frame.kept.to_rgb()
        newest = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
    if newest is not None:
        yield newest


def _captioned(
    pictures: Iterator[Frame], rate: Fraction, captions: Sequence[Caption]
) -> Iterator[Frame]:
    """The pictures with the caption of their time; captions are in order and do not overlap."""
    for number, picture in enumerate(pictures):
        seconds = float(number / rate)
        started = bisect(captions, seconds, key=itemgetter(0))
        _, end, text = captions[started - 1] if started else (0, 0, "")
        yield draw_caption(picture, text) if seconds < end else picture
