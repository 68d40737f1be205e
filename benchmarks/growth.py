"""Time of inference against clips and frames: is it linear?

    python benchmarks/growth.py --out growth.png [--backbone resnet18] [--image-size 112]

Every part of a recognizer does the same for each frame, so its time should be proportional to the
number of frames: a line of slope 1 on logarithmic axes. Draws clips and frames beside that line,
and prints the exponent that fits best and the largest deviation. Measured twice, in new processes:
with the C library's default allocation, which maps large tensors anew every time, and with memory
that is kept.
"""

import argparse
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from matplotlib import pyplot
from torch import Tensor

from mixtconv.benchmarks.environment import describe_environment
from mixtconv.benchmarks.memory import KEEP_MEMORY
from mixtconv.benchmarks.model import RECOGNIZERS, random_clips
from mixtconv.benchmarks.processes import run_fresh
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import interleave
from mixtconv.models import VideoClassifier
from mixtconv.models.device import autocast, resolve_device

ALLOCATION: dict[str, dict[str, str]] = {"default memory": {}, "memory kept": KEEP_MEMORY}


@dataclass(frozen=True)
class Growth:
    """Time against the size of what is computed."""

    axis: str
    """What grows: clips or frames."""
    sizes: tuple[int, ...]
    """Numbers of clips or frames."""
    seconds: tuple[float, ...]
    """Median time at each size."""

    @property
    def exponent(self) -> float:
        """Slope of the line fitted to all points on logarithmic axes; 1 is linear.

        >>> round(Growth("clips", (1, 2, 4), (1.0, 4.0, 16.0)).exponent, 6)
        2.0
        """
        return float(np.polyfit(np.log(self.sizes), np.log(self.seconds), deg=1)[0])

    @property
    def seconds_each(self) -> float:
        """Seconds of one, by the line of slope 1 fitted to all points."""
        return float(np.exp(np.mean(np.log(np.divide(self.seconds, self.sizes)))))

    @property
    def largest_deviation(self) -> float:
        """Largest distance of a point from that line, as a fraction of the line; 0.1 is 10 %.

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
) -> list[Growth]:
    """Time inference of MSTNet at several numbers of clips, and of frames of one clip.

    Args:
        workload: backbone, image size, device and precision; its frames are those of each clip
            while the number of clips grows.
        clips: numbers of clips in a batch.
        frames: numbers of frames of one clip.
        rounds: times that each size runs, in turn with the others.

    Returns:
        Growth with clips, and growth with frames.
    """
    device = resolve_device(workload.device)
    model = RECOGNIZERS["MSTNet"](workload).to(device).eval()
    grown = {f"{size} clips": replace(workload, batch_size=size) for size in clips}
    grown |= {f"{size} frames": replace(workload, batch_size=1, num_frames=size) for size in frames}
    runs = {name: partial(_infer, model, random_clips(w, device)) for name, w in grown.items()}
    with torch.inference_mode(), autocast(workload.precision, device):
        timings = interleave(runs, rounds=rounds, device=device)
    medians = {timing.name: timing.median_seconds for timing in timings}
    return [
        Growth(axis, sizes, tuple(medians[f"{size} {axis}"] for size in sizes))
        for axis, sizes in (("clips", clips), ("frames", frames))
    ]


def _infer(model: VideoClassifier, clips: Tensor) -> Tensor:
    model.set_num_frames(clips.shape[1])
    return model(clips)


def draw(axes: pyplot.Axes, measured: dict[str, Growth]) -> None:
    for name, growth in measured.items():
        label = f"{name}: slope {growth.exponent:.3f}"
        axes.loglog(growth.sizes, growth.seconds, marker="o", label=label)
    line = [size * growth.seconds_each for size in growth.sizes]
    axes.loglog(growth.sizes, line, color="0.6", linestyle="--", label="linear: slope 1")
    axes.set_xticks(growth.sizes, [str(size) for size in growth.sizes])
    axes.minorticks_off()
    axes.set_xlabel(growth.axis)
    axes.set_ylabel("seconds (median)")
    axes.legend(frameon=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="picture to write")
    parser.add_argument("--backbone", default="resnet18")
    parser.add_argument("--image-size", type=int, default=112)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    workload = Workload(
        backbone=options.backbone, image_size=options.image_size, device=options.device
    )
    measure = partial(measure_growth, workload, rounds=options.rounds)
    measured = {name: run_fresh(measure, environment=how) for name, how in ALLOCATION.items()}
    for name, growths in measured.items():
        for growth in growths:
            print(
                f"{name}, {growth.sizes[0]} to {growth.sizes[-1]} {growth.axis}: exponent "
                f"{growth.exponent:.3f}, at most {100 * growth.largest_deviation:.0f} % off a "
                f"line of {1e3 * growth.seconds_each:.1f} ms each"
            )
    figure, panels = pyplot.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for index, axes in enumerate(panels):
        draw(axes, {name: growths[index] for name, growths in measured.items()})
    environment = describe_environment(resolve_device(options.device))
    title = f"MSTNet-{options.backbone}, {options.image_size} pixels, {environment.processor}"
    figure.suptitle(f"{title}, threads: {environment.threads}, rounds: {options.rounds}")
    figure.savefig(options.out, dpi=120)


if __name__ == "__main__":
    main()
