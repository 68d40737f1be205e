"""Temporal operations frame by frame with the past as inputs and outputs of the network.

What `ops/stream_filter.py` keeps in rings is here a plain window, which an engine can be handed and
its user can feed back as it is: of each group of channels that looks back, the last D frames, the
latest last. With the new frame behind them the operation is one convolution over time.

    state, D = 2:  | frame 3 | frame 4 |  and frame 5 comes
    next state:    | frame 4 | frame 5 |
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixtconv.exporting.time_kernel import (
    OrdinaryFrames,
    TimeKernel,
    separate_ordinary_convolutions,
)
from mixtconv.models.graph_fusion import fold
from mixtconv.models.optimize import follow, separate_temporal_operations
from mixtconv.models.temporal_frames import TemporalFrames


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

    def __init__(self, name: str, layer: TemporalFrames, past: PastContext) -> None:
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

    def __init__(self, name: str, layer: OrdinaryFrames, past: PastContext) -> None:
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
        graph = follow(network, leaves=(OrdinaryFrames,))
    except ValueError:
        pass
    else:
        fold(graph)
        network = graph
    for name, module in list(network.named_modules()):
        short = name.replace(".", "_")
        if isinstance(module, TemporalFrames):
            network.set_submodule(name, StepFilter(short, module, past))
        elif isinstance(module, OrdinaryFrames):
            network.set_submodule(name, StepConv(short, module, past))
    return network
