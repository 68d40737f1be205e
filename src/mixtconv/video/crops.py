"""The centre crop of frames, as models are tested on it.

Pillow resizes as torchvision does, to a difference of at most one of 255 steps: both average over
the pixels that a new one covers.
"""

import numpy as np
from PIL import Image

from mixtconv._types import Frame

RESIZE_RATIO = 256 / 224
"""Short side of a frame before cropping for a test, as a multiple of the crop."""


def scoring_side(size: int) -> int:
    """Short side to which frames are resized before they are cropped for a test.

    >>> scoring_side(224)
    256
    """
    return round(size * RESIZE_RATIO)


def center_crop_pictures(pixels: Frame, size: int) -> Frame:
    """The centre crop of frames: short side to size * 256 / 224, then size x size.

    Args:
        pixels: RGB (T, H, W, 3).
        size: S.

    Returns:
        (T, S, S, 3), the crop of `mixtconv.data.transforms.center_crop`.

    >>> center_crop_pictures(np.zeros((8, 256, 340, 3), dtype=np.uint8), 224).shape
    (8, 224, 224, 3)
    """
    height, width = pixels.shape[1:3]
    short, side = min(height, width), scoring_side(size)
    new_height, new_width = (
        side if length == short else side * length // short for length in (height, width)
    )
    top, left = round((new_height - size) / 2), round((new_width - size) / 2)
    box = (left, top, left + size, top + size)
    resized = (
        Image.fromarray(np.ascontiguousarray(picture))
        .resize((new_width, new_height), Image.Resampling.BILINEAR)
        .crop(box)
        for picture in pixels
    )
    return np.stack([np.asarray(picture) for picture in resized])  # (T, S, S, 3)
