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

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mixtconv.models.residual_branches import clip_length, evaluating
from mixtconv.models.token_blocks import TokenBlock
from mixtconv.models.wrapping import WrappedModule, replace_module


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
        module: tokens (..., D) -> same.
        before, after: the adapters.
    """

    def __init__(self, module: nn.Module, before: LinearAdapter, after: LinearAdapter) -> None:
        super().__init__(module)
        self.before, self.after = before, after

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
    device = next(network.parameters(), torch.empty(0)).device
    names = []
    for about in blocks:
        for part in (about.attention, about.mlp):
            if part is None:
                continue
            name, inner = f"{about.name}.{part}", max(1, round(width * about.channels))
            before, after = (LinearAdapter(about.channels, inner).to(device) for _ in range(2))
            wrapped = AdaptedLayers(network.get_submodule(name), before, after)
            replace_module(network, name, wrapped)
            names.append(name)
    return names


@torch.no_grad()
def fold_linear_adapters(network: nn.Module) -> None:
    """Make linear adapters part of the layers beside them, in place; those that cannot be stay."""
    for name, wrapped in list(network.named_modules()):
        if isinstance(wrapped, AdaptedLayers) and _fold(wrapped):
            network.set_submodule(name, wrapped.module)


def _fold(wrapped: AdaptedLayers) -> bool:
    """Fold both adapters into the wrapped module; False, and nothing changed, if it cannot be."""
    channels = wrapped.before.up.out_features
    random = torch.Generator().manual_seed(0)
    tokens = torch.rand(clip_length(wrapped), 16, channels, generator=random)
    tokens = tokens.to(wrapped.before.up.weight)
    with evaluating(wrapped):
        try:
            expected, first, last = _ends(wrapped, tokens)
        except (RuntimeError, ValueError, TypeError, AssertionError):
            return False  # a module that takes other tokens than these
        if not first or last is None:
            return False
        kept = [(layer, layer.weight.clone(), layer.bias) for layer in {*first, last}]
        weight, bias = wrapped.before.as_linear()
        for layer in first:
            moved = layer.weight @ bias
            layer.bias = nn.Parameter(moved if layer.bias is None else moved + layer.bias)
            layer.weight.copy_(layer.weight @ weight)
        weight, bias = wrapped.after.as_linear()
        last.bias = nn.Parameter(bias if last.bias is None else bias + weight @ last.bias)
        last.weight.copy_(weight @ last.weight)
        if torch.allclose(wrapped.module(tokens), expected, rtol=1e-3, atol=1e-4):
            return True
        for layer, old, old_bias in kept:
            layer.weight.copy_(old)
            layer.bias = old_bias
        return False


def _ends(
    wrapped: AdaptedLayers, tokens: Tensor
) -> tuple[Tensor, list[nn.Linear], nn.Linear | None]:
    """The result, the layers that take what the module takes, and the one that gives its result."""
    module = wrapped.module
    layers = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    adapted = wrapped.before(tokens)
    first: list[nn.Linear] = []
    given: dict[int, nn.Linear] = {}

    def keep(layer: nn.Linear, args: tuple[Tensor, ...], result: Tensor) -> None:
        if args[0].data_ptr() == adapted.data_ptr() and args[0].shape == adapted.shape:
            first.append(layer)
        given[result.data_ptr()] = layer

    handles = [layer.register_forward_hook(keep) for layer in layers]
    try:
        result = module(adapted)
    finally:
        for handle in handles:
            handle.remove()
    return wrapped.after(result), first, given.get(result.data_ptr())
