"""Groups of clips that belong together, and folds of cross-validation that keep them together.

Clips of one recording session share background, light and person. If some of them are trained on
and others scored, the score is that of a recognizer that has seen the session, which is too high
for the next session. Three sources of groups, the first that applies: what the data or the user
tell (`groups.py`), a session or person in the names (`s01`, `person07`, `_g05_`), and the picture
that stands still in a clip, its median over time, which clips of one session have in common. The
segments of a recording are of one session, whatever else is known, and never divided.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist

from mixtconv._names import count_of
from mixtconv.data.listing import VideoSample

_SESSION_WORDS = {"g", "group", "p", "person", "participant", "performer", "s", "session", "subj"}
_SESSION_WORDS |= {"subject", "actor", "user"}
_NUMBERED = re.compile(r"(?<![A-Za-z])([A-Za-z]+)[-_]?(\d+)(?!\d)")
"""A word with a number, such as `s01`, `person_7` and `g05` in `a01_s01_e02`."""

SAME_PLACE = 0.3
"""Correlation distance between median pictures of 12 x 16, up to which clips are of one session: on
EgoGestAR's held-out part every cluster at this distance holds clips of a single session."""

MOST_GROUPS = 0.8
"""Groups by clip, above which the clips have no sessions in common."""


@dataclass(frozen=True)
class Grouping:
    """The group of every clip."""

    names: tuple[str, ...]
    """The name of each clip's group."""
    origin: str
    """Where the groups come from, for the user."""

    @property
    def num_groups(self) -> int:
        return len(set(self.names))


def recordings_of(samples: Sequence[VideoSample]) -> tuple[str, ...]:
    """(N,), the name of each clip's recording; a clip of which none is known is its own."""
    return tuple(sample.recording or f"clip {n}" for n, sample in enumerate(samples))


def in_recordings(recordings: Sequence[str]) -> Grouping | None:
    """Clips by their recordings; None where each is of its own.

    >>> in_recordings(["day 1", "day 1", "day 2"]).origin
    'recordings, 2 of them'
    """
    number = len(set(recordings))
    if number == len(recordings):
        return None
    return Grouping(tuple(recordings), f"recordings, {number} of them")


def named_groups(
    keys: Sequence[str],
    labels: Sequence[int],
    groups: Sequence[str],
    *,
    recordings: Sequence[str],
    grouped_by: str = "",
) -> Grouping | None:
    """Groups that the data tell, else by the names of the clips; None if neither has any.

    Args:
        keys: (N,), names of the clips.
        labels: (N,), classes.
        groups: (N,), as the data tell them; "" for none, or the recording.
        recordings: (N,), `recordings_of` the clips.
        grouped_by: what they come from, `VideoCatalog.grouped_by`; by default a column of the list.

    >>> keys = ["1", "2", "3"]
    >>> named_groups(keys, [0, 0, 1], ["home", "", "home"], recordings=keys).names
    ('home', 'clip 1', 'home')
    """
    if any(group not in ("", own) for group, own in zip(groups, recordings, strict=True)):
        names = tuple(name or f"clip {number}" for number, name in enumerate(groups))
        alone = groups.count("")
        rest = f", and {count_of(alone, 'clip')} without one" if alone else ""
        origin = f"the groups of {grouped_by or 'the list'}"
        return Grouping(names, f"{origin}, {len(set(groups) - {''})} of them{rest}")
    has_segments = in_recordings(recordings) is not None
    return groups_in_names(recordings if has_segments else keys, labels)


def groups_in_names(keys: Sequence[str], labels: Sequence[int]) -> Grouping | None:
    """Groups by a session or a person in the names of the clips; None if these say nothing.

    A numbered word (`s01`) that all names have groups them, if it has at least two numbers, each of
    several clips, and most numbers come with several classes.

    >>> names = ["a1_s1_e1", "a2_s1_e1", "a1_s2_e1", "a2_s2_e1"]
    >>> groups_in_names(names, [0, 1, 0, 1]).names
    ('s1', 's1', 's2', 's2')
    >>> groups_in_names(["wave_1", "wave_2"], [0, 0]) is None
    True
    """
    found = [
        {word.lower(): int(number) for word, number in _NUMBERED.findall(key.rpartition("/")[2])}
        for key in keys
    ]
    for word in sorted(_SESSION_WORDS & set.intersection(*map(set, found or [{}]))):
        numbers = [names[word] for names in found]
        classes = defaultdict(set)
        for number, label in zip(numbers, labels, strict=True):
            classes[number].add(label)
        num_mixed = sum(len(seen) > 1 for seen in classes.values())
        if 2 <= len(classes) <= len(keys) / 2 and num_mixed > len(classes) / 2:
            names = tuple(f"{word}{number}" for number in numbers)
            return Grouping(names, f"{word!r} in the names, {len(classes)} of them")
    return None


def groups_by_background(backgrounds: NDArray[np.float32], *, num_folds: int) -> Grouping | None:
    """Groups of clips with the same background; None if the pictures tell no sessions apart.

    Args:
        backgrounds: (N, H, W), small grey median pictures of the clips.
        num_folds: folds that the groups are to be divided into.
    """
    if len(backgrounds) < 2 * num_folds:
        return None
    distances = pdist(without_light(backgrounds), "sqeuclidean")
    clusters = fcluster(linkage(distances, "average"), SAME_PLACE, "distance")
    sizes = Counter(clusters.tolist())
    is_one_place = (
        len(sizes) < 2 * num_folds or max(sizes.values()) > 1.5 * len(clusters) / num_folds
    )
    if is_one_place or len(sizes) > MOST_GROUPS * len(clusters):
        return None
    names = tuple(f"background {cluster}" for cluster in clusters)
    return Grouping(names, f"clips with the same background, {len(sizes)} of them")


def without_light(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """Grey pictures (N, ...) as vectors (N, P) whose squared distance is that of correlation.

    1 - r for two pictures of correlation r: brightness and contrast do not count. Uniform pictures,
    which have no correlation, are all alike.

    >>> vectors = without_light(np.array([[0.0, 90.0], [50.0, 200.0], [90.0, 0.0]]))
    >>> [round(float(((vectors[0] - vectors[i]) ** 2).sum()), 1) for i in (1, 2)]
    [0.0, 1.9]
    """
    vectors = pictures.reshape(len(pictures), -1)
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    one_level = vectors.std(axis=1, keepdims=True) + 1  # of 255: noise is no contrast
    return vectors / one_level / np.sqrt(2 * vectors.shape[1])


def divide_into_folds(
    labels: Sequence[int], groups: Sequence[str], *, num_folds: int, seed: int
) -> NDArray[np.int64]:
    """The fold of every clip: groups stay together, classes are spread evenly.

    Greedy, the largest group first, each into the fold that leaves the classes most even; groups of
    one size in the seed's order. Every class can be trained without any of the folds: a group is in
    no fold that has all clips of a class (that was recorded in one session only, say).

    Args:
        labels: (N,), classes.
        groups: (N,), names of groups.
        num_folds: folds; fewer come out where fewer groups can be held out.
        seed: of the order.

    Returns:
        (N,), folds from 0 without a gap; -1 of clips that are always trained on.

    >>> divide_into_folds([0, 1, 0, 1], ["a", "a", "b", "b"], num_folds=2, seed=0).tolist()
    [0, 0, 1, 1]
    >>> divide_into_folds([0, 1, 0, 1, 2], ["a", "a", "b", "b", "a"], num_folds=2, seed=0).tolist()
    [-1, -1, 0, 0, -1]
    """
    numbers = {name: number for number, name in enumerate(dict.fromkeys(groups))}
    group_of = np.array([numbers[group] for group in groups])
    counts = np.zeros((len(numbers), max(labels) + 1))  # clips by group and class
    np.add.at(counts, (group_of, np.asarray(labels)), 1)
    totals = counts.sum(axis=0)
    share = counts / totals.clip(min=1)  # of all clips of the class
    shuffled = np.random.default_rng(seed).permutation(len(counts))
    by_size = shuffled[np.argsort(-counts[shuffled].sum(axis=1), kind="stable")]
    order = [group for group in by_size if not _has_all_of_a_class(counts[group], totals)]
    held = np.zeros((num_folds, counts.shape[1]))
    sizes = np.zeros(num_folds)
    fold_of = np.full(len(counts), -1)
    for group in order:
        # The sum of squares is smallest where every fold has the same share of every class.
        added = ((held + share[group]) ** 2 - held**2).sum(axis=1)
        fold = np.lexsort((sizes, added.round(9)))[0]  # of equally even ones the smallest
        fold_of[group] = fold
        held[fold] += share[group]
        sizes[fold] += counts[group].sum()
    for group in reversed(order):  # the smallest first
        # Groups that share a fold may have all clips of a class together.
        rest = counts[fold_of == fold_of[group]].sum(axis=0)
        if _has_all_of_a_class(np.where(counts[group], rest, 0), totals):
            fold_of[group] = -1
    folds = fold_of[group_of]
    for number, fold in enumerate(np.unique(folds[folds >= 0])):
        folds[folds == fold] = number
    return folds


HELD_OUT_ENOUGH = 0.5
"""Part of the clips, and of the classes, that folds must hold out in all to say something."""


def divide_by_sessions(
    labels: Sequence[int],
    sessions: Grouping | None,
    *,
    recordings: Sequence[str],
    num_folds: int,
    seed: int,
) -> tuple[NDArray[np.int64], bool]:
    """Folds of whole sessions, if they are known and enough can be held out so, else of recordings.

    Args:
        labels: (N,), classes.
        sessions: of the clips; None if they are not known.
        recordings: (N,), `recordings_of` the clips.
        num_folds: as for `divide_into_folds`.
        seed: as there.

    Returns:
        The folds as from there, and whether sessions were kept together.
    """
    if sessions is not None:
        folds = divide_into_folds(labels, sessions.names, num_folds=num_folds, seed=seed)
        if _says_enough(folds, labels):
            return folds, True
    return divide_into_folds(labels, recordings, num_folds=num_folds, seed=seed), False


def _says_enough(folds: NDArray[np.int64], labels: Sequence[int]) -> bool:
    """Whether folds hold out enough of the clips and of the classes to score a model by."""
    is_held = folds >= 0
    held = {label for label, held in zip(labels, is_held.tolist(), strict=True) if held}
    least = HELD_OUT_ENOUGH * len(set(labels))
    return bool(is_held.mean() >= HELD_OUT_ENOUGH) and len(held) >= least


def _has_all_of_a_class(counts: NDArray[np.float64], totals: NDArray[np.float64]) -> bool:
    return bool(((counts == totals) & (totals > 0)).any())
