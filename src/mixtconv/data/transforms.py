"""Crops and mirror images of clips, the same for all frames of a clip.

Clips are uint8 (T, 3, H, W) throughout; the model normalises them on its device. In memory the
channels of a pixel may be adjacent, as decoded: torch then resizes 3 to 7 times as fast, with the
same result. Multi-scale cropping follows "Temporal Segment Networks" (arXiv 1608.00859), as TSN and
TSM train; resizing and cropping for tests as they test. Different here: random choices come from
the sample's own generator, not from a global one, so that a sample is the same in every worker.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torchvision.transforms.v2.functional as F
from torch import Tensor

from mixtconv.data.rand_augment import as_one_picture, mean_color
from mixtconv.models.spec import Modality
from mixtconv.video.crops import scoring_side

CROP_SCALES = (1.0, 0.875, 0.75, 0.66)
"""Sides of a training crop as fractions of the frame's short side, as published."""
RAND_MAGNITUDE = 7.0
"""Strength of RandAugment, 0 to 10, with which video transformers are mostly trained."""
MAX_DISTORTION = 1
"""Maximum distance in the list of scales between the height and the width of a crop."""


def multi_scale_crop(
    clip: Tensor,
    size: int,
    rng: np.random.Generator,
    *,
    scales: Sequence[float] = CROP_SCALES,
) -> Tensor:
    """Crop a clip at one of several scales and one of 13 positions, and resize it to size x size.

    Args:
        clip: uint8 (T, 3, H, W).
        size: height and width of the result.
        rng: random generator.
        scales: sides to choose from, as fractions of the short side, in descending order.

    Returns:
        uint8 (T, 3, size, size).
    """
    height, width = clip.shape[-2:]
    short = min(height, width)
    sides = [
        (round(short * scales[i]), round(short * scales[j]))
        for i in range(len(scales))
        for j in range(len(scales))
        if abs(i - j) <= MAX_DISTORTION
    ]
    crop_height, crop_width = sides[rng.integers(len(sides))]
    places = _crop_places(height - crop_height, width - crop_width)
    top, left = places[rng.integers(len(places))]
    return F.resized_crop(clip, top, left, crop_height, crop_width, [size, size], antialias=True)


@dataclass(frozen=True)
class Jitter:
    """Random changes of a training clip beside its crop and mirroring."""

    time: float = 0.0
    """Largest fraction of the video that a clip sampled by segments leaves out."""
    color: float = 0.0
    """Brightness, contrast and saturation change by factors of up to 1 - color to 1 + color."""
    degrees: float = 0.0
    """Largest angle of rotation."""
    operations: int = 0
    """Operations of RandAugment."""
    magnitude: float = RAND_MAGNITUDE
    """Their strength, 0 to 10."""
    erasing: float = 0.0
    """Probability of erasing a box."""


def jitter_pictures(clip: Tensor, jitter: Jitter, rng: np.random.Generator) -> Tensor:
    """Change colours and rotate, the same for all frames: uint8 (..., 3, H, W) -> the same shape.

    Contrast changes about the mean of the clip. Corners that a rotation leaves empty take the
    clip's mean colour, which makes the faintest edge.
    """
    if not (jitter.color or jitter.degrees):
        return clip
    frames = clip.flatten(0, -4)  # (N, 3, H, W)
    if jitter.color:
        factors = rng.uniform(1 - jitter.color, 1 + jitter.color, 3).tolist()
        frames = as_one_picture(frames, _change_colors, factors)
    if jitter.degrees:
        angle = float(rng.uniform(-jitter.degrees, jitter.degrees))
        fill = mean_color(frames)
        frames = F.rotate(frames, angle, interpolation=F.InterpolationMode.BILINEAR, fill=fill)
    return frames.reshape(clip.shape)


def _change_colors(image: Tensor, factors: Sequence[float]) -> Tensor:
    """Brightness, contrast and saturation of a picture (3, H, W), each by its factor."""
    for adjust, factor in zip(_COLOR_CHANGES, factors, strict=True):
        image = adjust(image, factor)
    return image


_COLOR_CHANGES = (F.adjust_brightness, F.adjust_contrast, F.adjust_saturation)


def center_jitter_crop(
    clip: Tensor,
    size: int,
    rng: np.random.Generator,
    *,
    scales: Sequence[float] = CROP_SCALES,
) -> Tensor:
    """Crop a clip near its centre, at a random scale, and resize it to size x size.

    Where `multi_scale_crop` shows any part of the frame, this varies what tests see, the centre:
    for actions that fill the frame.

    Args:
        clip: uint8 (T, 3, H, W).
        size: height and width of the result.
        rng: random generator.
        scales: height and width are between the smallest and the largest, as fractions of the short
            side; their ratio varies by `CENTER_DISTORTION`.

    Returns:
        uint8 (T, 3, size, size).
    """
    frame = np.array(clip.shape[-2:])
    side = rng.uniform(min(scales), max(scales)) * frame.min()
    distortion = CENTER_DISTORTION ** rng.uniform(-1, 1, size=2)
    extent = np.minimum(np.round(side * distortion), frame).clip(1)
    shift = CENTER_SHIFT * frame.min() * rng.uniform(-1, 1, size=2)
    first = np.round((frame - extent) / 2 + shift).clip(0, frame - extent)
    top, left, height, width = (int(value) for value in (*first, *extent))
    return F.resized_crop(clip, top, left, height, width, [size, size], antialias=True)


CENTER_SHIFT = 0.08
"""Largest distance from the centre, vertical or horizontal, as a fraction of the short side."""
CENTER_DISTORTION = 1.1
"""Largest factor of height and of width."""

CropPlaces = Literal["anywhere", "center"]
RANDOM_CROPS: dict[CropPlaces, Callable[..., Tensor]] = {
    "anywhere": multi_scale_crop,
    "center": center_jitter_crop,
}
"""Random crops by where they lie."""


def _crop_places(free_height: int, free_width: int) -> list[tuple[int, int]]:
    """(top, left) of TSN's 13 crops: corners, centre, edge middles, and quarter points."""
    quarters = [(row, column) for row in (0, 2, 4) for column in (0, 2, 4)]
    quarters += [(row, column) for row in (1, 3) for column in (1, 3)]
    return [(free_height * row // 4, free_width * column // 4) for row, column in quarters]


def least_training_side(size: int, scales: Sequence[float] = CROP_SCALES) -> int:
    """Smallest short side of frames at which no training crop is enlarged.

    >>> least_training_side(224)
    340
    """
    return math.ceil(size / min(scales))


def mirror(clip: Tensor, modality: Modality = "rgb") -> Tensor:
    """Flip every frame horizontally; the label may change with it (see `labels.py`).

    In optical flow, whose channels (..., C, H, W) alternate between x and y, motion to the right
    becomes motion to the left: x becomes 255 - x. In rgbflow the channels are R, G, B, x, y, ...
    """
    mirrored = F.horizontal_flip(clip)
    to_the_right = _FLOW_TO_THE_RIGHT.get(modality)
    if to_the_right is not None:
        mirrored[..., to_the_right, :, :] = 255 - mirrored[..., to_the_right, :, :]
    return mirrored


_FLOW_TO_THE_RIGHT: dict[Modality, slice] = {
    "flow": slice(0, None, 2),
    "rgbflow": slice(3, None, 5),
}
"""Channels that are x of optical flow."""


def center_crop(clip: Tensor, size: int) -> list[Tensor]:
    """The centre crop: short side to size * 256 / 224, then size x size."""
    resized = F.resize(clip, [scoring_side(size)], antialias=True)
    return [F.center_crop(resized, [size, size])]


def three_crops(clip: Tensor, size: int) -> list[Tensor]:
    """Three squares that cover the frames along their long side, at full resolution.

    The short side becomes size * 256 / 224 (256 for 224), and so are the squares.
    """
    return three_squares(clip, scoring_side(size))


def three_squares(clip: Tensor, side: int) -> list[Tensor]:
    """Three squares along the long side of the frames, of the short side, which becomes `side`."""
    resized = F.resize(clip, [side], antialias=True)
    height, width = resized.shape[-2:]
    return [
        F.crop(resized, (height - side) * place // 2, (width - side) * place // 2, side, side)
        for place in (0, 1, 2)
    ]


def five_crops(clip: Tensor, size: int) -> list[Tensor]:
    """The four corners and the centre of the frames: short side to size * 256 / 224, then size."""
    resized = F.resize(clip, [scoring_side(size)], antialias=True)
    height, width = resized.shape[-2:]
    places = _crop_places(height - size, width - size)
    return [F.crop(resized, *places[place], size, size) for place in (0, 2, 6, 8, 4)]


def twice_five_crops(clip: Tensor, size: int) -> list[Tensor]:
    """The five crops twice, the second time to be mirrored."""
    return five_crops(clip, size) * 2


CROPS: dict[int, Callable[[Tensor, int], list[Tensor]]] = {
    1: center_crop,
    3: three_crops,
    5: five_crops,
    10: twice_five_crops,
}
"""Crop functions by the number of crops: clip (T, 3, H, W) and size -> crops (T, 3, S, S)."""

OWN_SIZE_CROPS = CROPS | {3: three_squares}
"""The same with all crops of the given size, for networks that take no other."""
