"""A causal temporal filter on streams: one frame in, one frame out, the frames before it as state.

What `filter.py` computes for a whole clip, frame by frame. A group of channels whose taps reach
`depth` frames back keeps a ring of as many frames for every stream; frame t of a stream lies in
place t % depth, so that nothing is ever moved:

    depth 2:   | frame 4 | frame 3 |   the new frame 5 takes the place of frame 3,
                                       which is the oldest that the taps meet

A new stream's rings hold zeros, as frames before a clip count. On the CPU in float32 a compiled
loop computes it (`cpu_stream_filter.py`), elsewhere plain torch.

Ordinary temporal convolution on streams, frame by frame: what `ordinary.py` is for clips.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from mixtconv.ops import cpu_stream_filter
from mixtconv.ops.filter import DepthwiseTaps, uses_compiled_kernels
from mixtconv.ops.ordinary import TemporalConv


@dataclass(frozen=True)
class Streams:
    """The streams that one frame each has come of.

    Raises:
        ValueError: none, one named twice, or numbers that are none of places and counts.
    """

    places: tuple[int, ...]
    """Place of each in the pool of states."""
    counts: tuple[int, ...]
    """Frames that each has had before."""

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
    def native(self) -> Any:
        """The same as the compiled loop takes it."""
        return cpu_stream_filter.native_streams(self.places, self.counts)


class StreamGroup(NamedTuple):
    """The taps of one group of channels, as a stream meets them."""

    channels: slice
    weights: Tensor  # (C_m, K_m)
    lags: Sequence[int]  # frames back, K_m, the largest first
    depth: int  # the largest lag


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
    """Whether the channels of a pixel lie side by side in memory."""
    step: "cpu_stream_filter.CompiledStep | None" = field(default=None, init=False, repr=False)
    """The compiled loop over these rings, from the first call on, where there is one."""

    @torch.inference_mode()  # the rings may have been made in it
    def forget(self, place: int) -> None:
        """Let a stream begin anew: frames before its first count as zeros."""
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


class StreamFilter:
    """A causal temporal filter, frame by frame.

    Args:
        taps: the filter.

    Raises:
        ValueError: a tap looks ahead.

    >>> taps = DepthwiseTaps(torch.tensor([1.0, 10.0, 100.0]), [1], [3], [-2, -1, 0])
    >>> filter, frame = StreamFilter(taps), torch.ones(1, 1, 1, 1)
    >>> past = filter.no_past(frame, num_streams=1)
    >>> [filter(t * frame, past, Streams((0,), (t,))).item() for t in range(4)]
    [0.0, 100.0, 210.0, 321.0]
    """

    def __init__(self, taps: DepthwiseTaps) -> None:
        self.taps = taps
        self.groups = tuple(_groups(taps))

    def no_past(self, like: Tensor, num_streams: int) -> PastFrames:
        """The state of streams that have had no frame.

        Args:
            like: frames (N, C, H, W) as they will come: size, memory format, precision, device.
            num_streams: S.
        """
        height, width = like.shape[2:]
        channels_last = not like.is_contiguous()

        def ring(group: StreamGroup) -> Tensor | None:
            if group.depth == 0:
                return None
            channels = len(group.weights)
            if channels_last:
                shape = (num_streams, group.depth, height, width, channels)
                return like.new_zeros(shape).permute(0, 1, 4, 2, 3)
            return like.new_zeros(num_streams, group.depth, channels, height, width)

        return PastFrames(tuple(map(ring, self.groups)), like.shape[1:], num_streams, channels_last)

    def __call__(
        self, x: Tensor, past: PastFrames, streams: Streams, *, out: Tensor | None = None
    ) -> Tensor:
        """Filter the new frame of every stream, and put it into the past. No gradient flows.

        Args:
            x: one frame of each of N streams, (N, C, H, W).
            past: state of the pool, changed in place.
            streams: the N streams, each once.
            out: memory for the result, like `x`.

        Returns:
            (N, C, H, W): the frame that `filter.temporal_filter` gives at this place of a clip of
            all the stream's frames.

        Raises:
            ValueError: frames of another size than before, a stream that is not there, or memory
                of another shape than the frames.
        """
        past.check(x, streams)
        out = torch.empty_like(x) if out is None else out
        if out.shape != x.shape:
            raise ValueError(
                f"memory for the result has shape {tuple(out.shape)}, the frames have "
                f"{tuple(x.shape)}; give memory like the frames"
            )
        step = past.step
        if step is None or not step.is_of(self, past):  # also in a copy
            use = uses_compiled_kernels()
            past.step = step = cpu_stream_filter.compiled_step(self, past) if use else None
        if step is None or not step(x, streams, out):
            self._filter_into(out, x, past, streams)
        return out

    def _filter_into(self, out: Tensor, x: Tensor, past: PastFrames, streams: Streams) -> None:
        """Its definition, in plain torch."""
        places = torch.tensor(streams.places, device=x.device)
        counts = torch.tensor(streams.counts, device=x.device)
        for group, ring in zip(self.groups, past.rings, strict=True):
            own = x[:, group.channels]  # (N, C_m, H, W)
            result = out[:, group.channels].zero_()
            for lag, weights in zip(group.lags, group.weights.to(x.dtype).unbind(1), strict=True):
                met = own
                if lag:
                    assert ring is not None
                    met = ring[places, (counts - lag) % group.depth]
                result.addcmul_(met, weights[:, None, None])
            if ring is not None:
                ring[places, counts % group.depth] = own


def _groups(taps: DepthwiseTaps) -> Iterator[StreamGroup]:
    if max(taps.offsets) > 0:
        raise ValueError(
            f"the filter looks {max(taps.offsets)} frames ahead, which a stream does not have; "
            "make it with causal=True"
        )
    channel = tap = offset = 0
    for channels, count in zip(taps.channels, taps.num_taps, strict=True):
        lags = [-each for each in taps.offsets[offset : offset + count]]
        order = sorted(range(count), key=lags.__getitem__, reverse=True)
        weights = taps.taps[tap : tap + channels * count].view(channels, count)[:, order]
        lags = sorted(lags, reverse=True)
        yield StreamGroup(slice(channel, channel + channels), weights, lags, lags[0])
        channel, tap, offset = channel + channels, tap + channels * count, offset + count


class StreamConv:
    """A causal ordinary temporal convolution, frame by frame; called as `StreamFilter` is.

    Args:
        layer: the convolution.

    Raises:
        ValueError: it looks ahead.

    >>> conv, frame = StreamConv(TemporalConv(4, causal=True)), torch.ones(1, 4, 5, 5)
    >>> past = conv.no_past(frame, num_streams=1)
    >>> conv(frame, past, Streams((0,), (0,))).shape
    torch.Size([1, 4, 5, 5])
    """

    def __init__(self, layer: TemporalConv) -> None:
        offsets = layer.offsets
        if offsets[-1] > 0:
            raise ValueError(
                f"the convolution looks {offsets[-1]} frames ahead, which a stream does not have; "
                "make it with causal=True"
            )
        self.lags = [-offset for offset in offsets]
        self.kernels = layer.weight.detach()[..., None, None].unbind(2)  # K of (C_out, C, 1, 1)

    def no_past(self, like: Tensor, num_streams: int) -> PastFrames:
        """The state of streams that have had no frame, see `StreamFilter.no_past`."""
        depth = max(self.lags)
        rings: tuple[Tensor | None, ...] = (None,)
        if depth:
            rings = (like.new_zeros(num_streams, depth, *like.shape[1:]),)
        return PastFrames(rings, like.shape[1:], num_streams, channels_last=False)

    def __call__(
        self, x: Tensor, past: PastFrames, streams: Streams, *, out: Tensor | None = None
    ) -> Tensor:
        """Convolve the new frame of every stream with those before it, see `StreamFilter`."""
        past.check(x, streams)
        ring = past.rings[0]
        if ring is None:
            return F.conv2d(x, self.kernels[0].to(x.dtype))
        places = torch.tensor(streams.places, device=x.device)
        counts = torch.tensor(streams.counts, device=x.device)
        y: Tensor | None = None
        for lag, kernel in zip(self.lags, self.kernels, strict=True):
            met = ring[places, (counts - lag) % ring.shape[1]] if lag else x
            product = F.conv2d(met, kernel.to(x.dtype))
            y = product if y is None else y.add_(product)
        ring[places, counts % ring.shape[1]] = x
        assert y is not None
        return y if out is None else out.copy_(y)
