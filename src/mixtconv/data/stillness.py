"""Whether the camera stands still: how much of the picture does not change within a clip.

A clip is looked at through 12 of its frames at 12 x 16 grey pixels.
"""

from collections.abc import Sequence

import numpy as np
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mixtconv.data.clips import read_clip
from mixtconv.data.parallel import Item, in_parallel, usable_cores
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.sampling import middles
from mixtconv.video.segment import Video

NUM_LOOKS = 12
"""Frames of a clip that are looked at."""
LOOK_SIZE = (12, 16)
"""Height and width at which they are."""
STILL_SPREAD = 8.0
"""Standard deviation over time, of 255 grey levels, below which a pixel stands still."""
STILL_CAMERA = 0.5
"""Fraction of pixels that stand still in a clip of a still camera."""
MAX_WATCHED = 32
"""Videos that are read to decide."""


def evenly_chosen(items: Sequence[Item], count: int) -> Sequence[Item]:
    """So many of the items, evenly spread over them; all if there are no more."""
    if len(items) <= count:
        return items
    return [items[place] for place in np.linspace(0, len(items) - 1, count).astype(int)]


def looks_in(num_frames: int) -> list[int]:
    """Numbers of the frames that are looked at, the middles of equal parts of a clip.

    >>> looks_in(24)[:3]
    [1, 3, 5]
    """
    return middles(num_frames, NUM_LOOKS)


def grey_looks(frames: Tensor) -> NDArray[np.float32]:
    """Frames (T, 3, H, W) as grey pictures (T, *LOOK_SIZE), from 0 to 255."""
    grey = frames.float().mean(dim=1, keepdim=True)
    return F.adaptive_avg_pool2d(grey, LOOK_SIZE)[:, 0].numpy()


def stillness(looks: NDArray[np.float32]) -> float:
    """Fraction of the pixels of grey pictures (T, H, W) that stand still."""
    return float((looks.std(axis=0) < STILL_SPREAD).mean())


def camera_stands_still(videos: Sequence[Video]) -> bool:
    """Whether the camera stands still in most of some videos, evenly chosen ones of many.

    Those that cannot be read are left out; without any that can, it does not.
    """
    found = []
    for _, outcome in in_parallel(
        evenly_chosen(videos, MAX_WATCHED), _stillness_of, workers=usable_cores()
    ):
        try:
            found.append(outcome.result())
        except UnreadableVideoError:
            continue
    return bool(found) and float(np.median(found)) > STILL_CAMERA


def _stillness_of(video: Video) -> float:
    return stillness(grey_looks(read_clip(video, looks_in, num_threads=1).frames))
