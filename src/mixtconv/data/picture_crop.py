"""The middle of pictures, as models are tested on it; without torch.

Pillow resizes as torchvision does, to a difference of at most one of 255 steps: both average over
the pixels that a new one covers.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

RESIZE_RATIO = 256 / 224
"""Short side of a frame before cropping for a test, as a multiple of the crop."""


def scoring_side(size: int) -> int:
    """Short side to which frames are resized before they are cropped for a test.

    >>> scoring_side(224)
    256
    """
    return round(size * RESIZE_RATIO)


def center_crop_pictures(pixels: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """The middle of pictures: short side to size * 256 / 224, then size x size.

    Args:
        pixels: RGB (T, H, W, 3).
        size: S.

    Returns:
        (T, S, S, 3), as `transforms.center_crop` has it.

    >>> center_crop_pictures(np.zeros((8, 256, 340, 3), dtype=np.uint8), 224).shape
    (8, 224, 224, 3)
    """
    height, width = pixels.shape[1:3]
    short, side = min(height, width), scoring_side(size)
    new_height, new_width = (
        side if each == short else side * each // short for each in (height, width)
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
