"""One frame of many streams on the CPU, by the compiled loop of `native/steps.h`."""

import ctypes
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from mixtconv.ops import native_library
from mixtconv.ops.stream_state import PastFrames, StreamGroup, Streams


def compiled_step(groups: tuple[StreamGroup, ...], past: PastFrames) -> "CompiledStep | None":
    """The loop for a filter's groups and a pool of streams, None where it does not support them."""
    memory = [*(group.weights for group in groups), *(r for r in past.rings if r is not None)]
    most = most_lags()
    is_supported = (
        most > 0
        and past.frame_shape.numel() > 0
        and all(tensor.is_cpu and tensor.dtype == torch.float32 for tensor in memory)
        and all(
            group.lags.count(0) <= 1 and len([lag for lag in group.lags if lag]) <= most
            for group in groups
        )
    )
    return CompiledStep(groups, past) if is_supported else None


@cache
def most_lags() -> int:
    """Most past frames that a group's taps may meet in the loop; 0 where it is not available."""
    library = native_library.library()
    return 0 if library is None else library.mixtconv_most_step_lags()


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


class CompiledStep:
    """The loop for one filter and one pool of streams, with all arguments of its call prepared.

    Preparing them takes longer than filtering small frames, so it is done once; only the frames
    and streams change from call to call. A copy is None: the arguments hold addresses of this
    filter's weights and these streams' rings.
    """

    def __init__(self, groups: tuple[StreamGroup, ...], past: PastFrames) -> None:
        num_channels, height, width = past.frame_shape
        memory_format = torch.channels_last if past.channels_last else torch.contiguous_format
        # A group's weights are (channels, taps), transposed in channels-last.
        matrices = [group.weights.T if past.channels_last else group.weights for group in groups]
        weights = torch.cat([matrix.flatten() for matrix in matrices])
        # The tap that meets the new frame has no place in a ring; the loop takes it as a flag.
        past_lags = [[lag for lag in group.lags if lag] for group in groups]
        arrays: dict[str, ctypes.Array[Any]] = {
            "channels": native_library.integers([len(group.weights) for group in groups]),
            "depths": native_library.integers([group.depth for group in groups]),
            "num_lags": native_library.integers([len(lags) for lags in past_lags]),
            "lags": native_library.integers([lag for lags in past_lags for lag in lags]),
            "meets_new": native_library.integers([0 in group.lags for group in groups]),
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
        self.groups = groups
        self._rings, self._num_streams = past.rings, past.num_streams
        self._kept_alive = (weights, arrays)  # memory at the addresses in `_step`
        self._memory_format = memory_format
        self._run = partial(native_library.library().mixtconv_step, ctypes.byref(self._step))
        self._threads = ctypes.byref(native_library.threads())
        # What `repeat_into` sets up: shape and strides of the frames, and where results go.
        self._form: tuple[Any, ...] = ()
        self._out: Tensor | None = None
        self._out_address = 0

    def is_of(self, groups: tuple[StreamGroup, ...], past: PastFrames) -> bool:
        """Whether it was made for them."""
        return self.groups is groups and self._rings is past.rings

    def __call__(self, x: Tensor, streams: Streams, out: Tensor) -> bool:
        """Filter into `out`, see `StreamFilter`; False, with nothing done, for other frames."""
        if not self._fits(x, out):
            return False
        self._run(x.data_ptr(), out.data_ptr(), streams.native, self._threads)
        return True

    def repeat_into(self, out: Tensor, x: Tensor) -> None:
        """Let `again` filter frames that are like `x` into `out`."""
        if self._fits(x, out):
            self._form, self._out, self._out_address = (x.shape, x.stride()), out, out.data_ptr()

    def again(self, x: Tensor, streams: Streams) -> Tensor | None:
        """Filter as `repeat_into` set up; None, with nothing done, for other frames or streams.

        In a large network none of this is left in the CPU's caches when the next frame comes: every
        function that is called here costs cache misses, so the checks are written out.
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
