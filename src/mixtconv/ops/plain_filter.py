"""The temporal filter in plain torch: its definition, and what serves where nothing faster can.

Every tap is one multiply-add of a shifted slice, written straight into the result: no permuted copy
of the clips, and their memory format is kept.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mixtconv.ops.taps import overlap

NAME = "plain torch"


class _Group(NamedTuple):
    channels: slice
    taps: slice  # of all taps, flattened
    offsets: Sequence[int]


def takes(x: Tensor, num_taps: Sequence[int]) -> bool:
    """Everything is taken."""
    return True


def temporal_filter(
    x: Tensor,
    taps: Tensor,
    channels: Sequence[int],
    num_taps: Sequence[int],
    offsets: Sequence[int],
) -> Tensor:
    """See `mixtconv.ops.filter.temporal_filter`; the taps are rounded to the precision of `x`."""
    num_frames = x.shape[1]
    y = torch.empty_like(x)
    for group in _groups(channels, num_taps, offsets):
        weights = taps[group.taps].view(-1, len(group.offsets), 1, 1).to(x.dtype)  # (C_m, K, 1, 1)
        source, target = x[:, :, group.channels], y[:, :, group.channels]
        # The frame itself is met by every output frame: the first product fills the result.
        first = group.offsets.index(0) if 0 in group.offsets else None
        if first is None:
            target.zero_()
        else:
            torch.mul(source, weights[:, first], out=target)
        for tap, offset in enumerate(group.offsets):
            if tap != first and abs(offset) < num_frames:
                here, there = overlap(num_frames, offset)
                target[:, here].addcmul_(source[:, there], weights[:, tap])
    return y


def taps_gradient(
    x: Tensor,
    grad: Tensor,
    channels: Sequence[int],
    num_taps: Sequence[int],
    offsets: Sequence[int],
) -> Tensor:
    """Gradient of the taps, flattened like them, in float32 at least: half would underflow."""
    num_frames, wide = x.shape[1], torch.promote_types(x.dtype, torch.float32)
    gradients = []
    for group in _groups(channels, num_taps, offsets):
        of_taps = []
        for offset in group.offsets:
            here, there = overlap(num_frames, offset)
            product = grad[:, here, group.channels].to(wide) * x[:, there, group.channels].to(wide)
            of_taps.append(product.sum((0, 1, 3, 4)))  # (C_m,), zeros where no frame is met
        gradients.append(torch.stack(of_taps, dim=1).flatten())  # (C_m * K,)
    return torch.cat(gradients)


def backward(
    x: Tensor,
    grad: Tensor,
    taps: Tensor,
    channels: Sequence[int],
    num_taps: Sequence[int],
    offsets: Sequence[int],
) -> tuple[Tensor, Tensor]:
    """Gradients of `x`, in its memory format, and of the taps."""
    grad = torch.empty_like(x).copy_(grad)
    turned_round = [-offset for offset in offsets]
    return (
        temporal_filter(grad, taps, channels, num_taps, turned_round),
        taps_gradient(x, grad, channels, num_taps, offsets),
    )


def _groups(
    channels: Sequence[int], num_taps: Sequence[int], offsets: Sequence[int]
) -> Iterator[_Group]:
    first_channel = first_tap = first_offset = 0
    for count, taps in zip(channels, num_taps, strict=True):
        yield _Group(
            slice(first_channel, first_channel + count),
            slice(first_tap, first_tap + count * taps),
            offsets[first_offset : first_offset + taps],
        )
        first_channel, first_tap = first_channel + count, first_tap + count * taps
        first_offset += taps
