"""The temporal filter on a GPU and its gradients, by the kernel of `triton_kernel`.

    y[b, t, c] = sum_j weights[c, j] * x[b, t + offset_j, c]     frames outside the clip are zeros

The gradient of x is the same filter of the gradient of y with the offsets negated, and the gradient
of a weight needs the same shifted frames once more:

    grad_x[t]          = sum_j weights[c, j] * grad[t - offset_j]
    grad_weights[c, j] = sum_t x[t] * grad[t - offset_j]         also over clips and positions

so that one pass over x and grad gives both: three tensors of traffic instead of five.

Triton compiles a kernel at its first launch, which takes a C compiler and a release that knows the
GPU: the kernel is tried before its first use, and where it fails plain torch takes its place.

Sums are float32 (float64 for float64). A NaN in one frame reaches only the results whose taps meet
that frame; in the gradient of the weights it may reach more weights of its channel.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache, partial
from typing import TypeVar

import torch
from torch import Tensor

from mixtconv._names import first_line
from mixtconv.ops import plain_filter
from mixtconv.ops.taps import TapGroups
from mixtconv.ops.triton_kernel import launch
from mixtconv.ops.triton_tiling import TapTables, Tiling, choose_tiling, tap_tables

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def is_available(device: torch.device) -> bool:
    """Whether the kernel runs on this GPU: NVIDIA's from Ampere on, where Triton can compile.

    Triton supports others too; this kernel was never compiled for them.

    >>> is_available(torch.device("cpu"))
    False
    """
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0) and kernel_fault(device) is None


@cache
def kernel_fault(device: torch.device) -> str | None:
    """Why the kernel cannot be used on a device that it supports; None if it can.

    Tried once per process, with gradients, on small clips against plain torch.
    """
    fault: str | None = None
    try:
        is_right = _apart(partial(_try_out, device))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of Triton, the C compiler that it calls, the driver
        fault = f"{type(error).__name__}: {first_line(error)}"
    else:
        if not is_right:
            fault = "other values than plain torch"
    if fault is not None:
        logger.warning(
            "the GPU's kernel of temporal filters cannot be used here (%s): plain torch computes "
            "them, in several times the time; Triton needs a C compiler such as gcc and Python's "
            "header files",
            fault,
        )
    return fault


def _try_out(device: torch.device) -> bool:
    """Whether the kernel computes the same as plain torch."""
    groups = TapGroups((4, 4), (1, 3), (0, -1, 0, 1))
    values = torch.linspace(-1, 1, 8 * 8 * 4 * 4, device=device)
    x, grad = (each.view(1, 8, 8, 4, 4) for each in (values, values.flip(0)))
    weights = torch.linspace(-1, 2, groups.num_weights, device=device)

    def compute(filter_into: Callable[..., Tensor], gradient: Callable[..., Tensor]) -> Tensor:
        y, grad_x = torch.empty_like(x), torch.empty_like(x)
        filter_into(y, x, weights, groups)
        grad_weights = gradient(x, grad, groups, weights=weights, grad_x=grad_x)
        return torch.cat([each.flatten() for each in (y, grad_x, grad_weights)])

    ours = compute(temporal_filter_into, taps_gradient)
    plain = compute(plain_filter.temporal_filter_into, plain_filter.taps_gradient)
    return torch.allclose(ours, plain, rtol=1e-4, atol=1e-4)


def _apart(function: Callable[[], Result]) -> Result:
    """Call a function in a thread of its own, where no state of the caller's reaches it.

    While a CUDA graph is prepared, what this thread allocates comes from the graph's memory, which
    may hold nothing that lives on (torch.compile's graphs check that); inference mode and modes of
    tensors are this thread's too.
    """
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(function).result()


def takes(x: Tensor) -> bool:
    """Whether the kernel supports such clips."""
    return x.dtype in _TYPES


def describe() -> str:
    """Name of the implementation."""
    return "Triton kernel"


def temporal_filter_into(out: Tensor, x: Tensor, weights: Tensor, groups: TapGroups) -> Tensor:
    """See `plain_filter`; contiguous and channels-last frames are read in place."""
    if not x.numel():
        return out
    source, channels_last = _dense(x)
    target = _with_strides_of(source, out)
    form = x.shape[1:], x.element_size(), x.device, groups
    tiling, tables = _plan(*form, channels_last=channels_last, taps_gradient=False)
    launch(tiling, tables, 1, source, taps=weights.contiguous(), filtered=target)
    return _copied(target, out)


def taps_gradient(
    x: Tensor,
    grad: Tensor,
    groups: TapGroups,
    *,
    weights: Tensor | None = None,
    grad_x: Tensor | None = None,
) -> Tensor:
    """See `plain_filter.taps_gradient`; one pass over `x` and `grad` for both gradients."""
    num_weights = groups.num_weights
    dtype = torch.promote_types(x.dtype, torch.float32)
    if not x.numel():
        return x.new_zeros(num_weights, dtype=dtype)
    # All clips take the layout of x, since one launch has one tiling.
    partner, channels_last = _dense(x)
    source = _copied(grad, _with_strides_of(partner, grad))
    target = None
    if weights is not None and grad_x is not None:
        weights, target = weights.contiguous(), _with_strides_of(partner, grad_x)
    form = x.shape[1:], x.element_size(), x.device, groups
    tiling, tables = _plan(*form, channels_last=channels_last, taps_gradient=True)
    partial = x.new_empty((x.shape[0] * tiling.tiles_of_a_channel, num_weights), dtype=dtype)
    launch(
        tiling, tables, -1, source, taps=weights, filtered=target, partner=partner, partial=partial
    )
    if grad_x is not None and target is not None:
        _copied(target, grad_x)
    return partial.sum(0)


def _dense(x: Tensor) -> tuple[Tensor, bool]:
    """`x`, or a copy if its frames are in neither memory format, and whether channels-last."""
    if not _is_dense(x):
        x = x.clone()  # in the memory format of x where that is one of the two
    if not _is_dense(x):
        x = x.contiguous()
    return x, not x.is_contiguous()


def _is_dense(x: Tensor) -> bool:
    return x.is_contiguous() or x.permute(0, 1, 3, 4, 2).is_contiguous()


def _with_strides_of(source: Tensor, wanted: Tensor) -> Tensor:
    """`wanted` if it has the strides of `source`, else an empty tensor that has them."""
    return wanted if wanted.stride() == source.stride() else torch.empty_like(source)


def _copied(x: Tensor, target: Tensor) -> Tensor:
    """`target` with the values of `x`, which may be `target`."""
    return target if x is target else target.copy_(x)


@lru_cache(maxsize=1024)
def _plan(
    frames_shape: torch.Size,
    itemsize: int,
    device: torch.device,
    groups: TapGroups,
    *,
    channels_last: bool,
    taps_gradient: bool,
) -> tuple[Tiling, TapTables]:
    """The arguments of a launch that are not clips or weights."""
    num_frames, num_channels, height, width = frames_shape
    tiling = choose_tiling(
        num_frames,
        num_channels,
        height * width,
        itemsize=itemsize,
        channels_last=channels_last,
        taps_gradient=taps_gradient,
    )
    return tiling, _tables(groups, tiling.channel_spans, num_frames, device)


@cache  # and never freed: a CUDA graph reads them at their address as long as it exists
def _tables(
    groups: TapGroups,
    channel_spans: tuple[tuple[int, int], ...],
    num_frames: int,
    device: torch.device,
) -> TapTables:
    make = partial(tap_tables, groups, channel_spans, num_frames=num_frames, device=device)
    return _apart(make)
