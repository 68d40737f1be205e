"""RandAugment and random erasing of whole clips: one draw for all frames.

"RandAugment" (arXiv 1909.13719) with the fourteen operations and the ranges of torchvision's
`v2.RandAugment`, "Random Erasing" (arXiv 1708.04896) with the boxes of torchvision's. Different
here:

- What an operation measures in a picture (contrast its mean, autocontrast the extremes, equalize
  the histogram) is measured over the clip, so that all frames change alike: a measure of each frame
  makes a still scene flicker when something enters it.
- Corners that a shape leaves empty take the clip's mean colour, and pixels are interpolated.
- A box is filled with noise that is the same in all frames, so that it does not move.
- A strength is any number of 0 to 10, as in timm, not one of some bins. The rest of timm's
  `rand-m7-n4-mstd0.5-inc1`, with which video transformers are trained, differs: it leaves each of
  its 4 operations out in half of the cases (2 here are as many), varies the strength by 0.5 and
  keeps 4 to 0 bits where posterize here keeps 8 to 4; it has inverting and `SolarizeAdd`, and no
  identity.

No operation mirrors, so that labels which name a side stay right.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor

MAX_MAGNITUDE = 10.0
ERASED_AREA = (0.02, 0.33)
"""Least and largest part of the picture that a box covers."""
ERASED_RATIO = (0.3, 3.3)
"""Least and largest ratio of its height to its width."""
ERASING_ATTEMPTS = 10
"""Boxes that are drawn until one is inside the picture; then nothing is erased."""


def rand_augment(
    clip: Tensor, rng: np.random.Generator, *, num_operations: int, magnitude: float
) -> Tensor:
    """Change a clip by operations drawn at random, the same for all frames.

    Args:
        clip: uint8 (..., 3, H, W).
        rng: random generator.
        num_operations: operations, one after the other; one may be drawn twice.
        magnitude: their strength, 0 to 10.

    Returns:
        uint8 (..., 3, H, W).

    >>> clip = torch.zeros(8, 3, 32, 32, dtype=torch.uint8)
    >>> rand_augment(clip, np.random.default_rng(0), num_operations=2, magnitude=7).shape
    torch.Size([8, 3, 32, 32])
    """
    frames = clip.flatten(0, -4)  # (N, 3, H, W)
    names = list(OPERATIONS)
    for _ in range(num_operations):
        change = OPERATIONS[names[rng.integers(len(names))]]
        sign = 1 if rng.random() < 0.5 else -1
        frames = change(frames, sign * magnitude / MAX_MAGNITUDE)
    return frames.reshape(clip.shape)


def erase_box(clip: Tensor, rng: np.random.Generator) -> Tensor:
    """Fill a random box with noise, the same in all frames: uint8 (..., 3, H, W) -> the same shape.

    >>> clip = torch.zeros(8, 3, 32, 32, dtype=torch.uint8)
    >>> erased = erase_box(clip, np.random.default_rng(0))
    >>> bool((erased == erased[0]).all()), bool(erased.any())
    (True, True)
    """
    height, width = clip.shape[-2:]
    for _ in range(ERASING_ATTEMPTS):
        area = height * width * rng.uniform(*ERASED_AREA)
        ratio = math.exp(rng.uniform(*np.log(ERASED_RATIO)))
        rows, columns = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < rows < height and 0 < columns < width:
            # Before the noise, whose draws are more in a larger picture
            top, left = rng.integers(height - rows + 1), rng.integers(width - columns + 1)
            noise = torch.from_numpy(rng.integers(0, 256, (3, rows, columns), dtype=np.uint8))
            return F.erase(clip, int(top), int(left), rows, columns, noise)
    return clip


def mean_color(frames: Tensor) -> list[float]:
    """Mean R, G and B of frames (N, 3, H, W), which makes the faintest edge where a shape ends."""
    return frames.movedim(1, 0).flatten(1).float().mean(dim=1).tolist()


def as_one_picture(frames: Tensor, change: Callable[..., Tensor], *args: Any) -> Tensor:
    """Change the colours of frames by what is measured over all of them.

    Args:
        frames: uint8 (N, 3, H, W).
        change: takes a picture (3, N * H, W), then `args`.

    Returns:
        uint8 (N, 3, H, W).
    """
    picture = frames.movedim(1, 0).flatten(1, 2)  # (3, N * H, W)
    return change(picture, *args).unflatten(1, (len(frames), -1)).movedim(0, 1)


def _affine(
    frames: Tensor,
    *,
    shift: tuple[float, float] = (0.0, 0.0),
    slope: tuple[float, float] = (0.0, 0.0),
) -> Tensor:
    """Shift by pixels (x, y) and shear about the upper left corner by slopes (x, y)."""
    return F.affine(
        frames,
        angle=0.0,
        translate=[int(shift[0]), int(shift[1])],
        scale=1.0,
        shear=[math.degrees(math.atan(value)) for value in slope],
        interpolation=F.InterpolationMode.BILINEAR,
        fill=mean_color(frames),
        center=[0.0, 0.0],
    )


def _rotate(frames: Tensor, level: float) -> Tensor:
    fill = mean_color(frames)
    return F.rotate(frames, 30 * level, interpolation=F.InterpolationMode.BILINEAR, fill=fill)


def _blend(frames: Tensor, level: float, *, change: Callable[[Tensor, float], Tensor]) -> Tensor:
    return as_one_picture(frames, change, 1 + 0.9 * level)


OPERATIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "identity": lambda frames, level: frames,
    "shear_x": lambda frames, level: _affine(frames, slope=(0.3 * level, 0)),
    "shear_y": lambda frames, level: _affine(frames, slope=(0, 0.3 * level)),
    "translate_x": lambda frames, level: _affine(
        frames, shift=(150 / 331 * frames.shape[-1] * level, 0)
    ),
    "translate_y": lambda frames, level: _affine(
        frames, shift=(0, 150 / 331 * frames.shape[-2] * level)
    ),
    "rotate": _rotate,
    "brightness": partial(_blend, change=F.adjust_brightness),
    "color": partial(_blend, change=F.adjust_saturation),
    "contrast": partial(_blend, change=F.adjust_contrast),
    "sharpness": lambda frames, level: F.adjust_sharpness(frames, 1 + 0.9 * level),
    "posterize": lambda frames, level: F.posterize(frames, 8 - round(4 * abs(level))),
    "solarize": lambda frames, level: F.solarize(frames, 255 * (1 - abs(level))),
    "autocontrast": lambda frames, level: as_one_picture(frames, F.autocontrast),
    "equalize": lambda frames, level: as_one_picture(frames, F.equalize),
}
"""Name -> frames uint8 (N, 3, H, W) and a level of -1 to 1 -> changed frames."""
