"""Ordinary temporal convolution on streams, frame by frame: what `ordinary.py` is for clips."""

import torch
import torch.nn.functional as F
from torch import Tensor

from mixtconv.ops.ordinary import TemporalConv
from mixtconv.ops.stream_filter import PastFrames, Streams


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
