"""Taps of temporal kernels: their offsets in time, their initial values, their groups of channels.

A kernel of size K with dilation d reaches (K - 1) * d frames. Centred, half of them come before the
frame itself; causal, all of them do. Tap 0 meets the earliest frame (cross-correlation):

    centred K = 3:  t-1  t  t+1        causal K = 3:  t-2  t-1  t

A depthwise filter has one group of channels for each kernel size (`TapGroups`); its weights are one
flat tensor, each group's (C_m, K_m) matrix after the other.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor

from mixtconv._types import Edges

TapInit = Literal["shift", "identity"]

_EDGES = get_args(Edges)  # once: not every version of torch.compile follows the call


class TapGroup(NamedTuple):
    """One group of channels of a depthwise temporal filter, all with the same offsets."""

    channels: slice
    """C_m of the filter's channels."""
    weights: slice
    """C_m * K_m of the filter's flat weights."""
    offsets: tuple[int, ...]
    """K_m: frames from the output frame to the frame that a tap meets."""

    def matrix(self, weights: Tensor) -> Tensor:
        """The group's weights (C_m, K_m), a view of the filter's flat ones."""
        num_channels = self.channels.stop - self.channels.start
        return weights[self.weights].view(num_channels, len(self.offsets))


class TapGroups(NamedTuple):
    """The groups of channels of a depthwise temporal filter, without its weights.

    Three lists of integers, as the operators of torch and the compiled loops take them (`*groups`);
    `split` is the one place that walks through them.

    >>> groups = TapGroups(channels=(2, 1), num_taps=(1, 3), offsets=(0, -1, 0, 1))
    >>> [group.offsets for group in groups.split()]
    [(0,), (-1, 0, 1)]
    >>> groups.num_weights
    5
    """

    channels: tuple[int, ...]
    """C_m of every group; they add up to C."""
    num_taps: tuple[int, ...]
    """K_m of every group."""
    offsets: tuple[int, ...]
    """Frames from the output frame to the frame that a tap meets, K_m for every group."""

    @property
    def num_weights(self) -> int:
        """Weights of all groups together."""
        return sum(c * k for c, k in zip(self.channels, self.num_taps, strict=True))

    def negated(self) -> "TapGroups":
        """The same groups with negated offsets: those of the filter's gradient."""
        return self._replace(offsets=tuple(-offset for offset in self.offsets))

    def split(self) -> Iterator[TapGroup]:
        """The groups one by one, in the order of their channels."""
        channel = weight = tap = 0
        for num_channels, num_taps in zip(self.channels, self.num_taps, strict=True):
            next_channel, next_tap = channel + num_channels, tap + num_taps
            next_weight = weight + num_channels * num_taps
            yield TapGroup(
                slice(channel, next_channel), slice(weight, next_weight), self.offsets[tap:next_tap]
            )
            channel, weight, tap = next_channel, next_weight, next_tap


def tap_offsets(kernel_size: int, *, dilation: int = 1, causal: bool = False) -> list[int]:
    """Frames between the output frame and the frame that each tap meets, tap 0 first.

    >>> tap_offsets(5)
    [-2, -1, 0, 1, 2]
    >>> tap_offsets(3, dilation=2, causal=True)
    [-4, -2, 0]
    """
    first = kernel_size - 1 if causal else (kernel_size - 1) // 2
    return [(tap - first) * dilation for tap in range(kernel_size)]


def overlap(num_frames: int, offset: int) -> tuple[slice, slice]:
    """Output frames t for which t + offset is in the clip, and the input frames they meet.

    >>> overlap(8, -2)
    (slice(2, 8, None), slice(0, 6, None))
    """
    reach = min(abs(offset), num_frames)
    early, late = slice(0, num_frames - reach), slice(reach, num_frames)
    return (early, late) if offset >= 0 else (late, early)


def initial_taps(
    channels: int,
    kernel_size: int,
    *,
    init: TapInit = "shift",
    shift_fraction: float = 0.125,
    causal: bool = False,
) -> Tensor:
    """Depthwise kernels (C, K) that a network starts from.

    `identity` passes every frame itself. `shift` starts as TSM does: the first `shift_fraction` of
    the channels sums the (K - 1) / 2 frames before, the second as many frames after, the rest pass
    the frame itself. A causal kernel has no frames after, so its second part passes the frame too.

    Raises:
        ValueError: another `init`, or a fraction outside 0 to 0.5.

    >>> initial_taps(8, 5)[:3].tolist()
    [[1.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0, 0.0]]
    """
    if init not in ("shift", "identity"):
        raise ValueError(f"init is {init!r}; allowed are 'shift' and 'identity'")
    offsets = torch.tensor(tap_offsets(kernel_size, causal=causal))
    taps = (offsets == 0).float().repeat(channels, 1)  # (C, K)
    count, reach = shifted_channels(channels, shift_fraction), (kernel_size - 1) // 2
    if init == "shift" and kernel_size > 1:
        taps[:count] = ((offsets < 0) & (offsets >= -reach)).float()
        if not causal:
            taps[count : 2 * count] = ((offsets > 0) & (offsets <= reach)).float()
    return taps


def shifted_channels(channels: int, shift_fraction: float) -> int:
    """Channels that are moved in each direction, rounded down; refuses what does not fit.

    >>> shifted_channels(100, 0.29)
    29
    """
    check_shift_fraction(shift_fraction)
    return int(channels * shift_fraction + 1e-6)  # 100 * 0.29 is 28.999999999999996


def group_channels(channels: int, num_groups: int) -> list[int]:
    """Channels of each group, in order; the remainder goes to the first groups.

    Raises:
        ValueError: fewer channels than groups.

    >>> group_channels(64, 3)
    [22, 21, 21]
    """
    if not 1 <= num_groups <= channels:
        raise ValueError(
            f"cannot split {channels} channels into {num_groups} groups: "
            "every group needs at least one channel, give fewer kernel sizes or more channels"
        )
    return [channels // num_groups + (group < channels % num_groups) for group in range(num_groups)]


def check_kernel_sizes(kernel_sizes: Sequence[int], dilations: Sequence[int]) -> None:
    """Raise ValueError unless every kernel size is odd and has one dilation of at least 1."""
    if not kernel_sizes or any(size < 1 or size % 2 == 0 for size in kernel_sizes):
        raise ValueError(f"kernel sizes are {tuple(kernel_sizes)}; each must be odd: 1, 3, 5, ...")
    if len(dilations) != len(kernel_sizes) or any(dilation < 1 for dilation in dilations):
        raise ValueError(
            f"dilations are {tuple(dilations)} for kernel sizes {tuple(kernel_sizes)}; "
            "give one number for all groups or one for each, all at least 1"
        )


def check_edges(edges: str) -> None:
    """Raise ValueError unless `edges` is one of `Edges`."""
    if edges not in _EDGES:
        raise ValueError(f"edges is {edges!r}; allowed are 'zeros' and 'replicate'")


def check_shift_fraction(shift_fraction: float) -> None:
    """Raise ValueError unless both shifted parts fit: 0 <= shift_fraction <= 0.5."""
    if not 0 <= shift_fraction <= 0.5:
        raise ValueError(
            f"shift_fraction is {shift_fraction}; it must be in 0 to 0.5, since as many channels "
            "look back as look ahead (0.125 is published)"
        )
