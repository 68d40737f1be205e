"""Speed of the operation alone, over the residual branches of a network.

The shapes are the actual inputs of the network's residual branches. Every candidate runs once a
round on every shape; a total counts each shape as often as it occurs in the network.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from mixtconv._types import Progress
from mixtconv.benchmarks.baselines import Conv1dMixTConv, CopyingShift, PublishedMixTConv
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import Comparison, Measured, Timing, interleave
from mixtconv.models.backbone import create_backbone
from mixtconv.models.device import resolve_device, resolve_precision
from mixtconv.models.structure.network_trace import evaluating
from mixtconv.models.structure.residual_branches import find_residual_sites
from mixtconv.models.systems.factory import split_name
from mixtconv.ops import MixTConv, TemporalShift, unfold_time

Layout = Literal["NCHW", "channels-last"]
Direction = Literal["forward", "forward and backward"]
Candidates = Mapping[str, Callable[[], object]]

ROUNDS = 16

COPY = "copy_ of the same bytes"
REUSED = "MixTConv, reused memory"
PUBLISHED = "MixTConv as published"

NOTES: dict[Direction, str] = {
    "forward": f"'{COPY}' and '{REUSED}' write to memory that was written before; all others "
    "allocate their result.",
    "forward and backward": f"'{COPY}' is two and a half copies: forward reads one tensor and "
    "writes one, backward reads two and writes one.",
}

MEMORY_FORMATS: dict[Layout, torch.memory_format] = {
    "NCHW": torch.contiguous_format,
    "channels-last": torch.channels_last,
}
_DTYPES = {"32": torch.float32, "bf16": torch.bfloat16, "16": torch.float16}


@dataclass(frozen=True)
class SiteShape:
    """A feature map that the operation is applied to in a network."""

    channels: int
    height: int
    width: int
    count: int
    """Number of residual branches with this input."""


def bench_operation(workload: Workload, progress: Progress | None = None) -> Measured:
    """Time the operation and its baselines over the residual branches of a backbone.

    The times are over all branches, one comparison for each layout and direction; the details are
    one call on one shape. `progress` is called after every shape.

    Raises:
        ValueError: an unknown backbone or one without residual branches; a device or a precision
            that is not available.
    """
    shapes = site_shapes(workload.backbone, image_size=workload.image_size)
    device_type = resolve_device(workload.device).type
    frames = f"{workload.clips_on(device_type)}x{workload.num_frames}"
    places = sum(shape.count for shape in shapes)
    over = f"{places} places of {workload.backbone}, {workload.clips_text(device_type)}"
    totals: list[Comparison] = []
    per_shape: list[Comparison] = []
    for layout in MEMORY_FORMATS:
        for direction, note in NOTES.items():
            measured = []
            for shape in shapes:
                timings = _measure(workload, shape, layout, direction)
                measured.append(timings)
                size = f"{frames}x{shape.channels}x{shape.height}x{shape.width}"
                title = f"{direction}, {layout}, one call on {size}"
                per_shape.append(_comparison(title, timings, ()))
                if progress is not None:
                    progress(len(per_shape), len(MEMORY_FORMATS) * len(NOTES) * len(shapes))
            total = _weighted_sum(measured, [shape.count for shape in shapes])
            totals.append(_comparison(f"{direction}, {layout}, {over}", total, (note,)))
    return Measured(tuple(totals), details=tuple(per_shape))


def site_shapes(backbone: str, *, image_size: int) -> list[SiteShape]:
    """The inputs of a network's residual branches, the largest first.

    >>> site_shapes("resnet18", image_size=64)[-1]
    SiteShape(channels=512, height=2, width=2, count=1)
    """
    split_name(f"mstnet_{backbone}")  # refuses an unknown backbone with near names
    network = create_backbone(backbone, image_size=image_size).to("meta")
    sites = find_residual_sites(network, image_size=image_size)
    if not sites:
        raise ValueError(f"found no residual branch in {backbone}; name another --backbone")
    counts: Counter[tuple[int, ...]] = Counter()

    def count(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        counts[tuple(args[0].shape[1:])] += 1

    for site in sites:
        network.get_submodule(site.module).register_forward_pre_hook(count)
    with evaluating(network), torch.no_grad():
        network(torch.empty(1, 3, image_size, image_size, device="meta"))
    shapes = [SiteShape(C, H, W, number) for (C, H, W), number in counts.items()]
    return sorted(shapes, key=lambda s: -s.channels * s.height * s.width)


def _measure(
    workload: Workload, shape: SiteShape, layout: Layout, direction: Direction
) -> list[Timing]:
    device = resolve_device(workload.device)
    dtype = _DTYPES[resolve_precision(workload.precision, device)]
    num_frames = workload.clips_on(device.type) * workload.num_frames
    frames = torch.randn(num_frames, shape.channels, shape.height, shape.width)  # (B * T, C, H, W)
    frames = frames.to(device, dtype).to(memory_format=MEMORY_FORMATS[layout])
    x = unfold_time(frames, workload.num_frames)  # (B, T, C, H, W)
    layers = {name: make(shape.channels).to(device, dtype) for name, make in _LAYERS.items()}
    with torch.set_grad_enabled(direction != "forward"):
        return interleave(
            _CANDIDATES[direction](x, layers),
            rounds=workload.rounds or ROUNDS,
            device=device,
            # As the previous layer does; otherwise the caches depend on the candidate before
            before_each=partial(x.copy_, x.clone()),
        )


_LAYERS: dict[str, Callable[[int], nn.Module]] = {
    "MixTConv": MixTConv,
    "TSM": lambda channels: TemporalShift(),
    "TSM zero-filled": lambda channels: CopyingShift(),
    "MixTConv as Conv1d": Conv1dMixTConv,
    "MixTConv as Conv3d": partial(PublishedMixTConv, copies=False),
    PUBLISHED: PublishedMixTConv,
}
"""Layers that allocate their result; the first is the measured operation."""


def _forward(x: Tensor, layers: Mapping[str, nn.Module]) -> Candidates:
    out = torch.empty_like(x)
    operation = layers["MixTConv"]
    assert isinstance(operation, MixTConv)
    return {
        COPY: partial(out.copy_, x),
        REUSED: partial(operation.depthwise_taps(x.shape[2]).apply, x, out=out),
        **{name: partial(layer, x) for name, layer in layers.items()},
    }


def _forward_and_backward(x: Tensor, layers: Mapping[str, nn.Module]) -> Candidates:
    grad = torch.randn_like(x)
    out, grad_x = torch.empty_like(x), torch.empty_like(x)
    half = x.flatten()[: x.numel() // 2].clone()
    half_out = torch.empty_like(half)

    def copies() -> None:
        out.copy_(x)
        grad_x.copy_(grad)
        half_out.copy_(half)

    leaf = x.detach().requires_grad_()
    return {
        COPY: torch.no_grad()(copies),
        **{name: partial(_gradients, layer, leaf, grad) for name, layer in layers.items()},
    }


_CANDIDATES: dict[Direction, Callable[[Tensor, Mapping[str, nn.Module]], Candidates]] = {
    "forward": _forward,
    "forward and backward": _forward_and_backward,
}


def _gradients(layer: nn.Module, x: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(layer(x), (x, *layer.parameters()), grad)


def _weighted_sum(measured: Sequence[Sequence[Timing]], counts: Sequence[int]) -> list[Timing]:
    """Time of each candidate over all shapes, each counted as often as it occurs, by round."""
    seconds = np.array([[timing.seconds for timing in timings] for timings in measured])
    totals = np.tensordot(counts, seconds, axes=1)  # (candidates, rounds)
    return [
        Timing(timing.name, tuple(total))
        for timing, total in zip(measured[0], totals.tolist(), strict=True)
    ]


def _comparison(title: str, timings: Sequence[Timing], notes: tuple[str, ...]) -> Comparison:
    return Comparison(title, COPY, tuple(timings), notes, references=(PUBLISHED,))
