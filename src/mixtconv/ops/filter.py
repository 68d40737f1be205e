"""The temporal filter: one depthwise filter over time a channel, as an operator of torch.

All depthwise operations of this package are this one: mixed temporal convolution, one kernel size,
dilated, causal, and temporal shift (one tap of weight 1 at the offset of the shift). A group of
channels has its own taps, each at an offset in frames:

    y[b, t, c] = sum over the taps j of c of  taps[c, j] * x[b, t + offset[c, j], c]

Frames outside the clip count as zeros. The gradient of x is the same filter with the offsets turned
round. On the CPU a compiled loop computes it (`cpu_filter.py`), on CUDA a Triton kernel
(`triton_filter.py`), elsewhere, and where these are not to be had, plain torch (`plain_filter.py`),
which is also their definition. Registered with `torch.library` as `mixtconv::temporal_filter`, so
that `torch.compile` and `torch.export` carry it.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from mixtconv.ops import plain_filter

KERNEL_VARIABLE = "MIXTCONV_KERNEL"
"""Environment variable; `plain` leaves compiled kernels alone, as on a machine without them, and
`auto` is as without it."""

_GROUPS = "int[] channels, int[] num_taps, int[] offsets"
_library = torch.library.Library("mixtconv", "DEF")
_library.define(f"temporal_filter(Tensor x, Tensor taps, {_GROUPS}) -> Tensor")
_library.define(f"temporal_filter_taps_gradient(Tensor x, Tensor grad, {_GROUPS}) -> Tensor")
_library.define(
    f"temporal_filter_backward(Tensor x, Tensor grad, Tensor taps, {_GROUPS}) -> (Tensor, Tensor)"
)


@dataclass(frozen=True)
class DepthwiseTaps:
    """The taps of a depthwise temporal operation, as `temporal_filter` takes them."""

    taps: Tensor
    """Weights of all groups in order, each group's (C_m, K_m) flattened."""
    channels: list[int]
    """C_m of every group."""
    num_taps: list[int]
    """K_m of every group."""
    offsets: list[int]
    """Frames from the output frame to the one that a tap meets, K_m for every group."""

    def apply(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Filter clips (B, T, C, H, W); see `temporal_filter`."""
        return temporal_filter(x, self.taps, self.channels, self.num_taps, self.offsets, out=out)


def temporal_filter(
    x: Tensor,
    taps: Tensor,
    channels: Sequence[int],
    num_taps: Sequence[int],
    offsets: Sequence[int],
    *,
    out: Tensor | None = None,
) -> Tensor:
    """Filter groups of channels over time, each with its own taps.

    Args:
        x: clips (B, T, C, H, W), in any memory format.
        taps: the weights of all groups in order, each group's (C_m, K_m) flattened. Multiplied and
            added in float32 at least, whatever the precision of `x`.
        channels: C_m of every group; they add up to C.
        num_taps: K_m of every group.
        offsets: frames from the output frame to the one that a tap meets; K_m for every group.
        out: clips like `x` that the result is written to; no gradient flows then.

    Returns:
        (B, T, C, H, W) in the memory format and precision of `x`.

    >>> x = torch.arange(3.0).reshape(1, 3, 1, 1, 1)
    >>> temporal_filter(x, torch.tensor([1.0, 10.0]), [1], [2], [0, 1]).flatten().tolist()
    [10.0, 21.0, 2.0]
    """
    groups = (list(channels), list(num_taps), list(offsets))
    if out is None:
        return torch.ops.mixtconv.temporal_filter(x, taps, *groups)
    return _kernel_for(x, groups[1]).temporal_filter_into(out, x, taps, *groups)


def kernel_in_use(device: torch.device) -> str:
    """What computes temporal filters on a device, in words.

    Raises:
        ValueError: the environment asks for a kernel that is none.

    >>> kernel_in_use(torch.device("meta"))
    'plain torch'
    """
    kernel = _kernel(device)
    return plain_filter.NAME if kernel is None else kernel.describe()


def uses_compiled_kernels() -> bool:
    """Whether compiled kernels may be used, see `KERNEL_VARIABLE`.

    Raises:
        ValueError: the environment asks for a kernel that is none.
    """
    asked = os.environ.get(KERNEL_VARIABLE, "auto")
    if asked not in ("auto", "plain"):
        raise ValueError(f"{KERNEL_VARIABLE} is {asked!r} in the environment; give plain or auto")
    return asked != "plain"


@cache
def _kernel(device: torch.device) -> ModuleType | None:
    """The module that computes on this device, or None for plain torch."""
    if not uses_compiled_kernels():
        return None
    if device.type == "cpu":
        from mixtconv.ops import cpu_filter  # noqa: PLC0415

        return cpu_filter if cpu_filter.is_available() else None
    if device.type == "cuda" and find_spec("triton") is not None:
        from mixtconv.ops import triton_filter  # noqa: PLC0415

        return triton_filter if triton_filter.is_available(device) else None
    return None


def _kernel_for(x: Tensor, num_taps: list[int]) -> ModuleType:
    kernel = _kernel(x.device)
    return kernel if kernel is not None and kernel.takes(x, num_taps) else plain_filter


def _filter(x: Tensor, taps: Tensor, *groups: list[int]) -> Tensor:
    return _kernel_for(x, groups[1]).temporal_filter(x, taps, *groups)


def _taps_gradient(x: Tensor, grad: Tensor, *groups: list[int]) -> Tensor:
    return _kernel_for(x, groups[1]).taps_gradient(x, grad, *groups)


def _both_gradients(
    x: Tensor, grad: Tensor, taps: Tensor, *groups: list[int]
) -> tuple[Tensor, Tensor]:
    return _kernel_for(x, groups[1]).backward(x, grad, taps, *groups)


for _name, _function in {
    "temporal_filter": _filter,
    "temporal_filter_taps_gradient": _taps_gradient,
    "temporal_filter_backward": _both_gradients,
}.items():
    _library.impl(_name, _function, "CompositeExplicitAutograd")


@torch.library.register_fake("mixtconv::temporal_filter", lib=_library)
def _(x: Tensor, taps: Tensor, *groups: list[int]) -> Tensor:
    return torch.empty_like(x)


@torch.library.register_fake("mixtconv::temporal_filter_taps_gradient", lib=_library)
def _(x: Tensor, grad: Tensor, *groups: list[int]) -> Tensor:
    return _gradient_like(x, *groups)


@torch.library.register_fake("mixtconv::temporal_filter_backward", lib=_library)
def _(x: Tensor, grad: Tensor, taps: Tensor, *groups: list[int]) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), _gradient_like(x, *groups)


def _gradient_like(x: Tensor, channels: list[int], num_taps: list[int], offsets: Any) -> Tensor:
    size = sum(c * k for c, k in zip(channels, num_taps, strict=True))
    return x.new_empty(size, dtype=torch.promote_types(x.dtype, torch.float32))


def _remember_filter(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, taps, *ctx.groups = inputs
    # Without a gradient of the taps the filter is linear in x, and x need not be kept.
    ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, taps)


def _filter_gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x, taps = ctx.saved_tensors
    channels, num_taps, offsets = ctx.groups
    of_x, of_taps, *_ = ctx.needs_input_grad
    grad_x = grad_taps = None
    if of_x and of_taps and not torch.is_grad_enabled():  # one pass for both
        grad_x, grad_taps = torch.ops.mixtconv.temporal_filter_backward(x, grad, taps, *ctx.groups)
    else:
        if of_x:
            grad_x = temporal_filter(grad, taps, channels, num_taps, _turned_round(offsets))
        if of_taps:
            grad_taps = torch.ops.mixtconv.temporal_filter_taps_gradient(x, grad, *ctx.groups)
    return grad_x, None if grad_taps is None else grad_taps.to(taps.dtype), None, None, None


def _remember_taps_gradient(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, grad, *ctx.groups = inputs
    ctx.save_for_backward(x, grad)


def _taps_gradient_gradients(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    """The taps' gradient is linear in x and in that of y; `grad` is shaped like the taps."""
    x, grad_y = ctx.saved_tensors
    channels, num_taps, offsets = ctx.groups
    of_x, of_grad_y, *_ = ctx.needs_input_grad
    grad_x = grad_grad_y = None
    if of_x:
        grad_x = temporal_filter(grad_y, grad, channels, num_taps, _turned_round(offsets))
    if of_grad_y:
        grad_grad_y = temporal_filter(x, grad, channels, num_taps, offsets)
    return grad_x, grad_grad_y, None, None, None


torch.library.register_autograd(
    "mixtconv::temporal_filter",
    _filter_gradients,
    setup_context=_remember_filter,
    lib=_library,
)
torch.library.register_autograd(
    "mixtconv::temporal_filter_taps_gradient",
    _taps_gradient_gradients,
    setup_context=_remember_taps_gradient,
    lib=_library,
)


def _turned_round(offsets: Sequence[int]) -> list[int]:
    return [-offset for offset in offsets]
