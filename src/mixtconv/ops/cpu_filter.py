"""The temporal filter on the CPU by the compiled loop of `native/temporal_filter.c`."""

import ctypes
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from mixtconv.ops import native_library
from mixtconv.ops.taps import TapGroups

_TYPES = (torch.float32, torch.bfloat16)


def is_available() -> bool:
    """Whether the loop was compiled when the package was installed, and can be loaded."""
    return native_library.library() is not None


def takes(x: Tensor) -> bool:
    """Whether the loop supports such clips."""
    return x.dtype in _TYPES and x.numel() > 0


def describe() -> str:
    """The instruction set in use and whose threads."""
    instructions = native_library.instruction_sets()[native_library.best()]
    return f"compiled loop ({instructions}, {native_library.threads_name()})"


def temporal_filter_into(out: Tensor, x: Tensor, weights: Tensor, groups: TapGroups) -> Tensor:
    """See `plain_filter.temporal_filter_into`."""
    channels_last = _common_layout(x, out)
    if channels_last is None:
        dense = torch.empty_like(x, memory_format=torch.contiguous_format)
        return out.copy_(temporal_filter_into(dense, x.contiguous(), weights, groups))
    job = _Job(source=_clips(x), target=_clips(out), direction=1, channels_last=channels_last)
    _run(x, job, weights, groups)
    return out


def taps_gradient(
    x: Tensor,
    grad: Tensor,
    groups: TapGroups,
    *,
    weights: Tensor | None = None,
    grad_x: Tensor | None = None,
) -> Tensor:
    """See `plain_filter.taps_gradient`; one pass for both gradients."""
    x, grad, channels_last = _in_one_layout(x, grad)
    gradient = torch.zeros(groups.num_weights)
    job = _Job(x=_clips(x), grad=_clips(grad), channels_last=channels_last)
    if weights is None or grad_x is None:
        _run(x, job, gradient, groups, gradient)
        return gradient
    target = grad_x if _common_layout(x, grad_x) is not None else torch.empty_like(x)
    job.source, job.target, job.direction = _clips(grad), _clips(target), -1
    _run(x, job, weights, groups, gradient)
    if target is not grad_x:
        grad_x.copy_(target)
    return gradient


class _Clips(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("clip_stride", ctypes.c_int64),
        ("frame_stride", ctypes.c_int64),
    )


class _Job(ctypes.Structure):
    """`Job` of temporal_filter.c; the library sets the fields after `machine`."""

    _fields_ = (
        ("source", _Clips),
        ("target", _Clips),
        ("x", _Clips),
        ("grad", _Clips),
        ("direction", ctypes.c_int64),
        ("taps", ctypes.c_void_p),
        ("num_clips", ctypes.c_int64),
        ("num_frames", ctypes.c_int64),
        ("num_channels", ctypes.c_int64),
        ("num_positions", ctypes.c_int64),
        ("num_groups", ctypes.c_int64),
        ("channels", ctypes.c_void_p),
        ("num_taps", ctypes.c_void_p),
        ("offsets", ctypes.c_void_p),
        ("channels_last", ctypes.c_int64),
        ("half", ctypes.c_int64),
        ("machine", ctypes.c_int64),
        ("sums", ctypes.c_void_p),
        ("num_weights", ctypes.c_int64),
        ("num_strips", ctypes.c_int64),
        ("length", ctypes.c_int64),
        ("rows", ctypes.c_int64),
        ("streamed", ctypes.c_int64),
    )


def _run(
    x: Tensor, job: _Job, weights: Tensor, groups: TapGroups, gradient: Tensor | None = None
) -> None:
    """Run a job on clips of the size of `x`; the weights' gradient is written to `gradient`."""
    weights = weights.detach().to(torch.float32).contiguous()
    arrays = _native(groups)
    num_clips, num_frames, num_channels, height, width = x.shape
    job.taps = weights.data_ptr()
    job.num_clips, job.num_frames, job.num_channels = num_clips, num_frames, num_channels
    job.num_positions, job.num_groups = height * width, len(groups.channels)
    job.channels, job.num_taps, job.offsets = map(ctypes.addressof, arrays)
    job.half, job.machine = x.dtype == torch.bfloat16, native_library.best()
    loaded = native_library.library()
    assert loaded is not None
    failed = loaded.mixtconv_run(
        ctypes.byref(job),
        None if gradient is None else gradient.data_ptr(),
        ctypes.byref(native_library.threads()),
    )
    if failed:
        raise MemoryError("no memory for the sums of a temporal filter's gradient")


@lru_cache(maxsize=512)
def _native(groups: TapGroups) -> "tuple[ctypes.Array[Any], ...]":
    """The three lists of a layer as the library takes them."""
    return tuple(map(native_library.integers, groups))


def _clips(x: Tensor) -> _Clips:
    return _Clips(x.data_ptr(), x.stride(0), x.stride(1))


def _in_one_layout(x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, bool]:
    """Both with dense frames in one layout, copied if they are not; True if channels-last."""
    if _common_layout(x, x) is None:
        x = x.contiguous()
    if _common_layout(x, grad) is None:
        grad = torch.empty_like(x).copy_(grad)
    channels_last = _common_layout(x, grad)
    assert channels_last is not None
    return x, grad, channels_last


def _common_layout(x: Tensor, other: Tensor) -> bool | None:
    """True where the frames of both are dense and channels-last, False for NCHW, None otherwise."""
    shape, strides = x.shape[2:], (x.stride()[2:], other.stride()[2:])
    num_channels, height, width = shape
    layouts = {
        True: (1, width * num_channels, num_channels),
        False: (height * width, width, 1),
    }
    # One channel is dense in both layouts; NCHW has the longer rows.
    for channels_last in (True, False) if num_channels > 1 else (False,):
        if all(
            size == 1 or stride == dense
            for frame_strides in strides
            for size, stride, dense in zip(
                shape, frame_strides, layouts[channels_last], strict=True
            )
        ):
            return channels_last
    return None
