"""A recognizer as one network of plain torch that another engine can run.

Of whole clips (`clip_network`), or of streams (`streaming_network`), frame by frame, with the past
as inputs of the network; every part in the layout that suits the engine (`clip_layout.py`,
`stream_layout.py`).
"""

import copy
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mixtconv._version import __version__
from mixtconv.exporting.clip_graph import rewrite, traced
from mixtconv.exporting.clip_layout import FoldedTemporalConv, LayoutName, TimeKernel
from mixtconv.exporting.stream_layout import RINGS, Past, StreamLayoutName, frame_step
from mixtconv.exporting.token_filter import TokenRingStep, TokenStep, on_tokens, step_tokens
from mixtconv.inference.engines.base import (
    FRAME,
    VIDEO,
    Description,
    Pixels,
    picture_shape,
)
from mixtconv.inference.engines.past import PastOfStreams
from mixtconv.models import VideoClassifier
from mixtconv.models.folded_filter import FoldedTemporalFilter
from mixtconv.models.motion import sort_pictures
from mixtconv.models.spec import EVENTS_NOTE
from mixtconv.models.streaming import check_looks_back_only

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
    past = Past()
    model.backbone = _step_through_time(model.backbone, past, layout)
    example = _example((), model, pixels)
    network = _Stream(model, _normalize_stream(model, pixels, past), past)
    # The operations name their states as they run; their order in the file is that of this run.
    with torch.no_grad():
        network(example)
    states = tuple(past.states.values())
    events = _events(model, of_frames=True)
    description = Description(model.spec, __version__, pixels, states, events=events)
    _, *network.inputs = description.inputs
    _, *network.outputs = description.outputs
    before = PastOfStreams(states, _EXAMPLE_BATCH).before()
    inputs = {name: torch.from_numpy(array) for name, array in before.items()}
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
    model: VideoClassifier, pixels: Pixels, past: Past
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


class _Stream(nn.Module):
    """Frames (B, C, H, W) and their past -> logits (B, num_classes) and what is to be kept."""

    def __init__(
        self, model: VideoClassifier, normalize: Callable[[Tensor], Tensor], past: Past
    ) -> None:
        super().__init__()
        self.model, self.normalize, self.past = model, normalize, past
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        """Names of what there is of the past before and after a frame, in their order."""

    def forward(self, frame: Tensor, *past: Tensor) -> tuple[Tensor, ...]:
        self.past.begin(dict(zip(self.inputs, past, strict=True)))
        logits = self.model.head(self.model.backbone(self.normalize(frame)))
        return logits, *(self.past.after[name] for name in self.outputs)


def _step_through_time(network: nn.Module, past: Past, layout: StreamLayoutName) -> nn.Module:
    """A causal network of frames that takes one frame of each stream.

    Args:
        network: it is modified in place.
        past: holds the states of its operations.
        layout: of the past of its operations.
    """
    network = traced(network, partial(_step_tokens, past=past, layout=layout))
    for name, module in list(network.named_modules()):
        if isinstance(module, FoldedTemporalFilter):
            network.set_submodule(
                name, frame_step(layout, _state_name(name), _kernels(module), past)
            )
        elif isinstance(module, FoldedTemporalConv):
            kernel = TimeKernel.ordinary(module.layer)
            network.set_submodule(name, frame_step(layout, _state_name(name), [kernel], past))
    return network


def _step_tokens(network: nn.Module, past: Past, layout: StreamLayoutName) -> None:
    """Write the operations on tokens of a causal network frame by frame, in place."""
    for name, module in list(network.named_modules()):
        tokens = on_tokens(module)
        if tokens is not None:
            step = TokenRingStep if layout in RINGS else TokenStep
            make = partial(step, _state_name(name), past=past, layout=module.layout)
            step_tokens(network, name, _kernels(tokens), step=make)


def _state_name(module: str) -> str:
    return f"past_{module.replace('.', '_')}"


def _kernels(temporal: FoldedTemporalFilter) -> list[TimeKernel]:
    """The kernels of the groups of channels, in order."""
    if temporal.edges != "zeros":
        raise ValueError(
            f"an exported stream begins with zeros as its past, and this model has edges "
            f"{temporal.edges!r}: export clips, or train with --edges zeros"
        )
    return TimeKernel.by_group(temporal.taps)
