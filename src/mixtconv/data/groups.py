r"""Groups of clips that belong together: cut from one recording, or of one session or person.

Clips of a group look alike, so that a score means little if some of them are trained on and others
scored. `with_groups` names the group of every video by a column of the list or by a pattern over
the names, `hold_out_groups` chooses whole groups to validate on, and `divided_groups` finds those
that a given split cuts through. Folds of whole groups are in `folds.py`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from mixtconv._names import count_of, first_few
from mixtconv.data.listing import (
    BY_SEGMENTS,
    Fault,
    FaultKind,
    ListedVideo,
    Split,
    VideoListing,
    unit_hash,
)
from mixtconv.video.find import real_path

_PATTERN = r"a pattern is a regular expression with one group in parentheses, as 'v_(.*_g\d+)_'"

_MOST_SWEEPS = 10
_MOST_SWAPS = 10_000
"""Pairs of groups above which none change sides with each other: so many even each other out."""


def with_groups(listing: VideoListing, group: str) -> VideoListing:
    """Name the group of every video of a listing.

    Args:
        listing: the videos.
        group: the column by which the list was read, or else a regular expression that is searched
            in the names of the videos (`class/file`, or the path as a CSV has it); what is in its
            parentheses names the group.

    Returns:
        The listing with groups, and a note where some videos have none: each is then by itself.

    Raises:
        ValueError: neither a column nor such an expression, or one that matches no name.
    """
    videos = listing.videos
    is_column = listing.group_column is not None  # the list was read by it
    names = [video.group for video in videos] if is_column else _in_names(listing, group)
    # What has no group is by itself: a video, or a recording with its segments.
    names = [
        name or (video.recording_key if video.recording_key != video.key else "")
        for video, name in zip(videos, names, strict=True)
    ]
    notes = list(listing.notes)
    alone = [video.key for video, name in zip(videos, names, strict=True) if not name]
    if alone:
        what = "empty there" if is_column else "not matched"
        notes.append(
            f"--group {group}: {len(alone)} of {count_of(len(videos), 'video')} {what}, such as "
            f"{alone[0]}; each is a group of its own"
        )
    elif len(videos) > 1 and len(set(names)) == len(videos):
        notes.append(
            f"--group {group} keeps nothing together: each of {len(videos)} videos has a group of "
            f"its own, such as {names[0]!r} for {videos[0].key}"
        )
    grouped = tuple(replace(video, group=name) for video, name in zip(videos, names, strict=True))
    return replace(listing, videos=grouped, notes=tuple(notes), grouped_by=f"--group {group}")


def by_recordings(listing: VideoListing) -> VideoListing:
    """Group the segments of a listing by their recordings, unless a list names wider groups.

    Returns:
        The listing, with one path and one name for each recording, however it is spelled; one whose
        segments are in several splits or groups is a fault of it.
    """
    listing = replace(listing, videos=_spelled_alike(listing.videos))
    recordings: dict[str, list[ListedVideo]] = defaultdict(list)
    for video in listing.videos:
        recordings[video.recording_key].append(video)
    faults = list(listing.faults)
    for videos in recordings.values():
        kinds: dict[str, FaultKind] = {"split": "leak", "group": "malformed"}
        for name, kind in kinds.items():
            values = list(dict.fromkeys(getattr(video, name) for video in videos))
            if len(values) > 1:
                other = next(video for video in videos if getattr(video, name) != values[0])
                reason = (
                    f"{other.recording_key} has segments in {name} {values[0]!r} and in "
                    f"{values[1]!r}; a recording belongs to one"
                )
                faults.append(
                    Fault(kind, other.key, reason, str(other.path), other.class_name, other.split,
                          other.place)
                )  # fmt: skip
    grouped = tuple(replace(v, group=v.group or v.recording_key) for v in listing.videos)
    faults = list(dict.fromkeys(faults))  # of a listing that was grouped before
    return replace(listing, videos=grouped, faults=tuple(faults), grouped_by=BY_SEGMENTS)


def _spelled_alike(videos: Sequence[ListedVideo]) -> tuple[ListedVideo, ...]:
    """Videos with one path and one name for a recording that links or `..` give several.

    It is the shortest name, so that the order of a list does not matter.
    """
    real = {path: real_path(path) for path in {video.path for video in videos}}
    spellings: dict[Path, set[tuple[str, Path]]] = defaultdict(set)
    for video in videos:
        spellings[real[video.path]].add((video.recording_key, video.path))
    chosen = {
        recording: min(found, key=lambda spelled: (len(spelled[0]), *spelled))
        for recording, found in spellings.items()
        if len(found) > 1
    }
    alike = []
    for video in videos:
        if (spelling := chosen.get(real[video.path])) is not None:
            key = spelling[0] + video.key[len(video.recording_key) :]
            video = replace(video, path=spelling[1], key=key)  # noqa: PLW2901
        alike.append(video)
    return tuple(alike)


def _in_names(listing: VideoListing, pattern: str) -> list[str]:
    """What a pattern finds in the names of the videos, "" where it does not match."""
    source = listing.source
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"--group '{pattern}' is no regular expression ({error}); {_PATTERN}"
        ) from error
    if expression.groups == 0:
        raise ValueError(
            f"--group '{pattern}' is neither a column of {source} nor a pattern: {_PATTERN}"
        )
    if expression.groups > 1:
        raise ValueError(
            f"--group '{pattern}' has {expression.groups} groups in parentheses; give one, and "
            "(?:...) for the others"
        )
    matches = [expression.search(video.recording_key) for video in listing.videos]
    names = ["" if match is None else match[1] or "" for match in matches]
    if listing.videos and not any(names):
        raise ValueError(
            f"--group '{pattern}' matches none of {count_of(len(names), 'name')} in {source}, such "
            f"as {listing.videos[0].key!r}; {_PATTERN}"
        )
    return names


@dataclass(frozen=True)
class HeldOutGroups:
    """Whole groups that are chosen to validate on."""

    names: frozenset[str]
    """Their names."""
    whole_classes: dict[str, str]
    """Class -> the group that has all its clips, and is never held out; of two clips or more."""


def hold_out_groups(
    classes: Sequence[str], groups: Sequence[str], fraction: float
) -> HeldOutGroups:
    """Choose whole groups such that about `fraction` of every class is held out.

    Greedy, the largest group first, each to the side that leaves the shares of the classes nearest
    to what is wanted; then groups change sides, one or two at a time, as long as that helps. Of
    groups of one size the hash of the name decides, so that the choice is the same on every machine
    and in any order of the clips. Every class keeps a clip to train on, and has one held out if
    that is possible.

    Args:
        classes: (N,), the class of each clip.
        groups: (N,), the name of its group.
        fraction: of every class to hold out, above 0 and below 1.

    >>> classes, groups = ["jump", "run"] * 5, [f"person {i // 2}" for i in range(10)]
    >>> sorted(hold_out_groups(classes, groups, 0.2).names)
    ['person 0']
    """
    totals = Counter(classes)
    clips: dict[str, Counter[str]] = defaultdict(Counter)  # of each group by class
    for class_name, group in zip(classes, groups, strict=True):
        clips[group][class_name] += 1
    whole = {
        class_name: group
        for group, own in clips.items()
        for class_name, number in own.items()
        if number == totals[class_name]
    }
    pinned = set(whole.values())
    order = sorted(
        (group for group in clips if group not in pinned),
        key=lambda group: (-clips[group].total(), unit_hash(group)),
    )
    sides = _Sides(totals, fraction)
    for group in pinned:
        sides.trained.update(clips[group])
    for group in order:
        sides.put(group, clips[group], held=sides.prefers_held(clips[group]))
    for class_name in sorted(totals):
        if not sides.held[class_name]:
            having = [group for group in order if class_name in clips[group]]
            able = [group for group in having if sides.leaves_some(clips[group])]
            if able:
                group = min(able, key=lambda name: sides.change(clips[name], held=True))
                sides.move(group, clips[group])
    for _ in range(_MOST_SWEEPS):
        moved = [sides.improve(group, clips[group]) for group in order]
        if len(order) ** 2 <= _MOST_SWAPS:
            pairs = product(order, order)
            moved += [sides.swap(one, other, clips) for one, other in pairs]
        if not any(moved):
            break
    several = {name: group for name, group in whole.items() if totals[name] > 1}
    return HeldOutGroups(frozenset(sides.chosen), several)


class _Sides:
    """Clips by class on both sides of a split, while groups are put on them."""

    def __init__(self, totals: Counter[str], fraction: float) -> None:
        self.totals, self.fraction = totals, fraction
        self.held: Counter[str] = Counter()
        self.trained: Counter[str] = Counter()
        self.chosen: set[str] = set()

    def prefers_held(self, clips: Counter[str]) -> bool:
        """Whether holding a group out leaves the sides more even, in relation to their sizes."""
        cost = {True: 0.0, False: 0.0}
        for name, number in clips.items():
            share = number / self.totals[name]
            for is_held, side, size in (
                (True, self.held, self.fraction),
                (False, self.trained, 1 - self.fraction),
            ):
                # By so much the sum of squares grows, smallest where each side has its size.
                cost[is_held] += share * (2 * side[name] / self.totals[name] + share) / size
        return cost[True] < cost[False] and self.leaves_some(clips)

    def leaves_some(self, clips: Counter[str]) -> bool:
        """Whether every class can still be trained if a group is held out."""
        return all(self.held[name] + number < self.totals[name] for name, number in clips.items())

    def put(self, group: str, clips: Counter[str], *, held: bool) -> None:
        """Put a group on a side."""
        (self.held if held else self.trained).update(clips)
        if held:
            self.chosen.add(group)

    def move(self, group: str, clips: Counter[str]) -> None:
        """Put a group on the other side."""
        is_held = group in self.chosen
        (self.held if is_held else self.trained).subtract(clips)
        self.chosen.discard(group)
        self.put(group, clips, held=not is_held)

    def change(self, clips: Counter[str], *, held: bool) -> float:
        """By how much the squared distance from the wanted shares grows if a group changes side."""
        change = 0.0
        for name, number in clips.items():
            share = self.held[name] / self.totals[name] - self.fraction
            step = (number if held else -number) / self.totals[name]
            change += step * (2 * share + step)
        return change

    def improve(self, group: str, clips: Counter[str]) -> bool:
        """Move a group to the other side if that is better; whether it was moved."""
        to_held = group not in self.chosen
        is_allowed = (
            self.leaves_some(clips)
            if to_held
            else all(self.held[name] > number for name, number in clips.items())
        )
        if not is_allowed or self.change(clips, held=to_held) > -1e-9:
            return False
        self.move(group, clips)
        return True

    def swap(self, one: str, other: str, clips: Mapping[str, Counter[str]]) -> bool:
        """Exchange a group that is held out with one that is not if that is better."""
        if one not in self.chosen or other in self.chosen:
            return False
        without = self.change(clips[one], held=False)
        self.move(one, clips[one])
        is_better = without + self.change(clips[other], held=True) < -1e-9
        if is_better and self.leaves_some(clips[other]):
            self.move(other, clips[other])
            if all(self.held[name] for name in clips[one]):
                return True
            self.move(other, clips[other])
        self.move(one, clips[one])
        return False


@dataclass(frozen=True)
class DividedGroup:
    """A group with videos on several sides of a given split."""

    name: str
    videos: dict[Split, list[ListedVideo]]
    """Its videos by split, in the order in which splits occur."""

    @property
    def sizes(self) -> str:
        """The number of its videos on each side, in words."""
        return ", ".join(f"{len(videos)} in {split!r}" for split, videos in self.videos.items())


def divided_groups(videos: Sequence[ListedVideo]) -> Iterator[DividedGroup]:
    """The groups that the split of a listing cuts through.

    >>> from pathlib import Path
    >>> videos = [ListedVideo(Path(s), "run", s, s, group="day 1") for s in ("train", "val")]
    >>> [(group.name, group.sizes) for group in divided_groups(videos)]
    [('day 1', "1 in 'train', 1 in 'val'")]
    """
    groups: dict[str, dict[Split, list[ListedVideo]]] = defaultdict(dict)
    for video in videos:
        if video.group and video.split is not None:
            groups[video.group].setdefault(video.split, []).append(video)
    for name, sides in groups.items():
        if len(sides) > 1:
            yield DividedGroup(name, sides)


def division_note(videos: Sequence[ListedVideo]) -> tuple[str, ...]:
    """A sentence about the groups that the split of a listing cuts through, if there are any."""
    divided = [f"{group.name} ({group.sizes})" for group in divided_groups(videos)]
    if not divided:
        return ()
    return (
        f"{count_of(len(divided), 'group')} on both sides of the split: {first_few(divided)}; "
        "scores are too good where one recording or person is trained on and scored",
    )
