"""The temporal filter on a GPU and its gradients, by the kernel of `triton_kernel`.

    y[b, t, c] = sum_j weights[c, j] * x[b, t + offset_j, c]     frames outside the clip are zeros

The gradient of x is the same filter of the gradient of y with the offsets negated, and the gradient
of a weight needs the same shifted frames once more:

    grad_x[t]          = sum_j weights[c, j] * grad[t - offset_j]
    grad_weights[c, j] = sum_t x[t] * grad[t - offset_j]         also over clips and positions

so that one pass over x and grad gives both: three tensors of traffic instead of five.

Sums are float32 (float64 for float64). A NaN in one frame reaches only the results whose taps meet
that frame; in the gradient of the weights it may reach more weights of its channel.
"""

from functools import lru_cache

import torch
from torch import Tensor

from mixtconv.ops.taps import TapGroups
from mixtconv.ops.triton_kernel import launch
from mixtconv.ops.triton_tiling import TapTables, Tiling, choose_tiling, tap_tables

_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def is_available(device: torch.device) -> bool:
    """Whether the kernel supports this GPU: NVIDIA's from Ampere on.

    Triton supports others too; this kernel was never compiled for them.

    >>> is_available(torch.device("cpu"))
    False
    """
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


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
    return tiling, tap_tables(tiling, groups, device)
