"""A depthwise temporal operation on the tokens of a transformer, in the operations of an engine.

Tokens are channels last. A clip is one convolution over its frames, each a row of places,

    (B * T, L, C)  ->  (B, C, T, L)  ->  back

Channels that pass unchanged, the queries of an attention, have a projection of their own: cutting
them off the projected tokens would be a pass over them, and filtering them too is slower.

A frame of a stream is a sum of products, of the tokens at the same place of the frames before. Keys
and values have kernels of the same sizes; the channels of both are taken together, for half as many
sums:

    k: 1 3 5 7,  v: 1 3 5 7   ->   1 1,  3 3,  5 5,  7 7
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixtconv.exporting.clip_layout import TimeKernel
from mixtconv.exporting.stream_layout import FrameStep, Past, RingKernel
from mixtconv.models.folded_filter import FoldedTemporalFilter
from mixtconv.models.structure.token_layout import TokenLayout, TokenOperation


class TokenFilter(nn.Module):
    """A temporal operation on the tokens of clips: (B * T * P, ..., C) -> same.

    Args:
        kernel: depthwise.
        num_frames: T.
        layout: the form of the tokens.
    """

    def __init__(self, kernel: TimeKernel, num_frames: int, layout: TokenLayout) -> None:
        super().__init__()
        self.kernel, self.num_frames, self.layout = kernel, num_frames, layout
        self.weight = nn.Parameter(kernel.weight[..., None].clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        num_channels = x.shape[-1]
        places = x.shape[1:-1].numel() * self.layout.parts  # of one frame
        clips = x.reshape(-1, self.num_frames, places, num_channels).permute(0, 3, 1, 2)
        clips, along_time = self.kernel.padded(clips)
        padding, dilation = (along_time, 0), (self.kernel.step, 1)
        clips = F.conv2d(
            clips, self.weight, padding=padding, dilation=dilation, groups=num_channels
        )  # (B, C, T, P * L)
        return clips.permute(0, 2, 3, 1).reshape(-1, *x.shape[1:])


def on_tokens(operation: nn.Module) -> FoldedTemporalFilter | None:
    """The temporal operation of a module on tokens with the channels last; None for all others."""
    if not isinstance(operation, TokenOperation) or not operation.layout.channels_last:
        return None
    return operation.operation if isinstance(operation.operation, FoldedTemporalFilter) else None


class FilteredProjection(nn.Module):
    """A linear layer of which the channels after the first P are filtered over time.

    Args:
        layer: (N, ..., C) to (N, ..., P + Q).
        num_passed: P.
        temporal: of Q channels, tokens to tokens.
    """

    def __init__(self, layer: nn.Linear, num_passed: int, temporal: nn.Module) -> None:
        super().__init__()
        self.passed = _rows(layer, slice(0, num_passed))
        self.filtered = _rows(layer, slice(num_passed, None))
        self.temporal = temporal

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.passed(x), self.temporal(self.filtered(x))], dim=-1)


def _rows(layer: nn.Linear, rows: slice) -> nn.Linear:
    """A layer of some of the channels of another."""
    weight = layer.weight.detach()[rows].clone()  # files hold tensors with memory of their own
    part = nn.Linear(layer.in_features, len(weight), bias=layer.bias is not None, device="meta")
    part.weight = nn.Parameter(weight, requires_grad=False)
    if layer.bias is not None:
        part.bias = nn.Parameter(layer.bias.detach()[rows].clone(), requires_grad=False)
    return part


def filter_tokens(network: nn.Module) -> None:
    """Write the temporal operations on tokens of clips as convolutions, in place."""
    for name, module in list(network.named_modules()):
        temporal = on_tokens(module)
        if temporal is None:
            continue
        kernel, passed = TimeKernel.depthwise(temporal.taps), _num_passed(temporal)
        layer = _projection_before(network, name) if passed else None
        if layer is not None:
            kernel = replace(kernel, weight=kernel.weight[passed:], groups=kernel.groups - passed)
        new = TokenFilter(kernel, temporal.num_frames, module.layout)
        _put(network, name, new, layer=layer, num_passed=passed)


def step_tokens(
    network: nn.Module,
    name: str,
    kernels: Sequence[TimeKernel],
    *,
    step: Callable[[Sequence[TimeKernel]], nn.Module],
) -> None:
    """Write a temporal operation on tokens frame by frame, in place.

    Args:
        network: the network.
        name: of the operation.
        kernels: depthwise, of the groups of channels in order.
        step: makes the new one, of its kernels.
    """
    passed = num_before_turns(kernels)
    num_passed = sum(len(kernel.weight) for kernel in kernels[:passed])
    layer = _projection_before(network, name) if passed else None
    new = step(kernels[passed:] if layer is not None else kernels)
    _put(network, name, new, layer=layer, num_passed=num_passed)


def _projection_before(network: nn.Module, name: str) -> nn.Linear | None:
    """The linear layer whose channels an operation takes, if the two are a pair."""
    before, _, last = name.rpartition(".")
    pair = network.get_submodule(before)
    if type(pair) is not nn.Sequential or len(pair) != 2 or last != "1":
        return None
    return pair[0] if type(pair[0]) is nn.Linear else None


def _put(
    network: nn.Module, name: str, new: nn.Module, *, layer: nn.Linear | None, num_passed: int
) -> None:
    """Replace a temporal operation on tokens, in place.

    Args:
        network: the network.
        name: of the operation.
        new: takes its place; with a layer, on its channels after the first ones.
        layer: before the operation.
        num_passed: channels of the layer that the operation leaves as they are.
    """
    if layer is None:
        network.set_submodule(name, new)
    else:
        projection = FilteredProjection(layer, num_passed, new)
        network.set_submodule(name.rpartition(".")[0], projection)


def _num_passed(temporal: FoldedTemporalFilter) -> int:
    """How many channels, from the first, every frame keeps as they are."""
    taps, passed = temporal.taps, 0
    for group in taps.groups.split():
        if group.offsets != (0,) or not bool((group.matrix(taps.weights) == 1).all()):
            break
        passed = group.channels.stop
    return passed % sum(taps.groups.channels)


def turns(kernels: Sequence[TimeKernel]) -> tuple[int, list[TimeKernel]]:
    """How often the same kernels follow each other, and one turn of them with the channels of all.

    Args:
        kernels: depthwise, of the groups of channels in order.

    >>> one = TimeKernel(torch.ones(4, 1, 1), first=0, step=1, groups=4)
    >>> three = TimeKernel(torch.ones(4, 1, 3), first=-2, step=1, groups=4)
    >>> number, together = turns([one, three, one, three])
    >>> number, [kernel.groups for kernel in together]
    (2, [8, 8])
    """
    forms = [(kernel.weight.shape, kernel.first, kernel.step) for kernel in kernels]
    length = next(
        length
        for length in range(1, len(forms) + 1)
        if forms[:length] * (len(forms) // length) == forms
    )
    together = []
    for first in range(length):
        weight = torch.cat([kernel.weight for kernel in kernels[first::length]])
        together.append(replace(kernels[first], weight=weight, groups=len(weight)))
    return len(forms) // length, together


def num_before_turns(kernels: Sequence[TimeKernel]) -> int:
    """How many kernels, from the first, are those of queries, before the turns of keys and values.

    They leave every frame as it is, as the first kernel of keys does, too, while its weights are
    fresh: as many are taken as leave the most turns. Where that brings none, it is 0.
    """
    most = next((number for number, kernel in enumerate(kernels) if not kernel.is_identity), 0)
    return max(range(most + 1), key=lambda number: turns(kernels[number:])[0])


class TokenStep(FrameStep):
    """A depthwise temporal operation on tokens, frame by frame: (B * P, ..., C) -> same.

    Args:
        name, kernels, past: as of `FrameStep`; the states are windows (D, P * L, C_m), of C_m
            channels of all turns.
        layout: the form of the tokens.
    """

    def __init__(
        self, name: str, kernels: Sequence[TimeKernel], past: Past, layout: TokenLayout
    ) -> None:
        self.num_turns, together = turns(kernels)
        super().__init__(name, together, past)
        self.layout = layout

    def forward(self, x: Tensor) -> Tensor:
        places = x.shape[1:-1].numel() * self.layout.parts
        # (B, P * L, turns, C / turns), so that the channels of a kernel in all turns are one part
        tokens = x.reshape(-1, places, self.num_turns, x.shape[-1] // self.num_turns)
        parts = tokens.split([size // self.num_turns for size in self.sizes], dim=-1)
        steps = [
            self._step(number, part.reshape(-1, places, size)).reshape(part.shape)
            for number, (part, size) in enumerate(zip(parts, self.sizes, strict=True))
        ]
        return torch.cat(steps, dim=-1).reshape(-1, *x.shape[1:])

    def _step(self, number: int, part: Tensor) -> Tensor:
        """One kernel on the new frame (B, P * L, C_m) and those before it."""
        kernel, name = self.kernels[number], self.state_name(number)
        if self.is_identity[number]:
            return part
        # Products and their sum; a convolution would turn the tokens round and back.
        weights = kernel.weight.transpose(0, 2)  # (K, 1, C_m)
        if kernel.first == 0:
            return part * weights[0]
        window = self.past.window(name, part, depth=-kernel.first, axis=1)
        return (window[:, :: kernel.step] * weights).sum(dim=1)  # of (B, K, P * L, C_m)


class TokenRingStep(TokenStep):
    """The same with rings (1, D * P * L, C_m)."""

    def __init__(
        self, name: str, kernels: Sequence[TimeKernel], past: Past, layout: TokenLayout
    ) -> None:
        super().__init__(name, kernels, past, layout)
        self.sums = self.looking_back(RingKernel)

    def _step(self, number: int, part: Tensor) -> Tensor:
        kernel, name = self.kernels[number], self.state_name(number)
        if kernel.first == 0:
            return super()._step(number, part)
        before = cast(RingKernel, self.sums[name]).of_tokens(part, name, self.past)
        return part * kernel.weight[:, 0, -1] + before


ON_TOKENS = (TokenOperation, TokenFilter, FilteredProjection, TokenStep)
"""What graphs do not follow: sizes of tokens and the past of streams would be those of one run."""
