"""Speed of the operation alone, over the places that it has in a network.

The shapes are those that the network's residual branches really get. Every candidate runs once a
round on every shape; a total counts each shape as often as the network has it.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mixtconv._types import Progress
from mixtconv.benchmarks.baselines import Conv1dMixTConv, CopyingShift, PublishedMixTConv
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import Comparison, Timing, interleave
from mixtconv.models.backbone import create_backbone
from mixtconv.models.device import resolve_device, resolve_precision
from mixtconv.models.factory import split_name
from mixtconv.models.residual_branches import evaluating, find_residual_sites
from mixtconv.ops import MixTConv, TemporalShift, unfold_time
from mixtconv.ops.filter import temporal_filter
from mixtconv.ops.taps import tap_offsets

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
    """A feature map that the operation meets in a network."""

    channels: int
    height: int
    width: int
    count: int
    """Places that have it."""


@dataclass(frozen=True)
class OperationSpeed:
    """What the candidates took."""

    totals: tuple[Comparison, ...]
    """Over all places of the network: one for each layout and direction."""
    per_shape: tuple[Comparison, ...]
    """One call on one shape: one for each layout, direction and shape."""


def bench_operation(
    workload: Workload, *, rounds: int | None = None, progress: Progress | None = None
) -> OperationSpeed:
    """Time the operation and its baselines over the places of a backbone.

    Args:
        workload: backbone, clips, device and precision.
        rounds: rounds of every shape; `ROUNDS` by default.
        progress: called after every shape.

    Raises:
        ValueError: an unknown backbone or one without residual branches; a device or a precision
            that cannot be had.
    """
    rounds = ROUNDS if rounds is None else rounds
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
                timings = _measure(workload, shape, layout, direction, rounds)
                measured.append(timings)
                size = f"{frames}x{shape.channels}x{shape.height}x{shape.width}"
                title = f"{direction}, {layout}, one call on {size}"
                per_shape.append(_comparison(title, timings, ()))
                if progress is not None:
                    progress(len(per_shape), len(MEMORY_FORMATS) * len(NOTES) * len(shapes))
            total = _weighted_sum(measured, [shape.count for shape in shapes])
            totals.append(_comparison(f"{direction}, {layout}, {over}", total, (note,)))
    return OperationSpeed(tuple(totals), tuple(per_shape))


def site_shapes(backbone: str, *, image_size: int) -> list[SiteShape]:
    """The feature maps at the heads of a network's residual branches, the largest first.

    >>> site_shapes("resnet18", image_size=64)[-1]
    SiteShape(channels=512, height=2, width=2, count=1)
    """
    split_name(f"mstnet_{backbone}")  # an unknown backbone is told with the near names
    network = create_backbone(backbone, image_size=image_size).to("meta")
    sites = find_residual_sites(network, image_size=image_size)
    if not sites:
        raise ValueError(f"found no residual branch in {backbone}; name another --backbone")
    seen: Counter[tuple[int, ...]] = Counter()

    def remember(module: nn.Module, args: tuple[Tensor, ...]) -> None:
        seen[tuple(args[0].shape[1:])] += 1

    for site in sites:
        network.get_submodule(site.module).register_forward_pre_hook(remember)
    with evaluating(network), torch.no_grad():
        network(torch.empty(1, 3, image_size, image_size, device="meta"))
    shapes = [SiteShape(C, H, W, count) for (C, H, W), count in seen.items()]
    return sorted(shapes, key=lambda s: -s.channels * s.height * s.width)


def _measure(
    workload: Workload, shape: SiteShape, layout: Layout, direction: Direction, rounds: int
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
            rounds=rounds,
            device=device,
            # As the layer before does in a network; otherwise the caches show who ran before.
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
"""Layers that allocate their result; the first is the operation that is measured."""


def _forward(x: Tensor, layers: Mapping[str, nn.Module]) -> Candidates:
    out = torch.empty_like(x)
    operation = layers["MixTConv"]
    assert isinstance(operation, MixTConv)
    return {
        COPY: partial(out.copy_, x),
        REUSED: partial(temporal_filter, x, **_filter_arguments(operation), out=out),
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


def _filter_arguments(layer: MixTConv) -> dict[str, Any]:
    """A layer as the kernel takes it: taps and offsets of all groups one after the other."""
    return {
        "taps": torch.cat([weight.detach().flatten() for weight in layer.weights]),
        "channels": list(layer.group_channels),
        "num_taps": list(layer.kernel_sizes),
        "offsets": [offset for size in layer.kernel_sizes for offset in tap_offsets(size)],
    }


def _weighted_sum(measured: Sequence[Sequence[Timing]], counts: Sequence[int]) -> list[Timing]:
    """What each candidate takes for all shapes, each as often as it is met, round by round."""
    totals = []
    for timings in zip(*measured, strict=True):  # one candidate's, shape by shape
        rounds = zip(*(timing.seconds for timing in timings), strict=True)
        seconds = tuple(
            sum(count * taken for count, taken in zip(counts, shapes, strict=True))
            for shapes in rounds
        )
        totals.append(Timing(timings[0].name, seconds))
    return totals


def _comparison(title: str, timings: Sequence[Timing], notes: tuple[str, ...]) -> Comparison:
    return Comparison(title, COPY, tuple(timings), notes, references=(PUBLISHED,))
