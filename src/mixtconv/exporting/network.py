"""A recognizer as one network of plain torch that another engine can run.

Of whole clips (`clip_network`), with every part in the layout that suits the engine; or of streams
(`streaming_network`), frame by frame, with the past as inputs and outputs of the network. Where
`ops/stream_filter.py` keeps rings, the states here are plain windows, which an engine can take and
its user can feed back unchanged: of each group of channels that looks back, the last D frames, the
latest last. With the new frame appended, the operation is one convolution over time.

    state, D = 2:  | frame 3 | frame 4 |  and frame 5 comes
    next state:    | frame 4 | frame 5 |
"""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixtconv._version import __version__
from mixtconv.exporting.clip_graph import rewrite, traced
from mixtconv.exporting.clip_layout import FoldedTemporalConv, LayoutName, TimeKernel
from mixtconv.exporting.stream_layout import STREAM_LAYOUTS, StreamLayoutName, VolumeStep
from mixtconv.exporting.token_filter import on_tokens
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
from mixtconv.models.motion import sort_pictures
from mixtconv.models.spec import EVENTS_NOTE
from mixtconv.models.streaming import check_looks_back_only
from mixtconv.models.structure.token_layout import TokenLayout

logger = logging.getLogger(__name__)

_EXAMPLE_BATCH = 2
"""Clips or streams of the example inputs; torch.export would take a batch of 1 for a constant."""


@dataclass(frozen=True)
class PortableNetwork:
    """A network of plain torch, with the description that its file will hold."""

    network: nn.Module
    inputs: dict[str, Tensor]
    """Example inputs by name, in order; their first size, the batch, is free."""
    description: Description


def clip_network(
    model: VideoClassifier, *, layout: LayoutName, pixels: Pixels = "normalized"
) -> PortableNetwork:
    """Logits (B, num_classes) of whole clips (B, T, C, H, W).

    Args:
        model: the recognizer; it is not changed.
        layout: of clips, where frames meet; see `clip_layout.py`.
        pixels: the values that the network takes.
    """
    model = copy.deepcopy(model).eval().requires_grad_(False)
    example = _example((model.spec.num_frames,), model, pixels)
    trials = _inputs_of_networks(model)
    for (owner, name), trial in zip(model.networks(), trials, strict=True):
        setattr(owner, name, rewrite(owner.get_submodule(name), layout, trial))
    events = _events(model, of_frames=False)
    description = Description(model.spec, __version__, pixels, events=events)
    return PortableNetwork(_Clips(model, _normalize(model, pixels)), {VIDEO: example}, description)


def streaming_network(
    model: VideoClassifier, *, layout: StreamLayoutName = "volume", pixels: Pixels = "normalized"
) -> PortableNetwork:
    """Logits (B, num_classes) of the next frame (B, C, H, W) of streams, their past as state.

    Args:
        model: a causal recognizer; it is not changed.
        layout: of the past; see `stream_layout.py`.
        pixels: the values that the network takes.

    Raises:
        ValueError: the model looks at later frames.
    """
    check_looks_back_only(model)
    model = copy.deepcopy(model).eval().requires_grad_(False)
    past = _Past()
    model.backbone = _step_through_time(model.backbone, past, STREAM_LAYOUTS[layout])
    example = _example((), model, pixels)
    network = _Stream(model, _normalize_stream(model, pixels, past), past)
    # The operations name their states as they run; their order in the file is that of this run.
    with torch.no_grad():
        network(example)
    states = tuple(StateShape(name, tuple(x.shape[1:])) for name, x in past.after.items())
    network.names = tuple(past.after)
    inputs = {state.name: torch.zeros(_EXAMPLE_BATCH, *state.shape) for state in states}
    events = _events(model, of_frames=True)
    description = Description(model.spec, __version__, pixels, states, events=events)
    return PortableNetwork(network, {FRAME: example, **inputs}, description)


def _events(model: VideoClassifier, *, of_frames: bool) -> dict[str, Any] | None:
    """The model's settings of events, if they are of what the file will score.

    Args:
        model: the recognizer.
        of_frames: whether that is each frame, as on a stream; else windows.
    """
    stored: dict[str, Any] | None = model.notes.get(EVENTS_NOTE)
    if stored is None or (stored.get("times", {}).get("window") is None) == of_frames:
        return stored
    scored = ["windows", "each frame"]
    logger.warning(
        "the settings of events are for scores of %s, and the exported model scores %s: it has none"
        "%s",
        scored[not of_frames],
        scored[of_frames],
        "" if of_frames else "; those of a causal model hold with --streaming",
    )
    return None


class _Clips(nn.Module):
    """Clips (B, T, C, H, W) -> logits (B, num_classes)."""

    def __init__(self, model: VideoClassifier, normalize: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.normalize = model, normalize

    def forward(self, video: Tensor) -> Tensor:
        return self.model(self.normalize(video))


def _example(frames: tuple[int, ...], model: VideoClassifier, pixels: Pixels) -> Tensor:
    """Random inputs (B, *frames, C, H, W) with the values that the network takes."""
    shape = (_EXAMPLE_BATCH, *frames, *picture_shape(model.spec, pixels))
    random = torch.Generator().manual_seed(0)
    if pixels == "uint8":
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=random)
    return torch.rand(shape, generator=random)


def _normalize(model: VideoClassifier, pixels: Pixels) -> Callable[[Tensor], Tensor]:
    return nn.Identity() if pixels == "normalized" else model.normalize


def _normalize_stream(
    model: VideoClassifier, pixels: Pixels, past: "_Past"
) -> Callable[[Tensor], Tensor]:
    if pixels == "normalized" or model.spec.modality != "motion":
        return _normalize(model, pixels)
    depth = model.num_frames - 1

    def normalize(frame: Tensor) -> Tensor:
        values = model.scale_pixels(frame)  # (B, C, H, W)
        pictures = past.window("past_pictures", values, depth)  # (B, C, T, H, W)
        # States are zeros at the start, so one says which of the pictures have been there.
        seen = past.window("past_seen", torch.ones_like(values[:, :1, :1, :1]), depth)
        return model.standardize(values, _median_of_seen(pictures, seen))

    return normalize


def _median_of_seen(pictures: Tensor, seen: Tensor) -> Tensor:
    """The median over T of the pictures that have been seen.

    Args:
        pictures: (B, C, T, H, W), of 0 to 1, and 0 where not seen.
        seen: (B, 1, T, 1, 1), 1 or 0.

    Returns:
        (B, C, H, W).
    """
    count = seen.sum(dim=2)  # (B, 1, 1, 1)
    middle = torch.floor((count - 1) / 2), torch.floor(count / 2)
    above = pictures + 2 * (1 - seen)  # those not seen are beyond all others in order
    ordered = sort_pictures(above.unbind(2), torch)  # T of (B, C, H, W)
    shares = [
        sum((place == index).to(count.dtype) for place in middle) / 2
        for index in range(len(ordered))
    ]
    return sum(share * picture for share, picture in zip(shares, ordered, strict=True))


def _inputs_of_networks(model: VideoClassifier) -> list[Tensor]:
    """The input of each of the model's networks for one clip, recorded while the model runs."""
    recorded: dict[nn.Module, Tensor] = {}
    networks = [owner.get_submodule(name) for owner, name in model.networks()]

    def record(network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        recorded.setdefault(network, inputs[0])

    handles = [network.register_forward_pre_hook(record) for network in networks]
    spec = model.spec
    size = (1, spec.num_frames, spec.snippet.in_channels, spec.image_size, spec.image_size)
    with torch.no_grad():
        model(torch.zeros(size))
    for handle in handles:
        handle.remove()
    return [recorded[network] for network in networks]


class _Past:
    """The states of streams by name, before a frame and after it; at their start there are none."""

    def __init__(self) -> None:
        self.before: dict[str, Tensor] = {}
        self.after: dict[str, Tensor] = {}

    def window(self, name: str, x: Tensor, depth: int, *, axis: int = 2) -> Tensor:
        """A state's past with the new frame appended: (B, C, H, W) -> (B, C, D + 1, H, W).

        Args:
            name: of the state.
            x: the new frame.
            depth: D.
            axis: that of time in the state and the result.
        """
        return self.joined(name, x.unsqueeze(axis), depth, axis=axis)

    def joined(self, name: str, new: Tensor, length: int, *, axis: int) -> Tensor:
        """A state with a new part after it, in whatever layout; see `stream_layout.Remember`."""
        shape = (*new.shape[:axis], length, *new.shape[axis + 1 :])
        past = self.before[name] if self.before else new.new_zeros(shape)
        window = torch.cat([past, new], dim=axis)
        self.after[name] = window.narrow(axis, new.shape[axis], length)
        return window


class _Stream(nn.Module):
    """Frames (B, C, H, W) and states -> logits (B, num_classes) and the next states."""

    def __init__(
        self, model: VideoClassifier, normalize: Callable[[Tensor], Tensor], past: _Past
    ) -> None:
        super().__init__()
        self.model, self.normalize, self.past = model, normalize, past
        self.names: tuple[str, ...] = ()
        """Names of the states, in their order."""

    def forward(self, frame: Tensor, *states: Tensor) -> tuple[Tensor, ...]:
        past = self.past
        past.before, past.after = dict(zip(self.names, states, strict=True)), {}
        logits = self.model.head(self.model.backbone(self.normalize(frame)))
        return logits, *past.after.values()


def _step_through_time(network: nn.Module, past: _Past, step: type[VolumeStep]) -> nn.Module:
    """A causal network of frames that takes one frame of each stream.

    Args:
        network: it is modified in place.
        past: holds the states of its operations.
        step: of an operation on feature maps, in the layout of the past.
    """
    network = traced(network)
    for name, module in list(network.named_modules()):
        tokens = on_tokens(module)
        if tokens is not None:
            on_frame = _TokenStep(_kernels_by_state(name, tokens), past, module.layout)
            network.set_submodule(name, on_frame)
    for name, module in list(network.named_modules()):
        if isinstance(module, FoldedTemporalFilter):
            network.set_submodule(name, _TimeStep(_kernels_by_state(name, module), past, step))
        elif isinstance(module, FoldedTemporalConv):
            named = {_state_name(name): TimeKernel.ordinary(module.layer)}
            network.set_submodule(name, _TimeStep(named, past, step))
    return network


def _state_name(module: str) -> str:
    return f"past_{module.replace('.', '_')}"


def _kernels_by_state(module: str, temporal: FoldedTemporalFilter) -> dict[str, TimeKernel]:
    """The kernels of the groups of channels, in order, by the names of their states."""
    if temporal.edges != "zeros":
        raise ValueError(
            f"an exported stream begins with zeros as its past, and this model has edges "
            f"{temporal.edges!r}: export clips, or train with --edges zeros"
        )
    kernels = TimeKernel.by_group(temporal.taps)
    return {f"{_state_name(module)}_{number}": kernel for number, kernel in enumerate(kernels)}


class _TimeStep(nn.Module):
    """A temporal operation, frame by frame: (B, C, H, W) -> same.

    Args:
        kernels: of the groups of channels, in order, by the names of their states.
        past: holds these states.
        step: of a kernel that looks back.
    """

    def __init__(self, kernels: dict[str, TimeKernel], past: _Past, step: type[VolumeStep]) -> None:
        super().__init__()
        self.kernels, self.past, self.split = kernels, past, step.split
        back = {name: step(kernel) for name, kernel in kernels.items() if kernel.first}
        self.steps = nn.ModuleDict(back)
        self.is_identity = {name: kernel.is_identity for name, kernel in kernels.items()}

    def forward(self, x: Tensor) -> Tensor:
        if len(self.kernels) == 1:
            return self._step(next(iter(self.kernels)), x)
        parts = self.split(x, [len(kernel.weight) for kernel in self.kernels.values()])
        return torch.cat([*map(self._step, self.kernels, parts)], dim=1)

    def _step(self, name: str, x: Tensor) -> Tensor:
        """One kernel on the new frame (B, C_m, H, W) and those before it."""
        kernel = self.kernels[name]
        if self.is_identity[name]:
            return x
        if kernel.first == 0:
            return F.conv2d(x, kernel.weight[..., None], groups=kernel.groups)
        return self.steps[name](x, partial(self.past.joined, name))


class _TokenStep(nn.Module):
    """A depthwise temporal operation on tokens, frame by frame: (B * P, ..., C) -> same.

    Args:
        kernels, past: as of `_TimeStep`; the states are (D, P * L, C_m).
        layout: the form of the tokens.
    """

    def __init__(self, kernels: dict[str, TimeKernel], past: _Past, layout: TokenLayout) -> None:
        super().__init__()
        self.kernels, self.past, self.layout = kernels, past, layout
        self.is_identity = {name: kernel.is_identity for name, kernel in kernels.items()}

    def forward(self, x: Tensor) -> Tensor:
        places = x.shape[1:-1].numel() * self.layout.parts
        tokens = x.reshape(-1, places, x.shape[-1])  # (B, P * L, C)
        parts = tokens.split([len(kernel.weight) for kernel in self.kernels.values()], dim=-1)
        steps = [*map(self._step, self.kernels, parts)]
        return torch.cat(steps, dim=-1).reshape(-1, *x.shape[1:])

    def _step(self, name: str, x: Tensor) -> Tensor:
        """One kernel on the new frame (B, P * L, C_m) and those before it."""
        kernel = self.kernels[name]
        if self.is_identity[name]:
            return x
        # Products and their sum; a convolution would turn the tokens round and back.
        weights = kernel.weight.transpose(0, 2)  # (K, 1, C_m)
        if kernel.first == 0:
            return x * weights[0]
        window = self.past.window(name, x, depth=-kernel.first, axis=1)  # (B, D + 1, P * L, C_m)
        return (window[:, :: kernel.step] * weights).sum(dim=1)
