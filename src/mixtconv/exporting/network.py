"""A recognizer as one network of plain torch that an engine can take over.

Temporal operations frame by frame with the past as inputs and outputs of the network.

What `ops/stream_filter.py` keeps in rings is here a plain window, which an engine can be handed and
its user can feed back as it is: of each group of channels that looks back, the last D frames, the
latest last. With the new frame behind them the operation is one convolution over time.

    state, D = 2:  | frame 3 | frame 4 |  and frame 5 comes
    next state:    | frame 4 | frame 5 |
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixtconv._version import __version__
from mixtconv.exporting.clip_graph import rewrite
from mixtconv.exporting.clip_layout import (
    FoldedTemporalConv,
    LayoutName,
    TimeKernel,
    separate_ordinary_convolutions,
)
from mixtconv.inference.engines.base import (
    FRAME,
    VIDEO,
    Description,
    Pixels,
    StateShape,
    picture_shape,
)
from mixtconv.models import VideoClassifier
from mixtconv.models.folded_filter import FoldedTemporalFilter
from mixtconv.models.graph_fusion import fold
from mixtconv.models.optimize import follow, separate_temporal_operations
from mixtconv.models.streaming import check_looks_back_only


class PastContext:
    """The states of the frame that is being computed, given and following, by name."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._given: dict[str, Tensor] | None = None
        self._following: dict[str, Tensor] = {}

    @contextmanager
    def during_frame(self, states: Sequence[Tensor]) -> Iterator[dict[str, Tensor]]:
        """For one frame: the states given, in their order; yields those for the next frame.

        Without states every stream is at its start.
        """
        self._given = dict(zip(self._names, states, strict=True)) if states else None
        self._following = {}
        try:
            yield self._following
        finally:
            self._given = None

    def shapes_for(self, run_a_frame: Callable[[], object]) -> dict[str, tuple[int, ...]]:
        """The states that a network has, with their shapes (C, D, H, W), found by running it."""
        with torch.no_grad():
            run_a_frame()
        self._names = list(self._following)
        return {name: tuple(state.shape[1:]) for name, state in self._following.items()}

    def window(self, name: str, x: Tensor, depth: int) -> Tensor:
        """The past of a state and then the new frame: (B, C, H, W) -> (B, C, D + 1, H, W)."""
        B, C, H, W = x.shape
        past = x.new_zeros(B, C, depth, H, W) if self._given is None else self._given[name]
        window = torch.cat([past, x[:, :, None]], dim=2)  # (B, C, D + 1, H, W)
        self._following[name] = window[:, :, 1:]
        return window


class StepFilter(nn.Module):
    """A depthwise temporal operation, frame by frame: (B, C, H, W) -> same."""

    def __init__(self, name: str, layer: FoldedTemporalFilter, past: PastContext) -> None:
        super().__init__()
        self.name, self.past = name, past
        self.kernels = TimeKernel.by_group(layer.taps)
        self.passes_on = [kernel.is_identity for kernel in self.kernels]

    def forward(self, x: Tensor) -> Tensor:
        parts = x.split([len(kernel.weight) for kernel in self.kernels], dim=1)  # (B, C_m, H, W)
        stepped = [
            part
            if self.passes_on[number]
            else _step(f"past_{self.name}_{number}", part, self.kernels[number], self.past)
            for number, part in enumerate(parts)
        ]
        return torch.cat(stepped, dim=1)


class StepConv(nn.Module):
    """An ordinary temporal convolution, frame by frame: (B, C, H, W) -> same."""

    def __init__(self, name: str, layer: FoldedTemporalConv, past: PastContext) -> None:
        super().__init__()
        self.name, self.past = name, past
        self.kernel = TimeKernel.ordinary(layer.layer)

    def forward(self, x: Tensor) -> Tensor:
        return _step(f"past_{self.name}", x, self.kernel, self.past)


def _step(name: str, x: Tensor, kernel: TimeKernel, past: PastContext) -> Tensor:
    """A convolution over time, of the new frame (B, C, H, W) and those before it."""
    depth = -kernel.first
    if depth == 0:
        return F.conv2d(x, kernel.weight[..., None], groups=kernel.groups)
    window = past.window(name, x, depth)
    stepped = F.conv3d(
        window,
        kernel.weight[..., None, None],
        dilation=(kernel.step, 1, 1),
        groups=kernel.groups,
    )  # (B, C, 1, H, W)
    return stepped.squeeze(2)


def step_through_time(network: nn.Module, past: PastContext) -> nn.Module:
    """A causal network of frames that is given one frame of each stream.

    Args:
        network: it is used up.
        past: what its operations keep their states in.
    """
    separate_temporal_operations(network)
    separate_ordinary_convolutions(network)
    try:
        graph = follow(network, leaves=(FoldedTemporalConv,))
    except ValueError:
        pass
    else:
        fold(graph)
        network = graph
    for name, module in list(network.named_modules()):
        short = name.replace(".", "_")
        if isinstance(module, FoldedTemporalFilter):
            network.set_submodule(name, StepFilter(short, module, past))
        elif isinstance(module, FoldedTemporalConv):
            network.set_submodule(name, StepConv(short, module, past))
    return network


_EXAMPLE_BATCH = 2
"""Clips or streams of the example inputs; 1 would be taken for a constant."""


@dataclass(frozen=True)
class PortableNetwork:
    """A network of plain torch, with what a file needs to say of it."""

    network: nn.Module
    inputs: dict[str, Tensor]
    """Example inputs by name, in order; their first size, the batch, may be another."""
    description: Description

    @property
    def output_names(self) -> list[str]:
        """Outputs in their order."""
        return list(self.description.outputs)


def clip_network(
    model: VideoClassifier, *, layout: LayoutName, pixels: Pixels = "normalized"
) -> PortableNetwork:
    """Logits (B, num_classes) of whole clips (B, T, C, H, W).

    Args:
        model: the recognizer; it is left as it is.
        layout: see `clip_layout.py`.
        pixels: the values that it shall take.
    """
    own = copy.deepcopy(model).eval().requires_grad_(False)
    example = _example((own.spec.num_frames,), own, pixels)
    seen = _inputs_of_networks(own)
    for (owner, name), trial in zip(own.networks(), seen, strict=True):
        setattr(owner, name, rewrite(owner.get_submodule(name), layout, trial))
    description = Description(own.spec, __version__, pixels)
    return PortableNetwork(_Clips(own, _normalize(own, pixels)), {VIDEO: example}, description)


def streaming_network(model: VideoClassifier, *, pixels: Pixels = "normalized") -> PortableNetwork:
    """Logits (B, num_classes) of the next frame (B, C, H, W) of streams, their past as state.

    Raises:
        ValueError: the model looks at later frames.
    """
    check_looks_back_only(model)
    own = copy.deepcopy(model).eval().requires_grad_(False)
    past = PastContext()
    own.backbone = step_through_time(own.backbone, past)
    example = _example((), own, pixels)
    network = _Stream(own, _normalize(own, pixels), past)
    shapes = past.shapes_for(lambda: network(example))
    states = tuple(StateShape(name, shape) for name, shape in shapes.items())
    inputs = {state.name: torch.zeros(_EXAMPLE_BATCH, *state.shape) for state in states}
    description = Description(own.spec, __version__, pixels, states)
    return PortableNetwork(network, {FRAME: example, **inputs}, description)


class _Clips(nn.Module):
    """Clips (B, T, C, H, W) -> logits (B, num_classes)."""

    def __init__(self, model: VideoClassifier, normalize: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.normalize = model, normalize

    def forward(self, video: Tensor) -> Tensor:
        return self.model(self.normalize(video))


class _Stream(nn.Module):
    """Frames (B, C, H, W) and states -> logits (B, num_classes) and the next states."""

    def __init__(
        self, model: VideoClassifier, normalize: Callable[[Tensor], Tensor], past: PastContext
    ) -> None:
        super().__init__()
        self.model, self.normalize, self.past = model, normalize, past

    def forward(self, frame: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        with self.past.during_frame(states) as following:
            logits = self.model.head(self.model.backbone(self.normalize(frame)))
        return logits, *following.values()


def _example(places: tuple[int, ...], model: VideoClassifier, pixels: Pixels) -> Tensor:
    """Inputs (B, *places, C, H, W) of the values and the kind that the network takes."""
    shape = (_EXAMPLE_BATCH, *places, *picture_shape(model.spec, pixels))
    random = torch.Generator().manual_seed(0)
    if pixels == "uint8":
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)
    return torch.rand(shape, generator=random)


def _normalize(model: VideoClassifier, pixels: Pixels) -> Callable[[Tensor], Tensor]:
    return _unchanged if pixels == "normalized" else model.normalize


def _unchanged(values: Tensor) -> Tensor:
    return values


def _inputs_of_networks(model: VideoClassifier) -> list[Tensor]:
    """What each of the model's networks is given of one clip."""
    seen: dict[nn.Module, Tensor] = {}
    networks = [owner.get_submodule(name) for owner, name in model.networks()]

    def watch(network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.setdefault(network, inputs[0])

    handles = [network.register_forward_pre_hook(watch) for network in networks]
    spec = model.spec
    size = (1, spec.num_frames, spec.snippet.in_channels, spec.image_size, spec.image_size)
    with torch.no_grad():
        model(torch.zeros(size))
    for handle in handles:
        handle.remove()
    return [seen[network] for network in networks]
