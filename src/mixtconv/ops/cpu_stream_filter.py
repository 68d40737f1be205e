"""One frame of many streams on the CPU, by the compiled loop of `native/steps.h`."""

import ctypes
from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from mixtconv.ops import native_library

if TYPE_CHECKING:
    from mixtconv.ops.stream_filter import PastFrames, StreamFilter, Streams


class _Step(ctypes.Structure):
    """`Step` of steps.h."""

    _fields_ = (
        ("taps", ctypes.c_void_p),
        ("num_channels", ctypes.c_int64),
        ("num_positions", ctypes.c_int64),
        ("num_groups", ctypes.c_int64),
        ("channels", ctypes.c_void_p),
        ("depths", ctypes.c_void_p),
        ("num_lags", ctypes.c_void_p),
        ("lags", ctypes.c_void_p),
        ("meets_new", ctypes.c_void_p),
        ("rings", ctypes.c_void_p),
        ("channels_last", ctypes.c_int64),
        ("machine", ctypes.c_int64),
    )


class _Streams(ctypes.Structure):
    """`StepStreams` of steps.h."""

    _fields_ = (
        ("count", ctypes.c_int64),
        ("places", ctypes.c_void_p),
        ("counts", ctypes.c_void_p),
    )


def native_streams(places: Sequence[int], counts: Sequence[int]) -> Any:
    """Streams as the loop takes them: places in the pool, and frames that they had before."""
    integers = ctypes.c_int64 * len(places)
    kept = integers(*places), integers(*counts)
    streams = _Streams(len(places), *map(ctypes.addressof, kept))
    streams.kept = kept  # what the addresses belong to
    return ctypes.byref(streams)


class CompiledStep:
    """The loop for one filter and one pool of streams: all of a call but the frames and streams.

    To put a call together takes longer than small frames do. A copy is None: what is put together
    are addresses of this filter's weights and these streams' rings.
    """

    def __init__(self, stream_filter: "StreamFilter", past: "PastFrames") -> None:
        groups = stream_filter.groups
        num_channels, height, width = past.frame_shape
        memory_format = torch.channels_last if past.channels_last else torch.contiguous_format
        weights = torch.cat(
            [(each.weights.T if past.channels_last else each.weights).flatten() for each in groups]
        )
        past_lags = [[lag for lag in group.lags if lag] for group in groups]
        arrays: dict[str, ctypes.Array[Any]] = {
            "channels": native_library.integers(tuple(len(group.weights) for group in groups)),
            "depths": native_library.integers(tuple(group.depth for group in groups)),
            "num_lags": native_library.integers(tuple(map(len, past_lags))),
            "lags": native_library.integers(tuple(lag for lags in past_lags for lag in lags)),
            "meets_new": native_library.integers(tuple(0 in group.lags for group in groups)),
            "rings": (ctypes.c_void_p * len(groups))(
                *[None if ring is None else ring.data_ptr() for ring in past.rings]
            ),
        }
        self._step = _Step(
            taps=weights.data_ptr(),
            num_channels=num_channels,
            num_positions=height * width,
            num_groups=len(groups),
            channels_last=past.channels_last,
            machine=native_library.best(),
            **{name: ctypes.addressof(array) for name, array in arrays.items()},
        )
        self.stream_filter = stream_filter
        self._rings, self._num_streams = past.rings, past.num_streams
        self._kept = (weights, arrays)  # what the other addresses belong to
        self._memory_format = memory_format
        self._run = partial(native_library.library().mixtconv_step, ctypes.byref(self._step))
        self._threads = ctypes.byref(native_library.threads())
        self._form: tuple[Any, ...] = ()
        self._out: Tensor | None = None
        self._out_address = 0

    def is_of(self, stream_filter: "StreamFilter", past: "PastFrames") -> bool:
        """Whether it was put together for them."""
        return self.stream_filter is stream_filter and self._rings is past.rings

    def __call__(self, x: Tensor, streams: "Streams", out: Tensor) -> bool:
        """Filter into `out`, see `StreamFilter`; False, with nothing done, for other frames."""
        if not self._fits(x, out):
            return False
        self._run(x.data_ptr(), out.data_ptr(), streams.native, self._threads)
        return True

    def repeat_into(self, out: Tensor, x: Tensor) -> None:
        """Let `again` filter frames that are like `x` into `out`."""
        if self._fits(x, out):
            self._form, self._out, self._out_address = (x.shape, x.stride()), out, out.data_ptr()

    def again(self, x: Tensor, streams: "Streams") -> Tensor | None:
        """Filter as `repeat_into` said; None, with nothing done, for other frames or streams.

        In a large network nothing of this is left in the caches by the time of the next frame: the
        fewer functions are called, the less is waited for memory.
        """
        is_alike = (
            (x.shape, x.stride()) == self._form
            and x.dtype is torch.float32
            and x.is_cpu
            and len(streams.places) == x.shape[0]
            and streams.highest < self._num_streams
        )
        if not is_alike:
            return None
        self._run(x.data_ptr(), self._out_address, streams.native, self._threads)
        return self._out

    def _fits(self, x: Tensor, out: Tensor) -> bool:
        return self._takes(x) and self._takes(out) and out.shape == x.shape

    def _takes(self, x: Tensor) -> bool:
        is_dense = x.is_contiguous(memory_format=self._memory_format)
        return is_dense and x.dtype is torch.float32 and x.is_cpu

    def __reduce__(self) -> tuple[type[None], tuple[()]]:
        return type(None), ()


def compiled_step(stream_filter: "StreamFilter", past: "PastFrames") -> CompiledStep | None:
    """The loop for a filter and a pool of streams, or None where it is not made for them."""
    memory = [stream_filter.taps.taps, *(ring for ring in past.rings if ring is not None)]
    most = _most_lags()
    is_made_for_them = (
        most > 0
        and past.frame_shape.numel() > 0
        and all(each.is_cpu and each.dtype == torch.float32 for each in memory)
        and all(
            group.lags.count(0) <= 1 and len([lag for lag in group.lags if lag]) <= most
            for group in stream_filter.groups
        )
    )
    return CompiledStep(stream_filter, past) if is_made_for_them else None


@cache
def _most_lags() -> int:
    """Frames of the past that a group may meet; 0 where the loop is not there."""
    library = native_library.library()
    return 0 if library is None else library.mixtconv_most_step_lags()
