"""ZeroI2V: linear adapters in a transformer, which become part of its layers for inference.

From "ZeroI2V: Zero-Cost Adaptation of Pre-trained Transformers from Image to Video" (arXiv
2310.01324). Around each attention and each MLP, x + up(down(x)), without an activation; with the
shift of keys and values (`key_value.py`) that is all that is trained. A product of linear layers is
one, so that after training the network has the layers of the image model alone:

    before a layer W:   W (x + U D x) = W (I + U D) x
    after a layer W:    (I + U D) W x

Different here: no dropout in adapters. Which layers an adapter is folded into is found by running
the module that it is around, and the result is compared; an adapter that cannot be folded stays.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mixtconv.models.structure.network_trace import clip_length, evaluating
from mixtconv.models.structure.token_blocks import TokenBlock
from mixtconv.models.wrappers.wrapping import WrappedModule, replace_module


class LinearAdapter(nn.Module):
    """x + up(down(x)), without an activation: (..., D) -> same.

    Args:
        channels: D.
        width: channels in between.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.down = nn.Linear(channels, width)
        self.up = nn.Linear(width, channels)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.up(self.down(x))

    def as_linear(self) -> tuple[Tensor, Tensor]:
        """The adapter as one layer: its weight (D, D) and bias (D,)."""
        weight = self.up.weight @ self.down.weight
        bias = self.up.weight @ self.down.bias + self.up.bias
        return weight + torch.eye(len(weight)).to(weight), bias


class AdaptedLayers(WrappedModule):
    """An attention or MLP between two linear adapters.

    Args:
        module: tokens (N, *shape, D) -> same.
        before, after: the adapters.
        shape: of the tokens that the module takes.
    """

    def __init__(
        self,
        module: nn.Module,
        before: LinearAdapter,
        after: LinearAdapter,
        shape: tuple[int, ...],
    ) -> None:
        super().__init__(module)
        self.before, self.after = before, after
        self.shape = shape

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self.after(self.module(self.before(x), *args, **kwargs))


def insert_linear_adapters(
    network: nn.Module, blocks: Sequence[TokenBlock], *, width: float = 0.25
) -> list[str]:
    """Put linear adapters around the attention and MLP of every block, in place.

    Args:
        network: takes frames (B * T, C, H, W).
        blocks: where; see `find_token_blocks`.
        width: channels of the adapters, as a fraction of those of the tokens.

    Returns:
        The names of the modules that they are around.

    Raises:
        ValueError: no block of tokens.
    """
    if not blocks:
        raise ValueError(f"found no block of tokens in {type(network).__name__}; use mstnet")
    names = []
    for about in blocks:
        for part, shape in ((about.attention, about.attention_shape), (about.mlp, (1,))):
            if part is None:
                continue
            name, inner = f"{about.name}.{part}", max(1, round(width * about.channels))
            before, after = (LinearAdapter(about.channels, inner) for _ in range(2))
            wrapped = AdaptedLayers(network.get_submodule(name), before, after, shape)
            replace_module(network, name, wrapped)
            names.append(name)
    return names


@torch.no_grad()
def fold_linear_adapters(network: nn.Module) -> None:
    """Make linear adapters part of the layers beside them, in place; those that cannot be stay."""
    for name, wrapped in list(network.named_modules()):
        if not isinstance(wrapped, AdaptedLayers):
            continue
        ends = _ends(wrapped)
        trial = copy.deepcopy(wrapped).double().eval()
        if ends is not None and _folds(trial, ends):
            _fold(wrapped, ends)
            network.set_submodule(name, wrapped.module)


@dataclass(frozen=True)
class _Ends:
    """The linear layers at both ends of a module, by their names in it."""

    first: tuple[str, ...]
    """Those that take the tokens that the module takes."""
    last: str
    """The one that gives its result."""


def _ends(wrapped: AdaptedLayers) -> _Ends | None:
    """The layers at both ends of the wrapped module, by running it; None if they are not linear."""
    module, tokens = wrapped.module, wrapped.before(_tokens(wrapped))
    layers = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    first: list[str] = []
    given: dict[int, str] = {}

    def keep(name: str, layer: nn.Module, args: tuple[Tensor, ...], result: Tensor) -> None:
        x = args[0]
        # All of the tokens or some, such as the class token, with all of their channels.
        is_view = x.untyped_storage().data_ptr() == tokens.untyped_storage().data_ptr()
        if is_view and x.shape[-1] == tokens.shape[-1]:
            first.append(name)
        given[result.data_ptr()] = name

    handles = [layer.register_forward_hook(partial(keep, name)) for name, layer in layers.items()]
    try:
        with evaluating(module):
            last = given.get(module(tokens).data_ptr())
    finally:
        for handle in handles:
            handle.remove()
    return _Ends(tuple(first), last) if first and last is not None else None


def _tokens(wrapped: AdaptedLayers) -> Tensor:
    """Random tokens as the module takes them."""
    weight, random = wrapped.before.up.weight, torch.Generator().manual_seed(0)
    shape = (clip_length(wrapped), *wrapped.shape, len(weight))
    return torch.rand(shape, generator=random).to(weight)


def _folds(wrapped: AdaptedLayers, ends: _Ends) -> bool:
    """Whether the module gives the same once its adapters are folded; it is changed."""
    tokens = _tokens(wrapped)
    expected = wrapped(tokens)
    _fold(wrapped, ends)
    return torch.allclose(wrapped.module(tokens), expected, rtol=1e-6, atol=1e-6)


def _fold(wrapped: AdaptedLayers, ends: _Ends) -> None:
    weight, bias = wrapped.before.as_linear()
    for name in ends.first:
        layer = wrapped.module.get_submodule(name)
        assert isinstance(layer, nn.Linear)
        moved = layer.weight @ bias
        layer.bias = nn.Parameter(moved if layer.bias is None else moved + layer.bias)
        layer.weight.copy_(layer.weight @ weight)
    weight, bias = wrapped.after.as_linear()
    last = wrapped.module.get_submodule(ends.last)
    assert isinstance(last, nn.Linear)
    last.bias = nn.Parameter(bias if last.bias is None else bias + weight @ last.bias)
    last.weight.copy_(weight @ last.weight)
