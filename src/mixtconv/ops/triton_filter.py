"""The temporal filter of a GPU and its gradients, on the kernel of `triton_kernel`.

    y[b, t, c] = sum_j taps[c, j] * x[b, t + offset_j, c]        frames outside the clip are zeros

The gradient of x is the same filter of the gradient of y with the offsets negated, and the gradient
of a tap needs the same shifted frames once more:

    grad_x[t]       = sum_j taps[c, j] * grad[t - offset_j]
    grad_taps[c, j] = sum_t x[t] * grad[t - offset_j]            also over clips and positions

so that one pass over x and grad gives both: three tensors of traffic instead of five.

Sums are float32 (float64 for float64). A channel's taps reach only the frames they meet, also where
another frame holds a NaN; in the gradient of the taps a NaN may reach more of its channel's taps.
"""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from mixtconv.ops.triton_kernel import launch
from mixtconv.ops.triton_tiling import TapTables, Tiling, choose_tiling, tap_tables

_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def is_available(device: torch.device) -> bool:
    """Whether the kernel is made for this GPU: NVIDIA's from Ampere on.

    Triton knows others too; the kernel was not compiled for them.

    >>> is_available(torch.device("cpu"))
    False
    """
    if device.type != "cuda" or torch.version.hip is not None:
        return False
    return torch.cuda.get_device_capability(device) >= (8, 0)


def takes(x: Tensor, num_taps: Sequence[int]) -> bool:
    """Whether the kernel is made for such clips."""
    return x.dtype in _TYPES


def describe() -> str:
    """What computes."""
    return "Triton kernel"


def temporal_filter(
    x: Tensor,
    taps: Tensor,
    channels: Sequence[int],
    num_taps: Sequence[int],
    offsets: Sequence[int],
) -> Tensor:
    """Filter groups of channels over time, each with its own taps.

    Args:
        x: (B, T, C, H, W), on a GPU. Contiguous or channels-last frames are read as they are, other
            strides are copied first.
        taps: (sum of channels[m] * num_taps[m],), the (channels[m], num_taps[m]) matrices of the
            groups one after the other, on the same GPU.
        channels: of each group, in order; C in all.
        num_taps: of each group.
        offsets: frames between the output frame and the one that a tap meets, for the taps of each
            group in order.

    Returns:
        (B, T, C, H, W) with the strides of `torch.empty_like(x)`.
    """
    return temporal_filter_into(torch.empty_like(x), x, taps, channels, num_taps, offsets)


def temporal_filter_into(
    out: Tensor,
    x: Tensor,
    taps: Tensor,
    channels: Sequence[int],
    num_taps: Sequence[int],
    offsets: Sequence[int],
) -> Tensor:
    """Filter into clips that are there already, shaped like `x`; returns them."""
    if not x.numel():
        return out
    source, channels_last = _dense(x)
    target = _room(out, source)
    tiling, tables = _plan(x, channels_last, channels, num_taps, offsets, taps_gradient=False)
    launch(tiling, tables, 1, source, taps=taps.contiguous(), filtered=target)
    return _copied(target, out)


def taps_gradient(
    x: Tensor,
    grad: Tensor,
    channels: Sequence[int],
    num_taps: Sequence[int],
    offsets: Sequence[int],
) -> Tensor:
    """Gradient of the taps of `temporal_filter`, in their layout.

    Args:
        x: (B, T, C, H, W), the clips that were filtered.
        grad: (B, T, C, H, W), the gradient of the result.
        channels, num_taps, offsets: those of the filter.

    Returns:
        (sum of channels[m] * num_taps[m],), float32, or float64 if `x` is.
    """
    return _gradients(x, grad, None, None, channels, num_taps, offsets)


def backward(
    x: Tensor,
    grad: Tensor,
    taps: Tensor,
    channels: Sequence[int],
    num_taps: Sequence[int],
    offsets: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Both gradients of `temporal_filter` in one pass over `x` and `grad`.

    Args:
        x, grad, channels, num_taps, offsets: as in `taps_gradient`.
        taps: those of the filter.

    Returns:
        The gradient of `x`, (B, T, C, H, W) with the strides of `torch.empty_like(x)`, and that of
        the taps, as `taps_gradient` gives it.
    """
    grad_x = torch.empty_like(x)
    return grad_x, _gradients(x, grad, taps.contiguous(), grad_x, channels, num_taps, offsets)


def _gradients(
    x: Tensor,
    grad: Tensor,
    taps: Tensor | None,
    grad_x: Tensor | None,
    channels: Sequence[int],
    num_taps: Sequence[int],
    offsets: Sequence[int],
) -> Tensor:
    """The gradient of the taps; that of `x` is written to `grad_x` where it is given."""
    num_slots = sum(count * size for count, size in zip(channels, num_taps, strict=True))
    dtype = torch.promote_types(x.dtype, torch.float32)
    if not x.numel():
        return x.new_zeros(num_slots, dtype=dtype)
    partner, channels_last = _dense(x)
    source = _copied(grad, _room(grad, partner))
    target = None if grad_x is None else _room(grad_x, partner)
    tiling, tables = _plan(x, channels_last, channels, num_taps, offsets, taps_gradient=True)
    partial = x.new_empty((x.shape[0] * tiling.tiles_of_a_channel, num_slots), dtype=dtype)
    launch(tiling, tables, -1, source, taps=taps, filtered=target, partner=partner, partial=partial)
    if grad_x is not None and target is not None:
        _copied(target, grad_x)
    return partial.sum(0)


def _dense(x: Tensor) -> tuple[Tensor, bool]:
    """`x`, or where its frames are in neither memory format a copy, and whether channels-last."""
    if not _is_dense(x):
        x = x.clone()  # in the memory format of x where that is one of the two
    if not _is_dense(x):
        x = x.contiguous()
    return x, not x.is_contiguous()


def _is_dense(x: Tensor) -> bool:
    return x.is_contiguous() or x.permute(0, 1, 3, 4, 2).is_contiguous()


def _room(wanted: Tensor, source: Tensor) -> Tensor:
    """`wanted`, or where its strides are not those of `source` an empty tensor that has them."""
    return wanted if wanted.stride() == source.stride() else torch.empty_like(source)


def _copied(x: Tensor, target: Tensor) -> Tensor:
    """`target` with the values of `x`, which may be `target`."""
    return target if x is target else target.copy_(x)


def _plan(
    x: Tensor,
    channels_last: bool,
    channels: Sequence[int],
    num_taps: Sequence[int],
    offsets: Sequence[int],
    *,
    taps_gradient: bool,
) -> tuple[Tiling, TapTables]:
    """What a launch needs besides tensors."""
    return _plan_once(
        x.shape[1:],
        x.element_size(),
        x.device,
        tuple(channels),
        tuple(num_taps),
        tuple(offsets),
        channels_last=channels_last,
        taps_gradient=taps_gradient,
    )


@lru_cache(maxsize=1024)
def _plan_once(
    frames_shape: torch.Size,
    itemsize: int,
    device: torch.device,
    channels: tuple[int, ...],
    num_taps: tuple[int, ...],
    offsets: tuple[int, ...],
    *,
    channels_last: bool,
    taps_gradient: bool,
) -> tuple[Tiling, TapTables]:
    num_frames, num_channels, height, width = frames_shape
    tiling = choose_tiling(
        num_frames,
        num_channels,
        height * width,
        itemsize=itemsize,
        channels_last=channels_last,
        taps_gradient=taps_gradient,
    )
    return tiling, tap_tables(tiling, channels, num_taps, offsets, device=device)
