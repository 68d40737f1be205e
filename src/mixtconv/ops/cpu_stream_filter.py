"""One frame of many streams on the CPU, by the compiled loop of `native/steps.h`."""

import ctypes
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

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
    prepared = _PREPARED.get(past)
    if prepared is None or prepared.stream_filter is not stream_filter:
        _PREPARED[past] = prepared = _prepare(stream_filter, past)
    places = native_library.integers(streams.places)
    counts = native_library.integers(streams.counts)
    step = prepared.step
    step.source, step.target, step.num_streams = x.data_ptr(), out.data_ptr(), len(x)
    step.places, step.counts = ctypes.addressof(places), ctypes.addressof(counts)
    step.machine = native_library.best()
    native_library.library().mixtconv_step(
        ctypes.byref(step), ctypes.byref(native_library.threads())
    )


class _Prepared(NamedTuple):
    """All of a call but the frames: to put it together takes longer than small frames do."""

    stream_filter: "StreamFilter"
    step: _Step
    kept: tuple[Any, ...]  # what the addresses in it belong to


_PREPARED: WeakKeyDictionary["PastFrames", _Prepared] = WeakKeyDictionary()


def _prepare(stream_filter: "StreamFilter", past: "PastFrames") -> _Prepared:
    taps, groups = stream_filter.taps, stream_filter.groups
    num_channels, height, width = past.frame_shape
    weights = stream_filter.weights_by_tap if past.channels_last else taps.taps.contiguous()
    arrays: dict[str, ctypes.Array[Any]] = {
        "channels": native_library.integers(tuple(taps.channels)),
        "num_taps": native_library.integers(tuple(taps.num_taps)),
        "lags": native_library.integers(tuple(lag for group in groups for lag in group.lags)),
        "depths": native_library.integers(tuple(group.depth for group in groups)),
        "rings": (ctypes.c_void_p * len(groups))(
            *[None if ring is None else ring.data_ptr() for ring in past.rings]
        ),
    }
    step = _Step(
        taps=weights.data_ptr(),
        num_channels=num_channels,
        num_positions=height * width,
        num_groups=len(groups),
        channels_last=past.channels_last,
        **{name: ctypes.addressof(array) for name, array in arrays.items()},
    )
    return _Prepared(stream_filter, step, (weights, *arrays.values()))


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
