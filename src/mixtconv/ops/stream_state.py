"""The state of temporal operations on streams: the frames that they still need of the past.

A group of channels whose taps reach `depth` frames back keeps a ring of as many frames for every
stream; frame t of a stream is in slot t % depth, so that nothing is ever moved:

    depth 2:   | frame 4 | frame 3 |   the new frame 5 replaces frame 3, the oldest one that
                                       the taps meet

A new stream's rings hold zeros, as frames before a clip count.
"""

import ctypes
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from mixtconv.ops import native_library

if TYPE_CHECKING:
    from mixtconv.ops.cpu_stream_filter import CompiledStep


@dataclass(frozen=True)
class Streams:
    """The streams that have one new frame each.

    Raises:
        ValueError: no stream, a stream named twice, or a negative place or count.
    """

    places: tuple[int, ...]
    """Place of each in the pool of states."""
    counts: tuple[int, ...]
    """Number of earlier frames of each."""

    def __post_init__(self) -> None:
        is_one_of_each = 0 < len(set(self.places)) == len(self.places) == len(self.counts)
        if not is_one_of_each or min(*self.places, *self.counts) < 0:
            raise ValueError(
                f"got frames of streams {self.places}, which have had {self.counts} frames; give "
                "one frame of each stream at most, and a count of 0 or more for each"
            )

    @cached_property
    def highest(self) -> int:
        """The highest place."""
        return max(self.places)

    @cached_property
    def in_step(self) -> int | None:
        """The count, where the streams are the first of the pool and have had as many frames.

        Their past frames then are views of the rings, for which a GPU has nothing to launch.
        """
        are_first = self.places == tuple(range(len(self.places)))
        return self.counts[0] if are_first and len(set(self.counts)) == 1 else None

    def on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """The places and the counts as tensors (N,), copied to a device once: that waits for it."""
        if device not in self._on:
            self._on[device] = torch.tensor([self.places, self.counts], device=device)  # (2, N)
        places, counts = self._on[device]
        return places, counts

    @cached_property
    def _on(self) -> dict[torch.device, Tensor]:
        return {}

    @cached_property
    def native(self) -> Any:
        """The argument of the compiled loop."""
        kind = ctypes.c_int64 * len(self.places)  # looked up once: every frame comes here
        arrays = kind(*self.places), kind(*self.counts)
        streams = native_library.StepStreams(len(self.places), *map(ctypes.addressof, arrays))
        streams.arrays = arrays  # keeps the memory at these addresses alive
        return ctypes.byref(streams)


class StreamGroup(NamedTuple):
    """One group of channels of a causal filter, as a stream meets its taps."""

    channels: slice
    weights: Tensor
    """(C_m, K_m)."""
    lags: Sequence[int]
    """Frames back, K_m, the largest first."""
    depth: int
    """The largest lag."""


def frames_of(ring: Tensor, streams: Streams, lag: int) -> Tensor:
    """The frames that the streams had so many frames ago, (N, C_m, H, W) of (S, depth, C_m, H, W).

    A view of the ring, where the streams are in step.
    """
    if streams.in_step is not None:
        return ring[: len(streams.places), (streams.in_step - lag) % ring.shape[1]]
    places, counts = streams.on(ring.device)
    return ring[places, (counts - lag) % ring.shape[1]]


def keep_frames(ring: Tensor, streams: Streams, frames: Tensor) -> None:
    """Write the new frames (N, C_m, H, W) of the streams over their oldest ones."""
    if streams.in_step is not None:
        frames_of(ring, streams, 0).copy_(frames)
        return
    places, counts = streams.on(ring.device)
    ring[places, counts % ring.shape[1]] = frames


@dataclass(eq=False)
class PastFrames:
    """The frames that a filter needs of the past, for a pool of streams."""

    rings: tuple[Tensor | None, ...]
    """By group of channels: (S, depth, C_m, H, W), None where no tap looks back."""
    frame_shape: torch.Size
    """(C, H, W) of the frames, of all groups together."""
    num_streams: int
    """S, places for streams."""
    channels_last: bool
    """Whether the channels of a pixel are contiguous in memory."""
    step: "CompiledStep | None" = field(default=None, init=False, repr=False)
    """The compiled loop over these rings, set by the first call if there is one."""

    @torch.inference_mode()  # the rings may have been made in it
    def forget(self, place: int) -> None:
        """Restart a stream: frames before its first count as zeros."""
        for ring in self.rings:
            if ring is not None:
                ring[place].zero_()

    def check(self, x: Tensor, streams: Streams) -> None:
        """Raise ValueError unless `x` holds one frame of each of the streams, and fits."""
        num_streams = len(streams.places)
        if x.shape[1:] != self.frame_shape or len(x) != num_streams:
            raise ValueError(
                f"got frames of shape {tuple(x.shape)} for {num_streams} streams, whose frames so "
                f"far were {tuple(self.frame_shape)}; give each stream one of its size"
            )
        if streams.highest >= self.num_streams:
            raise ValueError(
                f"got frames of streams {streams.places}; there are places 0 to "
                f"{self.num_streams - 1}"
            )
