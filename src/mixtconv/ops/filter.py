"""The temporal filter: one depthwise filter over time per channel, as an operator of torch.

Every depthwise operation of this package is this filter: mixed temporal convolution, one kernel
size, dilated, causal, and temporal shift (one tap of weight 1 at the offset of the shift). A group
of channels has its own taps, each at an offset in frames:

    y[b, t, c] = sum over the taps j of c of  weights[c, j] * x[b, t + offset[c, j], c]

Frames outside the clip count as zeros. The gradient of x is the same filter with negated offsets.
On the CPU a compiled loop computes it (`cpu_filter.py`), on CUDA a Triton kernel
(`triton_filter.py`); where neither is available, plain PyTorch does (`plain_filter.py`), the
reference implementation. Registered with `torch.library` as `mixtconv::temporal_filter`, so that
`torch.compile` and `torch.export` support it.
"""

import os
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from mixtconv._types import Edges
from mixtconv.ops import plain_filter
from mixtconv.ops.taps import TapGroups

KERNEL_VARIABLE = "MIXTCONV_KERNEL"
"""Environment variable: `plain` disables the compiled kernels, `auto` is the default."""

# Operators of torch take flat lists; everywhere else these three are one `TapGroups`.
_GROUPS = "int[] channels, int[] num_taps, int[] offsets"
_library = torch.library.Library("mixtconv", "DEF")
_library.define(f"temporal_filter(Tensor x, Tensor taps, {_GROUPS}) -> Tensor")
_library.define(f"temporal_filter_taps_gradient(Tensor x, Tensor grad, {_GROUPS}) -> Tensor")
_library.define(
    f"temporal_filter_backward(Tensor x, Tensor grad, Tensor taps, {_GROUPS}) -> (Tensor, Tensor)"
)


@dataclass(frozen=True)
class DepthwiseTaps:
    """A depthwise temporal operation: the weights of its taps, and their groups of channels."""

    weights: Tensor
    """Of all groups in order, each group's (C_m, K_m) flattened."""
    groups: TapGroups
    edges: Edges = "zeros"
    """What frames outside of a clip count as."""

    def apply(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Filter clips (B, T, C, H, W); see `temporal_filter`."""
        filtered = temporal_filter(x, self.weights, self.groups, out=out)
        return filtered if self.edges == "zeros" else self._with_edges(filtered, x)

    def _with_edges(self, filtered: Tensor, x: Tensor) -> Tensor:
        """Add to the frames near the edges what their taps outside of the clip meet, in place."""
        num_frames = x.shape[1]
        for group in self.groups.split():
            matrix = group.matrix(self.weights)  # (C_m, K_m)
            for frame in range(num_frames):
                met = [frame + offset for offset in group.offsets]
                for edge, taps in (
                    (0, [tap for tap, place in enumerate(met) if place < 0]),
                    (num_frames - 1, [tap for tap, place in enumerate(met) if place >= num_frames]),
                ):
                    if taps:
                        weights = matrix[:, taps].sum(dim=1).to(x.dtype)[:, None, None]
                        filtered[:, frame, group.channels] += weights * x[:, edge, group.channels]
        return filtered


def temporal_filter(
    x: Tensor, weights: Tensor, groups: TapGroups, *, out: Tensor | None = None
) -> Tensor:
    """Filter groups of channels over time, each with its own taps.

    Args:
        x: clips (B, T, C, H, W), in any memory format.
        weights: of all groups in order, each group's (C_m, K_m) flattened. Multiplied and added in
            float32 at least, whatever the precision of `x`.
        groups: the channels and tap offsets of every group; the channels add up to C.
        out: clips like `x` that the result is written to; no gradient flows then.

    Returns:
        (B, T, C, H, W) in the memory format and precision of `x`.

    >>> x = torch.arange(3.0).reshape(1, 3, 1, 1, 1)
    >>> groups = TapGroups(channels=(1,), num_taps=(2,), offsets=(0, 1))
    >>> temporal_filter(x, torch.tensor([1.0, 10.0]), groups).flatten().tolist()
    [10.0, 21.0, 2.0]
    """
    if out is None:
        return torch.ops.mixtconv.temporal_filter(x, weights, *groups)
    return _kernel_for(x).temporal_filter_into(out, x, weights, groups)


def kernel_in_use(device: torch.device) -> str:
    """Name of the implementation that computes temporal filters on a device.

    Raises:
        ValueError: the environment variable has an unknown value.

    >>> kernel_in_use(torch.device("meta"))
    'plain torch'
    """
    kernel = _kernel(device)
    return plain_filter.NAME if kernel is None else kernel.describe()


def uses_compiled_kernels() -> bool:
    """Whether compiled kernels may be used, see `KERNEL_VARIABLE`.

    Raises:
        ValueError: the environment variable has an unknown value.
    """
    value = os.environ.get(KERNEL_VARIABLE, "auto")
    if value not in ("auto", "plain"):
        raise ValueError(f"{KERNEL_VARIABLE} is {value!r} in the environment; give plain or auto")
    return value != "plain"


@cache
def _kernel(device: torch.device) -> ModuleType | None:
    """The module with this device's compiled kernel, or None for plain torch."""
    if not uses_compiled_kernels():
        return None
    if device.type == "cpu":
        from mixtconv.ops import cpu_filter  # noqa: PLC0415

        return cpu_filter if cpu_filter.is_available() else None
    if device.type == "cuda" and find_spec("triton") is not None:
        from mixtconv.ops import triton_filter  # noqa: PLC0415

        return triton_filter if triton_filter.is_available(device) else None
    return None


def _kernel_for(x: Tensor) -> ModuleType:
    kernel = _kernel(x.device)
    return kernel if kernel is not None and kernel.takes(x) else plain_filter


def _groups(channels: list[int], num_taps: list[int], offsets: list[int]) -> TapGroups:
    """The lists of an operator's arguments as one object, hashable for the kernels' caches."""
    return TapGroups(tuple(channels), tuple(num_taps), tuple(offsets))


def _filter(x: Tensor, taps: Tensor, *groups: list[int]) -> Tensor:
    return _kernel_for(x).temporal_filter_into(torch.empty_like(x), x, taps, _groups(*groups))


def _taps_gradient(x: Tensor, grad: Tensor, *groups: list[int]) -> Tensor:
    return _kernel_for(x).taps_gradient(x, grad, _groups(*groups))


def _both_gradients(
    x: Tensor, grad: Tensor, taps: Tensor, *groups: list[int]
) -> tuple[Tensor, Tensor]:
    grad_x = torch.empty_like(x)
    grad_taps = _kernel_for(x).taps_gradient(x, grad, _groups(*groups), weights=taps, grad_x=grad_x)
    return grad_x, grad_taps


def _empty_taps_gradient(x: Tensor, grad: Tensor, *groups: list[int]) -> Tensor:
    num_weights = _groups(*groups).num_weights
    return x.new_empty(num_weights, dtype=torch.promote_types(x.dtype, torch.float32))


def _empty_gradients(
    x: Tensor, grad: Tensor, taps: Tensor, *groups: list[int]
) -> tuple[Tensor, Tensor]:
    return torch.empty_like(x), _empty_taps_gradient(x, grad, *groups)


# The functions, and those that only give the shapes of results.
for _name, _function, _fake in (
    ("temporal_filter", _filter, lambda x, *_: torch.empty_like(x)),
    ("temporal_filter_taps_gradient", _taps_gradient, _empty_taps_gradient),
    ("temporal_filter_backward", _both_gradients, _empty_gradients),
):
    _library.impl(_name, _function, "CompositeExplicitAutograd")
    torch.library.register_fake(f"mixtconv::{_name}", _fake, lib=_library)


def _save_for_filter_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, taps, *groups = inputs
    ctx.groups = _groups(*groups)
    # Without a gradient of the taps the filter is linear in x, and x need not be kept.
    ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, taps)


def _filter_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    x, taps = ctx.saved_tensors
    needs_x, needs_taps, *_ = ctx.needs_input_grad
    grad_x = grad_taps = None
    # One pass for both, unless second derivatives are recorded: the joint operator has none.
    if needs_x and needs_taps and not torch.is_grad_enabled():
        grad_x, grad_taps = torch.ops.mixtconv.temporal_filter_backward(x, grad, taps, *ctx.groups)
    else:
        if needs_x:
            grad_x = temporal_filter(grad, taps, ctx.groups.negated())
        if needs_taps:
            grad_taps = torch.ops.mixtconv.temporal_filter_taps_gradient(x, grad, *ctx.groups)
    return grad_x, None if grad_taps is None else grad_taps.to(taps.dtype), None, None, None


def _save_for_taps_gradient_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    x, grad, *groups = inputs
    ctx.groups = _groups(*groups)
    ctx.save_for_backward(x, grad)


def _taps_gradient_backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    """The taps' gradient is linear in x and in that of y; `grad` is shaped like the taps."""
    x, grad_y = ctx.saved_tensors
    needs_x, needs_grad_y, *_ = ctx.needs_input_grad
    grad_x = temporal_filter(grad_y, grad, ctx.groups.negated()) if needs_x else None
    grad_grad_y = temporal_filter(x, grad, ctx.groups) if needs_grad_y else None
    return grad_x, grad_grad_y, None, None, None


torch.library.register_autograd(
    "mixtconv::temporal_filter",
    _filter_backward,
    setup_context=_save_for_filter_backward,
    lib=_library,
)
torch.library.register_autograd(
    "mixtconv::temporal_filter_taps_gradient",
    _taps_gradient_backward,
    setup_context=_save_for_taps_gradient_backward,
    lib=_library,
)
