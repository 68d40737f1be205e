"""Bandwidth of mixed temporal convolution on a GPU, at the sites of ResNet-50, beside copying.

    python benchmarks/gpu_filter.py [--clips 8] [--frames 8] [--rounds 30] [--format table|json]

The operation can at best read its clips once and write them once, so that it is measured against
`copy_` of the same clips: a fraction of 1 is the speed of copying. Forward counts two tensors of
traffic; forward and backward count the five that are the least (clips and result; clips, gradient
and its gradient). Sites are the inputs of the residual blocks, 224x224 pixels.

Each candidate is a CUDA graph that works through several sets of clips, together larger than the L2
cache four times over, and writes every result to separate memory, so that neither Python nor the
cache is measured. The candidates take turns; figures are medians over the rounds.

Baseline: the published formulation, a 3D convolution a group of channels over a permuted clip.
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from mixtconv.benchmarks.baselines import PublishedMixTConv
from mixtconv.benchmarks.model import channels_last_clips
from mixtconv.benchmarks.operation import site_shapes
from mixtconv.ops import MixTConv
from mixtconv.ops.filter import kernel_in_use

BACKBONE = "resnet50"
DTYPES = {"bfloat16": torch.bfloat16, "float32": torch.float32}
LAYOUTS = ("contiguous", "channels-last")
TENSORS = {"copy": 2, "forward": 2, "forward and backward": 5}
DIRECTIONS = ("forward", "forward and backward")

Step = Callable[[Tensor, Tensor], Any]


def clips(shape: tuple[int, ...], dtype: torch.dtype, layout: str) -> Tensor:
    x = torch.randn(shape, device="cuda", dtype=dtype)
    return channels_last_clips(x) if layout == "channels-last" else x


def forward(module: nn.Module) -> Step:
    def step(x: Tensor, grad: Tensor) -> Tensor:
        with torch.no_grad():
            return module(x)

    return step


def forward_and_backward(module: nn.Module) -> Step:
    def step(x: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
        y = module(x)
        return y, *torch.autograd.grad(y, (x, *module.parameters()), grad)

    return step


def graph(step: Step, sets: list[tuple[Tensor, Tensor]]) -> tuple[torch.cuda.CUDAGraph, list[Any]]:
    """A CUDA graph of the step on every set, and its results, each in separate memory."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):  # compiles, and chooses algorithms
            step(*sets[0])
    torch.cuda.current_stream().wait_stream(stream)
    recorded = torch.cuda.CUDAGraph()
    with torch.cuda.graph(recorded):
        results = [step(*one) for one in sets]
    return recorded, results


def milliseconds(replay: Callable[[], None]) -> float:
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    replay()
    end.record()
    end.synchronize()
    return start.elapsed_time(end)


def measure_site(
    shape: tuple[int, ...], dtype: torch.dtype, layout: str, rounds: int
) -> dict[str, float]:
    """Median milliseconds of one step of every candidate."""
    num_bytes = math.prod(shape) * dtype.itemsize
    cache = torch.cuda.get_device_properties(0).L2_cache_size
    num_sets = max(2, math.ceil(4 * cache / num_bytes))
    sets = [
        (clips(shape, dtype, layout).requires_grad_(), clips(shape, dtype, layout))
        for _ in range(num_sets)
    ]
    ours = MixTConv(shape[2]).cuda()
    published = PublishedMixTConv(shape[2]).to("cuda", dtype)
    steps: dict[str, Step] = {
        "copy": lambda x, grad: torch.empty_like(x).copy_(x.detach()),
        "forward": forward(ours),
        "forward and backward": forward_and_backward(ours),
        "published forward": forward(published),
        "published forward and backward": forward_and_backward(published),
    }
    graphs = {name: graph(step, sets) for name, step in steps.items()}
    times: dict[str, list[float]] = {name: [] for name in graphs}
    for round_ in range(rounds + 3):
        for name, (recorded, _) in graphs.items():
            time = milliseconds(recorded.replay)
            if round_ >= 3:  # the first ones warm up
                times[name].append(time / num_sets)
    return {name: statistics.median(samples) for name, samples in times.items()}


def figures(times: dict[str, float], num_bytes: float) -> dict[str, Any]:
    """Bandwidth of copying, and the candidates' fractions of it."""
    copied = TENSORS["copy"] / times["copy"]
    return {
        "milliseconds": times,
        "copy_gigabytes_per_second": copied * num_bytes / 1e6,
        "fraction_of_copy": {name: TENSORS[name] / times[name] / copied for name in DIRECTIONS},
        "published_takes_times": {
            name: times[f"published {name}"] / times[name] for name in DIRECTIONS
        },
    }


def line(row: dict[str, Any]) -> str:
    """A row of the table."""
    site = f"{row['precision']:9s} {row['layout']:13s} {row['site']:10s} x{row['blocks']:<2d}"
    copied = f"copy {row['copy_gigabytes_per_second']:5.0f} GB/s"
    ours = "  ".join(
        f"{name} {100 * row['fraction_of_copy'][name]:5.1f} % "
        f"(published {row['published_takes_times'][name]:.1f} times as long)"
        for name in DIRECTIONS
    )
    return f"{site} {copied}  {ours}"


def measure(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """One row for each site, and one for all together."""
    sites = site_shapes(BACKBONE, image_size=224)
    for dtype_name in options.dtypes:
        dtype = DTYPES[dtype_name]
        for layout in options.layouts:
            total: dict[str, float] = {}
            total_bytes = 0.0
            for site in sites:
                shape = (options.clips, options.frames, site.channels, site.height, site.width)
                times = measure_site(shape, dtype, layout, options.rounds)
                num_bytes = math.prod(shape) * dtype.itemsize
                yield {
                    "precision": dtype_name,
                    "layout": layout,
                    "site": f"{site.channels}x{site.height}x{site.width}",
                    "blocks": site.count,
                    **figures(times, num_bytes),
                }
                total_bytes += site.count * num_bytes
                total = {name: total.get(name, 0) + site.count * times[name] for name in times}
                torch.cuda.empty_cache()
            yield {
                "precision": dtype_name,
                "layout": layout,
                "site": "all",
                "blocks": sum(site.count for site in sites),
                **figures(total, total_bytes),
            }


def environment(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "device": torch.cuda.get_device_name(0),
        "kernel": kernel_in_use(torch.device("cuda")),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "triton": version("triton") if find_spec("triton") else None,
        "clips": options.clips,
        "frames": options.frames,
        "rounds": options.rounds,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--dtypes", nargs="+", choices=DTYPES, default=list(DTYPES))
    parser.add_argument("--layouts", nargs="+", choices=LAYOUTS, default=list(LAYOUTS))
    parser.add_argument("--format", choices=("table", "json"), default="table")
    options = parser.parse_args()
    if min(options.clips, options.frames, options.rounds) < 1:
        parser.error("--clips, --frames and --rounds are 1 or more")
    if not torch.cuda.is_available():
        parser.error(
            "no GPU here (torch.cuda.is_available() is False): run this on a machine that has one"
        )

    about = environment(options)
    print(", ".join(f"{key} {value}" for key, value in about.items()), file=sys.stderr)
    rows = []
    for row in measure(options):
        rows.append(row)
        if options.format == "table":
            print(line(row), flush=True)
    if options.format == "json":
        print(json.dumps({"environment": about, "rows": rows}, indent=2))


if __name__ == "__main__":
    main()
