"""Causal temporal operations on streams: one frame in, one frame out, the past as state.

`StreamFilter` computes frame by frame what `filter.py` computes for a whole clip, `StreamConv` what
`ordinary.py` does; the frames before are in the rings of `stream_state.py`. On the CPU in float32 a
compiled loop runs the filter (`cpu_stream_filter.py`), elsewhere plain torch.
"""

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mixtconv.ops import cpu_stream_filter
from mixtconv.ops.filter import DepthwiseTaps, uses_compiled_kernels
from mixtconv.ops.ordinary import TemporalConv
from mixtconv.ops.stream_state import PastFrames, StreamGroup, Streams, frames_of, keep_frames


class StreamFilter:
    """A causal temporal filter, frame by frame.

    Args:
        taps: the filter.

    Raises:
        ValueError: a tap looks ahead.

    >>> from mixtconv.ops.mixed import mixed_taps
    >>> stream_filter = StreamFilter(mixed_taps([torch.tensor([[1.0, 10.0, 100.0]])], causal=True))
    >>> frame = torch.ones(1, 1, 1, 1)
    >>> past = stream_filter.no_past(frame, num_streams=1)
    >>> [stream_filter(t * frame, past, Streams((0,), (t,))).item() for t in range(4)]
    [0.0, 100.0, 210.0, 321.0]
    """

    def __init__(self, taps: DepthwiseTaps) -> None:
        self.taps = taps
        self.groups = tuple(_stream_groups(taps))

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
        """Filter the new frame of every stream, and add it to the past. No gradient flows.

        Args:
            x: one frame of each of N streams, (N, C, H, W).
            past: state of the pool, changed in place.
            streams: the N streams, each once.
            out: memory for the result, like `x`.

        Returns:
            (N, C, H, W): the frame that `filter.temporal_filter` gives at this position of a clip
            of all the stream's frames.

        Raises:
            ValueError: frames of another size than before, a stream outside the pool, or memory
                of another shape than the frames.
        """
        past.check(x, streams)
        self.begin(x, past, streams)
        out = torch.empty_like(x) if out is None else out
        if out.shape != x.shape:
            raise ValueError(
                f"memory for the result has shape {tuple(out.shape)}, the frames have "
                f"{tuple(x.shape)}; give memory like the frames"
            )
        step = past.step
        # The first call, another filter's turn, or a copy, whose rings are elsewhere in memory.
        if step is None or not step.is_of(self.groups, past):
            use = x.is_cpu and uses_compiled_kernels()
            step = past.step = cpu_stream_filter.compiled_step(self.groups, past) if use else None
        if step is None or not step(x, streams, out):
            self._filter_into(out, x, past, streams)
        return out

    def begin(self, x: Tensor, past: PastFrames, streams: Streams) -> None:
        """Let the first frame of a stream stand for those before it, if the edges say so."""
        if self.taps.edges == "zeros":
            return
        for row, (place, count) in enumerate(zip(streams.places, streams.counts, strict=True)):
            for group, ring in zip(self.groups, past.rings, strict=True) if count == 0 else ():
                if ring is not None:
                    ring[place] = x[row, group.channels]

    def _filter_into(self, out: Tensor, x: Tensor, past: PastFrames, streams: Streams) -> None:
        """The reference implementation, in plain torch."""
        for group, ring in zip(self.groups, past.rings, strict=True):
            new = x[:, group.channels]  # (N, C_m, H, W)
            result = out[:, group.channels]
            taps = zip(group.lags, group.weights.to(x.dtype).unbind(1), strict=True)
            for number, (lag, weights) in enumerate(taps):
                met = new
                if lag:
                    assert ring is not None
                    met = frames_of(ring, streams, lag)
                if number == 0:
                    torch.mul(met, weights[:, None, None], out=result)
                else:
                    result.addcmul_(met, weights[:, None, None])
            # Last, since the new frame replaces the oldest one, which the first tap has just met.
            if ring is not None:
                keep_frames(ring, streams, new)


def _stream_groups(taps: DepthwiseTaps) -> Iterator[StreamGroup]:
    _refuse_looking_ahead("filter", taps.groups.offsets)
    for group in taps.groups.split():
        lags = [-offset for offset in group.offsets]
        # The compiled loop needs the tap of the new frame last, so the largest lag comes first.
        order = sorted(range(len(lags)), key=lags.__getitem__, reverse=True)
        lags = [lags[tap] for tap in order]
        yield StreamGroup(group.channels, group.matrix(taps.weights)[:, order], lags, lags[0])


def _refuse_looking_ahead(what: str, offsets: Sequence[int]) -> None:
    if max(offsets) > 0:
        raise ValueError(
            f"the {what} looks {max(offsets)} frames ahead, which a stream does not have; "
            "make it with causal=True"
        )


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

    groups: tuple[StreamGroup, ...] = ()
    """Empty: its taps mix all channels, and no compiled loop serves it."""

    def __init__(self, layer: TemporalConv) -> None:
        _refuse_looking_ahead("convolution", layer.offsets)
        self.lags = [-offset for offset in layer.offsets]
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
        y: Tensor | None = None
        for lag, kernel in zip(self.lags, self.kernels, strict=True):
            met = frames_of(ring, streams, lag) if lag else x
            product = F.conv2d(met, kernel.to(x.dtype))
            y = product if y is None else y.add_(product)
        keep_frames(ring, streams, x)
        assert y is not None
        return y if out is None else out.copy_(y)
