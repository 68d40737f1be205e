"""Mixed temporal convolution beside `copy_` of its clips, at the sites of a network.

The operation can at best read its clips once and write them once: a fraction of 1 is the speed of
copying. Forward counts two tensors of traffic; forward and backward count the five that are the
least (clips and result; clips, gradient and its gradient).

Each candidate is a CUDA graph that works through several sets of clips, together larger than the
L2 cache four times over, and writes every result to separate memory: neither Python nor the cache
is measured. The forward pass has its weights ready, as an optimised recognizer has; with the
backward pass the layer joins them in every step, as training does.

Baseline: the published formulation, a 3D convolution a group of channels over a permuted clip.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gpu_sections.run import Run
from gpu_sections.timing import Graphs, in_turn
from mixtconv.benchmarks.baselines import PublishedMixTConv
from mixtconv.benchmarks.model import channels_last_clips
from mixtconv.benchmarks.operation import SiteShape, site_shapes
from mixtconv.ops import MixTConv

DTYPES = {"bf16": torch.bfloat16, "float32": torch.float32}
LAYOUTS = ("channels-last", "NCHW")
COPY, FORWARD, BOTH = "copy", "forward", "forward and backward"
TENSORS = {COPY: 2, FORWARD: 2, BOTH: 5}
DIRECTIONS = (FORWARD, BOTH)

Step = Callable[[Tensor, Tensor], Any]


def measure(run: Run) -> None:
    """Record the fractions of each site, and of all together."""
    sites = site_shapes(run.sizes.backbone, image_size=run.sizes.image_size)
    for dtype_name in DTYPES:
        for layout in LAYOUTS:
            with run.attempt(f"{dtype_name}, {layout}"):
                _measure_sites(run, sites, dtype_name, layout)
            run.free()


def _measure_sites(run: Run, sites: list[SiteShape], precision: str, layout: str) -> None:
    measured: list[tuple[SiteShape, dict[str, float], int]] = []
    row = {"precision": precision, "layout": layout, "clips": run.sizes.operation_clips}
    for site in sites:
        size = f"{site.channels}x{site.height}x{site.width}"
        what = f"{precision}, {layout}, {size}"
        if not run.has_time(what, 4):
            break
        shape = (
            *(run.sizes.operation_clips, run.sizes.num_frames),
            *(site.channels, site.height, site.width),
        )
        with run.attempt(what):
            taken = _measure_site(run, shape, DTYPES[precision], layout)
            num_bytes = math.prod(shape) * DTYPES[precision].itemsize
            run.record(**row, site=size, places=site.count, **fractions(taken, num_bytes))
            measured.append((site, taken, num_bytes))
        run.free()
    if len(measured) < len(sites):
        return  # of some sites there is no total
    names = [name for name in measured[0][1] if all(name in taken for _, taken, _ in measured)]
    total = {name: sum(site.count * taken[name] for site, taken, _ in measured) for name in names}
    total_bytes = sum(site.count * num_bytes for site, _, num_bytes in measured)
    places = sum(site.count for site in sites)
    run.record(**row, site="all", places=places, **fractions(total, total_bytes))


def _measure_site(
    run: Run, shape: tuple[int, ...], dtype: torch.dtype, layout: str
) -> dict[str, float]:
    """Median seconds of one step of every candidate."""
    num_bytes = math.prod(shape) * dtype.itemsize
    num_sets = 2
    if run.on_gpu:
        cache = torch.cuda.get_device_properties(run.device).L2_cache_size
        num_sets = max(2, math.ceil(4 * cache / num_bytes))

    def clips() -> Tensor:
        x = torch.randn(shape, device=run.device, dtype=dtype)
        return channels_last_clips(x) if layout == "channels-last" else x

    sets = [(clips().requires_grad_(), clips()) for _ in range(num_sets)]
    ours = MixTConv(shape[2]).to(run.device)
    published = PublishedMixTConv(shape[2]).to(run.device, dtype)
    taps = ours.depthwise_taps(shape[2])
    steps: dict[str, Step] = {
        COPY: lambda x, grad: torch.empty_like(x).copy_(x.detach()),
        FORWARD: lambda x, grad: taps.apply(x.detach()),
        BOTH: partial(_forward_and_backward, ours),
        f"published {FORWARD}": lambda x, grad: torch.no_grad()(published)(x),
        f"published {BOTH}": partial(_forward_and_backward, published),
    }
    graphs, replays = Graphs(run.device), {}
    for name, step in steps.items():
        with run.attempt(name, passes=() if name.startswith("published") else (Exception,)):
            # Results stay alive, so that no two of a graph share memory.
            replays[name] = graphs.record(lambda step=step: [step(*one) for one in sets])
    timings = in_turn(run, replays, rounds=2 * run.sizes.rounds)
    return {name: timing.median_seconds / num_sets for name, timing in timings.items()}


def _forward_and_backward(module: nn.Module, x: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    y = module(x)
    return y, *torch.autograd.grad(y, (x, *module.parameters()), grad)


def fractions(seconds: dict[str, float], num_bytes: float) -> dict[str, Any]:
    """Bandwidth of copying, and the operation's fractions of it.

    Args:
        seconds: of copying, both directions, and both of the published formulation where it ran.
        num_bytes: of the clips.
    """
    copied = TENSORS[COPY] / seconds[COPY]
    return {
        "milliseconds": {name: 1000 * each for name, each in seconds.items()},
        "copy_gigabytes_per_second": copied * num_bytes / 1e9,
        "fraction_of_copy": {name: TENSORS[name] / seconds[name] / copied for name in DIRECTIONS},
        "published_takes_times": {
            name: seconds[published] / seconds[name]
            for name in DIRECTIONS
            if (published := f"published {name}") in seconds
        },
    }
