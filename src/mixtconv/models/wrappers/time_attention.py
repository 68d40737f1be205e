"""AIM: the frozen attention of a transformer run over time as well, with adapters.

From "AIM: Adapting Image Models for Efficient Video Action Recognition" (arXiv 2302.03024). In
every block, over the residual stream x of tokens, with the block's own layers:

    x = x + A(attention over time(norm1(x)))         each place attends to itself in all frames
    x = x + A'(attention(norm1(x)))
    x = x + MLP(norm2(x)) + scale * A''(norm2(x))

An adapter A is a bottleneck with GELU, and A' has a shortcut; their last layers begin at zero, so
that the network begins as the image model. For Something-Something there is a second adapter of
time, A' between norm1 and the attention. Different here: no drop path of the adapters' own.
"""

import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mixtconv._names import first_line
from mixtconv.models.structure.network_trace import evaluating
from mixtconv.models.structure.token_blocks import TokenBlock
from mixtconv.models.wrappers.wrapping import WrappedModule, replace_module
from mixtconv.ops import fold_time, unfold_time


class Bottleneck(nn.Module):
    """Linear, GELU, linear: (..., D) -> same, perhaps beside a shortcut.

    Args:
        channels: D.
        width: channels in between.
        shortcut: add the input.
    """

    def __init__(self, channels: int, width: int, *, shortcut: bool) -> None:
        super().__init__()
        self.down = nn.Linear(channels, width)
        self.act = nn.GELU()
        self.up = nn.Linear(width, channels)
        self.shortcut = shortcut
        nn.init.trunc_normal_(self.down.weight, std=0.02)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(self.act(self.down(x)))
        return x + y if self.shortcut else y


class AdaptedAttention(WrappedModule):
    """An attention with an adapter behind it."""

    def __init__(self, module: nn.Module, adapter: nn.Module) -> None:
        super().__init__(module)
        self.adapter = adapter

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        return self.adapter(self.module(*args, **kwargs))


class AdaptedMlp(WrappedModule):
    """An MLP with an adapter beside it, times `scale`."""

    def __init__(self, module: nn.Module, adapter: nn.Module, scale: float) -> None:
        super().__init__(module)
        self.adapter, self.scale = adapter, scale

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return self.module(x, *args, **kwargs) + self.scale * self.adapter(x)


class TimeAttention(WrappedModule):
    """A block before which its tokens attend over time, with the block's own attention.

    Args:
        block: tokens (B * T, N, D) -> same, with `norm1` before the attention.
        adapter: of the attention's result.
        num_frames: T.
        attention: name of the attention inside the block, an `AdaptedAttention`.
        adapter_in: of what the attention takes, if there is one.
        causal: each frame attends to itself and those before it.
    """

    def __init__(
        self,
        block: nn.Module,
        adapter: nn.Module,
        num_frames: int,
        *,
        attention: str,
        adapter_in: nn.Module | None = None,
        causal: bool = False,
    ) -> None:
        super().__init__(block)
        self.adapter, self.adapter_in, self.num_frames = adapter, adapter_in, num_frames
        self.attention, self.causal = attention, causal

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        block, num_frames = self.module, self.num_frames
        adapted = block.get_submodule(self.attention)
        assert isinstance(adapted, AdaptedAttention)
        # A row of tokens is one place in all frames: (B * T, N, D) -> (B * N, T, D).
        clip = unfold_time(block.get_submodule("norm1")(x), num_frames).transpose(1, 2)
        if self.adapter_in is not None:
            clip = self.adapter_in(clip)
        mask = {"is_causal": True} if self.causal else {}
        seen = self.adapter(adapted.module(clip.flatten(0, 1), **mask))
        seen = seen.unflatten(0, clip.shape[:2]).transpose(1, 2)  # (B, T, N, D)
        return block(x + fold_time(seen), *args, **kwargs)


def insert_time_attention(
    network: nn.Module,
    blocks: Sequence[TokenBlock],
    *,
    num_frames: int,
    width: float = 0.25,
    scale: float = 1.0,
    time_adapters: int = 1,
    causal: bool = False,
) -> list[str]:
    """Make a transformer attend over time with its own attentions, in place.

    Args:
        network: takes frames (B * T, C, H, W).
        blocks: where; see `find_token_blocks`.
        num_frames: T.
        width: channels of the adapters, as a fraction of those of the tokens.
        scale: of the adapters beside MLPs; published are 1 for Something-Something and 0.5 else.
        time_adapters: adapters of the attention over time: 1 behind it, or 2, one before it too.
        causal: frames attend to earlier ones alone.

    Returns:
        The names of the blocks inside the network.

    Raises:
        ValueError: blocks of another kind.
    """
    if not blocks:
        raise ValueError(f"found no block of tokens in {type(network).__name__}; use mstnet")
    for about in blocks:
        block = network.get_submodule(about.name)
        _refuse_unfit(block, about, num_frames=num_frames, causal=causal)
    for about in blocks:
        block = network.get_submodule(about.name)
        inner = max(1, round(width * about.channels))
        adapter = partial(Bottleneck, about.channels, inner)
        attention = block.get_submodule(about.attention)
        replace_module(block, about.attention, AdaptedAttention(attention, adapter(shortcut=True)))
        assert about.mlp is not None
        mlp = block.get_submodule(about.mlp)
        replace_module(block, about.mlp, AdaptedMlp(mlp, adapter(shortcut=False), scale))
        over_time = TimeAttention(
            block,
            adapter(shortcut=False),
            num_frames,
            attention=about.attention,
            adapter_in=adapter(shortcut=True) if time_adapters == 2 else None,
            causal=causal,
        )
        replace_module(network, about.name, over_time)
    return [about.name for about in blocks]


def _refuse_unfit(block: nn.Module, about: TokenBlock, *, num_frames: int, causal: bool) -> None:
    """Raise for a block whose attention cannot run over time."""
    attention = block.get_submodule(about.attention)
    reason = None
    if not hasattr(block, "norm1") or about.mlp is None:
        reason = "it has no norm1 before its attention, or no MLP"
    elif causal and "is_causal" not in inspect.signature(attention.forward).parameters:
        reason = "its attention has no causal form"
    else:
        parameter = next(attention.parameters())
        try:  # windows and tables of positions are for a fixed number of tokens
            with evaluating(attention), torch.no_grad():
                attention(torch.zeros(2, num_frames, about.channels).to(parameter))
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            reason = f"its attention takes no {num_frames} tokens, {first_line(error)}"
    if reason:
        raise ValueError(
            f"the attention of {about.name} ({type(block).__name__}) cannot run over the frames of "
            f"a clip: {reason}; choose a network of the classes VisionTransformer or Eva, or the "
            "families mstvit or adapter instead of aim"
        )
