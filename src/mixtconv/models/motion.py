"""Modality motion: pictures less the median picture of their clip, or of a stream's last frames.

What stands still is gone, as in background subtraction by a temporal median. The median of each
pixel and channel is found by a sorting network: minima and maxima of whole pictures, in the same
order whatever their values ("merge exchange", Knuth, The Art of Computer Programming 3, 5.2.2,
algorithm M, with the steps that the median does not need left out). On a CPU that is 5 to 20 times
as fast as sorting along time, and every engine has both operations:

    four frames, a c and b d, then a b and c d, then b c:   | smallest | middle | middle | largest |

A causal model, and any stream, sees the median of its last T frames at most: frame t is less the
median of the frames t - T + 1 to t, or of 0 to t where there are fewer.

Pictures are arrays of torch or of NumPy, and `library` is that module; nothing here imports either.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from types import ModuleType
from typing import Any

from mixtconv._names import count_of
from mixtconv.models.spec import ModelSpec

Step = tuple[int, int, bool, bool]
"""Places i < j that are put in order, and whether the smaller and the larger of them is used."""


def subtract_median(pictures: Any, median: Any, std: Any) -> Any:
    """What a network of modality motion takes: pictures of 0 to 1 less their median, over `std`."""
    return (pictures - median) / std


def clip_medians(clips: Any, spec: ModelSpec, library: ModuleType) -> Any:
    """The median picture of every clip, or for a causal model of the last frames at every frame.

    Args:
        clips: (B, ..., T, C, H, W).
        spec: the model; one that is not causal takes clips of its number of frames.
        library: torch or numpy.

    Returns:
        (B, ..., 1, C, H, W), for a causal model (B, ..., T, C, H, W).

    Raises:
        ValueError: frames that are not in clips, or clips of another length.
    """
    num_frames = clips.shape[-4] if clips.ndim >= 5 else 0
    if num_frames == 0 or not (spec.causal or num_frames == spec.num_frames):
        got = (
            f"clips of {count_of(num_frames, 'frame')}"
            if num_frames
            else f"shape {tuple(clips.shape)}"
        )
        raise ValueError(
            f"got {got}; modality motion takes the median picture of a clip away, so give whole "
            f"clips (B, T, C, H, W) of T = {spec.num_frames} frames"
        )
    frames = [clips[..., t, :, :, :] for t in range(num_frames)]
    if spec.causal:
        return library.stack(running_medians(frames, spec.num_frames, library), -4)
    return median_picture(frames, library)[..., None, :, :, :]


def median_picture(pictures: Sequence[Any], library: ModuleType) -> Any:
    """The median of pictures, value by value; of an even number the mean of the two in the middle.

    >>> import numpy as np
    >>> median_picture([np.array([3.0, 1.0]), np.array([5.0, 9.0]), np.array([4.0, 3.0])], np)
    array([4., 3.])
    """
    middle = _middle_places(len(pictures))
    return _mean([_sorted(pictures, middle, library)[place] for place in middle])


def sort_pictures(pictures: Sequence[Any], library: ModuleType) -> list[Any]:
    """Sort pictures value by value: the first has the smallest of each pixel and channel."""
    return _sorted(pictures, tuple(range(len(pictures))), library)


def running_medians(pictures: Sequence[Any], length: int, library: ModuleType) -> list[Any]:
    """At every picture the median of it and those before it, `length` at most.

    >>> import numpy as np
    >>> [float(median) for median in running_medians(np.array([4.0, 1.0, 3.0, 9.0]), 3, np)]
    [4.0, 2.5, 3.0, 3.0]
    """
    medians: list[Any] = []
    ordered: list[Any] = []
    for t, picture in enumerate(pictures):
        if t >= length:
            medians.append(median_picture(pictures[t - length + 1 : t + 1], library))
            continue
        larger = picture  # is inserted among those so far, whose medians are then at hand
        for place, other in enumerate(ordered):
            ordered[place] = library.minimum(other, larger)
            larger = library.maximum(other, larger)
        ordered.append(larger)
        medians.append(_mean([ordered[place] for place in _middle_places(t + 1)]))
    return medians


class RecentPictures:
    """The last pictures of each of a pool of streams, for their running medians.

    Args:
        num_streams: places for streams.
        length: T, pictures of which the median is taken, at most.
    """

    def __init__(self, num_streams: int, length: int) -> None:
        self.pictures: list[deque[Any]] = [deque(maxlen=length) for _ in range(num_streams)]
        """Of each place, the latest last."""

    def medians(self, pictures: Any, places: Sequence[int], library: ModuleType) -> Any:
        """Add the next picture of some streams: (N, C, H, W) -> their medians, the same shape."""
        for place, picture in zip(places, pictures, strict=True):
            # A copy, since a view would keep the pictures of all streams.
            self.pictures[place].append(library.concatenate([picture]))
        rows: dict[int, Any] = {}
        for together in self._by_length(places):
            recent = [self.pictures[places[row]] for row in together]
            if len(recent) == 1:
                rows[together[0]] = median_picture(recent[0], library)
            else:  # streams of equal length in one pass
                frames = [library.stack(frame) for frame in zip(*recent, strict=True)]
                rows.update(zip(together, median_picture(frames, library), strict=True))
        return library.stack([rows[row] for row in range(len(places))])

    def forget(self, place: int) -> None:
        """Start a new stream in a place."""
        self.pictures[place].clear()

    def _by_length(self, places: Sequence[int]) -> Iterator[list[int]]:
        """Indices of `places`, of as many pictures each."""
        lengths = [len(self.pictures[place]) for place in places]
        for length in sorted(set(lengths)):
            yield [row for row, other in enumerate(lengths) if other == length]


def _sorted(pictures: Sequence[Any], wanted: tuple[int, ...], library: ModuleType) -> list[Any]:
    """Pictures of which those at the wanted places are as if all were sorted."""
    ordered = list(pictures)
    for i, j, smaller_used, larger_used in _steps(len(ordered), wanted):
        one, other = ordered[i], ordered[j]
        if smaller_used:
            ordered[i] = library.minimum(one, other)
        if larger_used:
            ordered[j] = library.maximum(one, other)
    return ordered


@lru_cache(maxsize=64)
def _steps(count: int, wanted: tuple[int, ...]) -> tuple[Step, ...]:
    """The comparisons that sort `count` values, but for those that no wanted place needs."""
    used, steps = set(wanted), []
    for i, j in reversed(list(_merge_exchange(count))):
        if i in used or j in used:
            steps.append((i, j, i in used, j in used))
            used |= {i, j}
    return tuple(reversed(steps))


def _merge_exchange(count: int) -> Iterator[tuple[int, int]]:
    """Pairs of places i < j whose values, exchanged if out of order, one by one sort `count`."""
    top = 1 << max(0, (count - 1).bit_length() - 1)  # the largest power of 2 below count
    p = top
    while p > 0:
        q, r, distance = top, 0, p
        while True:
            yield from ((i, i + distance) for i in range(count - distance) if i & p == r)
            if q == p:
                break
            q, r, distance = q // 2, p, q - p
        p //= 2


def _middle_places(count: int) -> tuple[int, ...]:
    return ((count - 1) // 2,) if count % 2 else (count // 2 - 1, count // 2)


def _mean(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else (values[0] + values[1]) / 2
