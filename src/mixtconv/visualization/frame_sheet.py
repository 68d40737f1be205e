"""Frames of clips: sheets of captioned rows in order of time, and single frames inside a page."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from mixtconv.models.spec import ModelSpec
from mixtconv.visualization.style import INK, MUTED, axes_at, chart_style, new_figure, wrapped

MAX_SIDE = 192
"""Longer sides are reduced: a frame is about 100 CSS pixels wide, 200 device pixels on fine
screens."""
JPEG_QUALITY = 82


def frame_uris(frames: NDArray[np.uint8]) -> list[str]:
    """Turn frames (T, H, W, 3) into T `data:` addresses of JPEG pictures.

    >>> frame_uris(np.zeros((1, 8, 8, 3), np.uint8))[0][:23]
    'data:image/jpeg;base64,'
    """
    uris = []
    for frame in frames:
        image = Image.fromarray(frame)
        image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=JPEG_QUALITY)
        uris.append("data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode())
    return uris


FRAME, GAP, MARGIN = 112, 3, 12
LINE_HEIGHT, FONT, SPACE = 16, 11.5, 14
FRAMES_IN_A_ROW = 8
MIN_WIDTH = 460
"""For captions where a row has few frames."""


@dataclass(frozen=True)
class FrameRow:
    """The frames of one clip with their caption."""

    frames: NDArray[np.uint8]
    """(T, H, W, 3), in order of time."""
    caption: tuple[str, ...]
    """Sentences above the frames, each beginning a line; the first is the most important."""


def frame_sheet(rows: Sequence[FrameRow]) -> Figure:
    """Draw clips below each other; more than eight frames wrap to a further line.

    >>> sheet = frame_sheet([FrameRow(np.zeros((8, 32, 32, 3), np.uint8), ("a.mp4: jump",))])
    >>> len(sheet.axes)
    1
    """
    in_a_row = min(FRAMES_IN_A_ROW, max(len(row.frames) for row in rows))
    width = max(MIN_WIDTH, 2 * MARGIN + in_a_row * (FRAME + GAP) - GAP)
    with chart_style():
        captions = [
            [
                (line, INK if number == 0 else MUTED)
                for number, sentence in enumerate(row.caption)
                for line in wrapped(sentence, FONT, width=width - 2 * MARGIN)
            ]
            for row in rows
        ]
        strips = [_strip(row.frames) for row in rows]
        heights = [len(lines) * LINE_HEIGHT + strip.shape[0] / _SCALE + SPACE
                   for lines, strip in zip(captions, strips, strict=True)]  # fmt: skip
        whole = MARGIN + sum(heights)
        figure = new_figure(width, whole)
        top = float(MARGIN)
        for lines, strip, height in zip(captions, strips, heights, strict=True):
            for number, (text, color) in enumerate(lines):
                y = 1 - (top + (number + 0.75) * LINE_HEIGHT) / whole
                figure.text(MARGIN / width, y, text, size=FONT, color=color)
            below = top + len(lines) * LINE_HEIGHT
            size = strip.shape[1] / _SCALE, strip.shape[0] / _SCALE
            axes = axes_at(figure, MARGIN, below, *size)
            axes.imshow(strip)
            axes.axis("off")
            top += height
        return figure


_SCALE = 2
"""Pixels of a frame for each pixel of the sheet."""


def _strip(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames side by side in one picture with transparent gaps: (T, H, W, 3) -> (h, w, 4)."""
    side, gap = FRAME * _SCALE, GAP * _SCALE
    height = round(side * frames.shape[1] / frames.shape[2])
    in_a_row = min(FRAMES_IN_A_ROW, len(frames))
    num_rows = math.ceil(len(frames) / FRAMES_IN_A_ROW)
    shape = (num_rows * (height + gap) - gap, in_a_row * (side + gap) - gap, 4)
    strip = np.zeros(shape, np.uint8)
    for index, frame in enumerate(frames):
        y = index // FRAMES_IN_A_ROW * (height + gap)
        x = index % FRAMES_IN_A_ROW * (side + gap)
        picture = Image.fromarray(frame).resize((side, height), Image.Resampling.BICUBIC)
        strip[y : y + height, x : x + side, :3] = np.asarray(picture)
        strip[y : y + height, x : x + side, 3] = 255
    return strip


def shown_frames(clip: NDArray[np.uint8], spec: ModelSpec) -> NDArray[np.uint8]:
    """RGB frames that show what a network sees of a clip: (T, C, H, W) -> (T, H, W, 3).

    Of motion the frames, with what stands still; of differences the first frame of each snippet; of
    optical flow the first field, x as red and y as green (grey-blue is no motion).

    >>> spec = ModelSpec("tsn_resnet18", ("a", "b"), modality="flow")
    >>> shown_frames(np.zeros((8, 10, 32, 32), np.uint8), spec).shape
    (8, 32, 32, 3)
    """
    if spec.modality == "flow":
        blue = np.full_like(clip[:, :1], 128)
        clip = np.concatenate([clip[:, :2], blue], axis=1)  # (T, 3, H, W)
    return np.ascontiguousarray(clip[:, :3].transpose(0, 2, 3, 1))
