"""One frame of many streams on the CPU, by the compiled loop of `native/steps.h`."""

import ctypes
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mixtconv.ops import native_library

if TYPE_CHECKING:
    from mixtconv.ops.stream_filter import PastFrames, StreamFilter, Streams

_FORMATS = {True: torch.channels_last, False: torch.contiguous_format}


class _Step(ctypes.Structure):
    """`Step` of steps.h; the fields after `machine` are the library's own."""

    _fields_ = (
        ("source", ctypes.c_void_p),
        ("target", ctypes.c_void_p),
        ("taps", ctypes.c_void_p),
        ("num_streams", ctypes.c_int64),
        ("num_channels", ctypes.c_int64),
        ("num_positions", ctypes.c_int64),
        ("num_groups", ctypes.c_int64),
        ("channels", ctypes.c_void_p),
        ("num_taps", ctypes.c_void_p),
        ("lags", ctypes.c_void_p),
        ("depths", ctypes.c_void_p),
        ("rings", ctypes.c_void_p),
        ("places", ctypes.c_void_p),
        ("counts", ctypes.c_void_p),
        ("channels_last", ctypes.c_int64),
        ("machine", ctypes.c_int64),
        ("num_strips", ctypes.c_int64),
    )


def takes(stream_filter: "StreamFilter", x: Tensor, past: "PastFrames") -> bool:
    """Whether the loop is there and made for such frames, filters and states."""
    return (
        x.device.type == "cpu"
        and x.dtype == stream_filter.taps.taps.dtype == torch.float32
        and x.numel() > 0
        and max(stream_filter.taps.num_taps) <= _most_taps()
        and x.is_contiguous(memory_format=_FORMATS[past.channels_last])
    )


def filter_into(
    out: Tensor, stream_filter: "StreamFilter", x: Tensor, past: "PastFrames", streams: "Streams"
) -> None:
    """See `mixtconv.ops.stream_filter.StreamFilter`; `out` is like `x`."""
    num_streams, num_channels, height, width = x.shape
    taps, integers = stream_filter.taps, native_library.integers
    weights = stream_filter.weights_by_tap if past.channels_last else taps.taps
    channels, num_taps = integers(tuple(taps.channels)), integers(tuple(taps.num_taps))
    lags = integers(tuple(-offset for offset in taps.offsets))
    depths = integers(tuple(group.depth for group in stream_filter.groups))
    rings = (ctypes.c_void_p * len(depths))(
        *[None if ring is None else ring.data_ptr() for ring in past.rings]
    )
    places = (ctypes.c_int64 * num_streams)(*streams.places)
    counts = (ctypes.c_int64 * num_streams)(*streams.counts)
    step = _Step(
        source=x.data_ptr(),
        target=out.data_ptr(),
        taps=weights.data_ptr(),
        num_streams=num_streams,
        num_channels=num_channels,
        num_positions=height * width,
        num_groups=len(depths),
        channels=ctypes.addressof(channels),
        num_taps=ctypes.addressof(num_taps),
        lags=ctypes.addressof(lags),
        depths=ctypes.addressof(depths),
        rings=ctypes.addressof(rings),
        places=ctypes.addressof(places),
        counts=ctypes.addressof(counts),
        channels_last=past.channels_last,
        machine=native_library.best(),
    )
    native_library.library().mixtconv_step(
        ctypes.byref(step), ctypes.byref(native_library.threads())
    )


@cache
def _most_taps() -> int:
    """Taps that a group may have; 0 where the loop is not there."""
    library = native_library.library()
    if library is None or not hasattr(library, "mixtconv_step"):  # built of an older version
        return 0
    library.mixtconv_step.restype = None
    library.mixtconv_step.argtypes = (ctypes.c_void_p, ctypes.c_void_p)
    library.mixtconv_most_step_taps.restype = ctypes.c_int64
    return library.mixtconv_most_step_taps()
