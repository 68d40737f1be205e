"""The temporal filter in plain torch: its definition, and what serves where nothing faster can.

Frames that lie equally far apart are multiplied and added as one shifted slice of all channels that
meet them, straight into the result: no permuted copy of the clips, and their memory format is kept.
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


class _Term(NamedTuple):
    channels: slice
    weights: Tensor  # (C_m, 1, 1)


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
    return temporal_filter_into(torch.empty_like(x), x, taps, channels, num_taps, offsets)


def temporal_filter_into(
    out: Tensor,
    x: Tensor,
    taps: Tensor,
    channels: Sequence[int],
    num_taps: Sequence[int],
    offsets: Sequence[int],
) -> Tensor:
    """Filter into clips that are there already, shaped like `x`; returns them."""
    num_frames = x.shape[1]
    terms = _terms(taps.to(x.dtype), channels, num_taps, offsets)
    everywhere = next((w for w in terms.get(0, []) if w.channels == slice(0, x.shape[2])), None)
    if everywhere is None:
        out.zero_()
    else:  # the frames themselves fill the result
        torch.mul(x, everywhere.weights, out=out)
    for offset, weighted in terms.items():
        here, there = overlap(num_frames, offset)
        for term in weighted:
            if term is not everywhere and abs(offset) < num_frames:
                source = x[:, there, term.channels]
                out[:, here, term.channels].addcmul_(source, term.weights)
    return out


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


def _terms(
    taps: Tensor, channels: Sequence[int], num_taps: Sequence[int], offsets: Sequence[int]
) -> dict[int, list[_Term]]:
    """Products by the frame they meet, those of neighbouring groups as one."""
    terms: dict[int, list[_Term]] = {}
    for group in _groups(channels, num_taps, offsets):
        weights = taps[group.taps].view(-1, len(group.offsets), 1, 1)  # (C_m, K, 1, 1)
        for tap, offset in enumerate(group.offsets):
            own, so_far = group.channels, terms.setdefault(offset, [])
            if so_far and so_far[-1].channels.stop == own.start:
                before = so_far.pop()
                own = slice(before.channels.start, own.stop)
                so_far.append(_Term(own, torch.cat([before.weights, weights[:, tap]])))
            else:
                so_far.append(_Term(own, weights[:, tap]))
    return terms


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
