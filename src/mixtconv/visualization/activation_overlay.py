"""Class activation laid over the frames that it was computed from."""

from typing import Any

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F

OPACITY = 0.65
"""Of the colour where activation is strongest; where there is none the frame is left as it is."""


def overlay(
    frames: NDArray[np.uint8], maps: NDArray[Any], *, strongest: float
) -> NDArray[np.uint8]:
    """Lay activation over frames, as colour from purple (weak) to yellow (strong).

    Args:
        frames: (T, H, W, 3).
        maps: (T, h, w), 0 or more; enlarged to the frames.
        strongest: the activation that is yellow, one for all frames that are compared.

    Returns:
        (T, H, W, 3).

    >>> frames = np.zeros((1, 4, 4, 3), np.uint8)
    >>> bool((overlay(frames, np.zeros((1, 2, 2)), strongest=1.0) == frames).all())
    True
    """
    size = frames.shape[1:3]
    enlarged = F.interpolate(
        torch.as_tensor(maps, dtype=torch.float32)[:, None], size, mode="bilinear"
    )[:, 0]  # (T, H, W)
    strength = (enlarged / (strongest or 1.0)).clamp(0, 1).numpy()
    colors = matplotlib.colormaps["plasma"](strength)[..., :3] * 255  # (T, H, W, 3)
    alpha = OPACITY * np.sqrt(strength)[..., None]
    return np.round((1 - alpha) * frames + alpha * colors).astype(np.uint8)
