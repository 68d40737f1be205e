"""Frames of a clip as pictures inside a page."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

MAX_SIDE = 192
"""Longer sides are reduced: a frame is about 100 pixels wide on the page, on fine screens twice."""
JPEG_QUALITY = 82


def frame_uris(frames: NDArray[np.uint8]) -> list[str]:
    """Turn frames (T, H, W, 3) into T `data:` addresses of JPEG pictures.

    >>> frame_uris(np.zeros((1, 8, 8, 3), np.uint8))[0][:23]
    'data:image/jpeg;base64,'
    """
    return [_jpeg_uri(frame) for frame in frames]


def _jpeg_uri(frame: NDArray[np.uint8]) -> str:
    image = Image.fromarray(frame)
    image.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
