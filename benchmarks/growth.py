"""Time of inference against clips and frames: is it linear?

    python benchmarks/growth.py --out growth.png [--backbone resnet18] [--image-size 112]

Draws both on logarithmic axes beside the line of slope 1, and prints the exponent that fits best
and the largest deviation from the line. Measured twice, in new processes: with the C library's
usual way with memory, in which large tensors are mapped anew every time, and with memory kept.
"""

import argparse
from functools import partial

import torch
from matplotlib import pyplot

from mixtconv.benchmarks.environment import describe_environment
from mixtconv.benchmarks.growth import Growth, measure_growth
from mixtconv.benchmarks.memory import KEEP_MEMORY, run_fresh
from mixtconv.benchmarks.settings import Workload
from mixtconv.models.device import resolve_device

ALLOCATION: dict[str, dict[str, str]] = {"usual memory": {}, "memory kept": KEEP_MEMORY}


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
