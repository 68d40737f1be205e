"""A recogniser as one network of plain torch that an engine can take over."""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mixtconv._version import __version__
from mixtconv.exporting.clip_graph import rewrite
from mixtconv.exporting.clip_layout import LayoutName
from mixtconv.exporting.stream_steps import PastContext, step_through_time
from mixtconv.inference.engines.description import (
    FRAME,
    VIDEO,
    Description,
    Pixels,
    StateShape,
    picture_shape,
)
from mixtconv.models import VideoClassifier
from mixtconv.models.streaming import check_looks_back_only

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
        model: the recogniser; it is left as it is.
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
