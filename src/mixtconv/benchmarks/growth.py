"""How the time of inference grows with the number of clips and of frames.

Every part of a recognizer does the same for each frame, so its time should be proportional to the
frames that it sees: a line of slope 1 where both axes are logarithmic.
"""

from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from mixtconv._types import Progress
from mixtconv.benchmarks.model import RECOGNIZERS, random_clips
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import interleave
from mixtconv.models import VideoClassifier
from mixtconv.models.device import autocast, resolve_device


@dataclass(frozen=True)
class Growth:
    """Time against the size of what is computed."""

    axis: str
    """What grows."""
    sizes: tuple[int, ...]
    """How many of it."""
    seconds: tuple[float, ...]
    """Median time at each size."""

    @property
    def exponent(self) -> float:
        """Slope of the line through all points, both axes logarithmic; 1 is linear.

        >>> round(Growth("clips", (1, 2, 4), (1.0, 4.0, 16.0)).exponent, 6)
        2.0
        """
        return float(np.polyfit(np.log(self.sizes), np.log(self.seconds), deg=1)[0])

    @property
    def seconds_each(self) -> float:
        """What one costs where all cost the same: the line of slope 1 nearest to the points."""
        return float(np.exp(np.mean(np.log(np.divide(self.seconds, self.sizes)))))

    @property
    def largest_deviation(self) -> float:
        """How far a point lies off that line at most, as a part of the line; 0.1 is 10 %.

        >>> round(Growth("clips", (1, 4), (1.0, 16.0)).largest_deviation, 6)
        1.0
        """
        line = np.multiply(self.sizes, self.seconds_each)
        return float(np.abs(np.divide(self.seconds, line) - 1).max())


def measure_growth(
    workload: Workload,
    *,
    clips: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64),
    frames: tuple[int, ...] = (4, 8, 16, 32, 64),
    rounds: int = 5,
    progress: Progress | None = None,
) -> list[Growth]:
    """Time inference of MSTNet at several numbers of clips, and of frames of one clip.

    Args:
        workload: backbone, image size, device and precision; frames of a clip where clips grow.
        clips: numbers of clips at a time.
        frames: numbers of frames of one clip.
        rounds: how often each size runs, all sizes in turn.
        progress: called after every round.

    Returns:
        Growth with clips, and growth with frames.
    """
    device = resolve_device(workload.device)
    model = RECOGNIZERS["MSTNet"](workload).to(device).eval()
    grown = {f"{size} clips": replace(workload, batch_size=size) for size in clips}
    grown |= {f"{size} frames": replace(workload, batch_size=1, num_frames=size) for size in frames}
    runs = {name: partial(_infer, model, random_clips(w, device)) for name, w in grown.items()}
    with torch.inference_mode(), autocast(workload.precision, device):
        timings = interleave(runs, rounds=rounds, device=device, progress=progress)
    medians = {timing.name: timing.median_seconds for timing in timings}
    return [
        Growth(axis, sizes, tuple(medians[f"{size} {axis}"] for size in sizes))
        for axis, sizes in (("clips", clips), ("frames", frames))
    ]


def _infer(model: VideoClassifier, clips: Tensor) -> Tensor:
    model.set_num_frames(clips.shape[1])
    return model(clips)
