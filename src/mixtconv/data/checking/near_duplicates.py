"""Clips on both sides of a split that show nearly the same: copies, and overlapping cuts.

Two clips are compared by small grey pictures of evenly spaced frames, without brightness and
contrast. At each shift of one against the other, the squared differences between their pictures are
set in relation to how much both change during the overlap:

    first    a a a a a a a a            difference = mean |a - b|^2 / (change of a + change of b)
    second         b b b b b b b b

A clip encoded again, at another size or rate of bits, differs by 0.02 of its change; two takes of
one gesture in one room differ by more than they change, however still the camera stands. Where
nothing moves there is no change to compare with, and only whole clips that look the same count.

Of many clips, not all pairs are compared so: for the pictures of each clip of one side, those that
come nearest are looked up among eight of each clip of the other, in a tree of their lowest
frequencies. Each threshold was chosen on real clips (docs/checking.md).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn
from scipy.spatial import cKDTree

from mixtconv.data.folds import without_light
from mixtconv.video.thumbnails import Thumbnails

Vectors = NDArray[np.float32]
"""(N, P), pictures as vectors whose squared distance is 1 - r, for two of correlation r."""

ALIKE = 0.2
"""Difference in relation to the change below which two clips nearly coincide."""
STILL = 0.002
"""Squared distance of pictures below which whole clips nearly coincide in which nothing moves, that
is, whose change is below it too."""
MIN_OVERLAP = 0.2
"""Part of the shorter clip that must coincide."""
MIN_PICTURES = 6
"""Pictures that must coincide, of clips that have so many."""

_NEAR = 0.025
"""Squared distance of the nearest pictures of two clips above which these do not coincide."""
_MOST_COMPARED = 10
"""Clips that a clip is compared with picture by picture, those that come nearest."""
_ANCHORS = 8
_CONTRAST = 0.25
"""Squared length of a vector below which a picture is uniform, and like any other such one."""
_FREQUENCIES = 4
"""Along each side, of those by which the nearest pictures are found."""


@dataclass(frozen=True)
class NearDuplicate:
    """Two clips that nearly coincide."""

    first: Path
    second: Path
    num_frames: int
    """Frames of the first that coincide with frames of the second, about."""


def near_duplicates(
    thumbnails: Mapping[Path, Thumbnails], first: Sequence[Path], second: Sequence[Path]
) -> Iterator[NearDuplicate]:
    """Find the clips of one side that nearly coincide with a clip of the other.

    Args:
        thumbnails: of the clips; those without any are not compared.
        first: the clips of one side, the larger one if there is one.
        second: those of the other.

    Yields:
        The pairs, in the order of `second`.
    """
    first, second = ([path for path in side if path in thumbnails] for side in (first, second))
    if not first or not second:
        return
    nearest = _nearest([thumbnails[path] for path in first], [thumbnails[path] for path in second])
    for path, places in zip(second, nearest, strict=True):
        for place in places:
            frames = num_alike(thumbnails[first[place]], thumbnails[path])
            if frames:
                yield NearDuplicate(first[place], path, frames)


def num_alike(first: Thumbnails, second: Thumbnails) -> int:
    """How many frames of the first clip coincide with frames of the second, about; 0 if too few."""
    coarse, fine = sorted((first, second), key=lambda clip: -clip.step)
    a, b = _vectors(coarse), _vectors(fine)
    every = coarse.step // fine.step
    for start in range(min(every, len(b))):
        if number := _overlap(a, b[start::every]):
            return number * coarse.step
    # A copy at another frame rate has its frames at the same parts of its length.
    length = min(len(a), len(b))
    a, b = (side[np.linspace(0, len(side) - 1, length).round().astype(int)] for side in (a, b))
    return first.step * len(first.pictures) if _overlap(a, b, shifts=(0,)) else 0


def _overlap(a: Vectors, b: Vectors, shifts: Sequence[int] | None = None) -> int:
    """The number of pictures that coincide at the best shift; 0 if they do at none."""
    shorter = min(len(a), len(b))
    least = min(shorter, max(MIN_PICTURES, int(np.ceil(MIN_OVERLAP * shorter))))
    lengths_a, lengths_b = (a**2).sum(axis=1), (b**2).sum(axis=1)
    products = a @ b.T
    if (lengths_a[:, None] + lengths_b - 2 * products).min(initial=np.inf) > _NEAR:
        return 0
    sums_a, sums_b = _running_sums(a), _running_sums(b)
    squares_a, squares_b = _running_sums(lengths_a), _running_sums(lengths_b)
    best, number = ALIKE, 0
    for shift in shifts or range(least - len(b), len(a) - least + 1):  # a[i] beside b[i - shift]
        start, end = max(0, shift), min(len(a), len(b) + shift)
        count = end - start
        beside = slice(start - shift, end - shift)
        length_a = (squares_a[end] - squares_a[start]) / count
        length_b = (squares_b[beside.stop] - squares_b[beside.start]) / count
        if min(length_a, length_b) < _CONTRAST:
            continue
        distance = length_a + length_b - 2 * products[start:end, beside].trace() / count
        mean_a = (sums_a[end] - sums_a[start]) / count
        mean_b = (sums_b[beside.stop] - sums_b[beside.start]) / count
        change = length_a - (mean_a**2).sum() + length_b - (mean_b**2).sum()
        if change > STILL:
            difference = distance / change
        else:  # a title that stands still is no overlap, and all but a picture or two is the whole
            is_whole = 2 * count > len(a) + len(b) - 3
            difference = 0.0 if is_whole and distance < STILL else np.inf
        if difference < best:
            best, number = difference, count
    return number


def _running_sums(values: NDArray[np.float32]) -> NDArray[np.float64]:
    """Sums of the first 0, 1, ... N of (N, ...)."""
    return np.concatenate([np.zeros_like(values[:1], np.float64), values.cumsum(0, np.float64)])


def _vectors(clip: Thumbnails) -> Vectors:
    return without_light(clip.pictures.astype(np.float32))


def _nearest(first: Sequence[Thumbnails], second: Sequence[Thumbnails]) -> list[list[int]]:
    """For each clip of the second side the numbers of those of the first that come nearest."""
    anchors = np.concatenate([clip.pictures[_evenly(len(clip.pictures))] for clip in first])
    points, has_contrast = _coarse(anchors)
    clip_of = np.repeat(np.arange(len(first)), _ANCHORS)[has_contrast]
    if not len(clip_of):
        return [[] for _ in second]
    tree = cKDTree(points[has_contrast])
    found = []
    for clip in second:
        points, has_contrast = _coarse(clip.pictures)
        # Beyond the bound the distance is infinite, and the number one too many.
        distances, near = tree.query(
            points[has_contrast], k=_MOST_COMPARED, distance_upper_bound=np.sqrt(_NEAR)
        )
        is_near = np.isfinite(distances)
        order = np.argsort(distances[is_near], kind="stable")
        numbers = clip_of[near[is_near][order]].tolist()
        found.append(list(dict.fromkeys(numbers))[:_MOST_COMPARED])
    return found


def _evenly(count: int) -> NDArray[np.int64]:
    """The numbers of the anchors among so many pictures; of few some come twice."""
    return ((np.arange(_ANCHORS) + 0.5) * count / _ANCHORS).astype(np.int64)


def _coarse(pictures: NDArray[np.uint8]) -> tuple[Vectors, NDArray[np.bool_]]:
    """Pictures (N, S, S) as their lowest frequencies (N, P), and whether each has contrast.

    The transform keeps distances, so that those of the lowest frequencies are no larger.
    """
    vectors = without_light(pictures.astype(np.float32))
    frequencies = dctn(vectors.reshape(pictures.shape), axes=(1, 2), norm="ortho")
    lowest = frequencies[:, :_FREQUENCIES, :_FREQUENCIES].reshape(len(pictures), -1)
    return lowest, (vectors**2).sum(axis=1) >= _CONTRAST
