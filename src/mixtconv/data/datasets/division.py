"""Which videos train and which are held out: as the data say, else drawn.

A split is drawn by a hash of the names within each class or, where groups are told, of whole
groups (`data/groups.py`). Training, scoring and checks all divide videos here.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mixtconv._names import count_of, first_few
from mixtconv.data.groups import division_note, hold_out_groups
from mixtconv.data.listing import ListedVideo, Split, VideoListing, hold_out


@dataclass(frozen=True)
class Division:
    """Videos split into training and validation, with the rule, and notes for the user."""

    train: tuple[ListedVideo, ...]
    val: tuple[ListedVideo, ...]
    rule: str
    notes: tuple[str, ...] = ()


def hold_nothing_out(videos: Sequence[ListedVideo]) -> Division:
    """All videos to train on, but those that the data keep for validation or test."""
    train = tuple(video for video in videos if video.split in (None, "train"))
    aside = len(videos) - len(train)
    notes = (f"{count_of(aside, 'video')} of 'val' and 'test' are not used",) if aside else ()
    return Division(train, (), "nothing is held out, so no epoch is scored", notes)


def has_held_out(listing: VideoListing) -> bool:
    """Whether the data say which videos are held out; else the split is drawn."""
    return any(video.split in ("val", "test") for video in listing.videos)


def divide(listing: VideoListing, val_fraction: float) -> Division:
    """Split the videos as the data say, else by groups or a hash within each class.

    Raises:
        ValueError: `val_fraction` is not from 0 to below 1.
    """
    if not 0 <= val_fraction < 1:
        raise ValueError(f"val_fraction is {val_fraction}; give 0 to below 1, such as 0.2")
    videos = listing.videos
    marked: dict[Split | None, list[ListedVideo]] = {"train": [], "val": [], "test": [], None: []}
    for video in videos:
        marked[video.split].append(video)
    for held in ("val", "test"):
        if marked[held]:
            rule = f"split as in the data: 'train' for training, {held!r} for validation"
            unused = count_of(len(marked["test"]), "video")
            notes: tuple[str, ...] = ()
            if held == "val" and marked["test"]:
                notes = (f"{unused} of 'test' used neither for training nor for validation",)
            notes += division_note(videos)
            return Division(tuple(marked["train"]), tuple(marked[held]), rule, notes)
    if not val_fraction:
        return hold_nothing_out(videos)
    if listing.grouped_by:
        return _divide_by_groups(listing, val_fraction)
    return _divide_by_hash(videos, val_fraction)


def draw_split(listing: VideoListing, val_fraction: float = 0.2) -> frozenset[Path]:
    """The paths of the videos that training would hold out of data that hold none out."""
    return frozenset(video.path for video in divide(listing, val_fraction).val)


def _divide_by_groups(listing: VideoListing, val_fraction: float) -> Division:
    """Hold out whole groups; a video without one is by itself."""
    videos = listing.videos
    if not videos:
        return Division((), (), "there are no videos to divide")
    names = [video.group or f"video {video.key}" for video in videos]
    # Each label of a video counts, as sets of labels are often of one recording alone.
    counted = [
        (label, name)
        for video, name in zip(videos, names, strict=True)
        for label in video.class_names or ("",)
    ]
    labels, groups = zip(*counted, strict=True)
    chosen = hold_out_groups(labels, groups, val_fraction)
    held = [name in chosen.names for name in names]
    rule = (
        f"about {100 * val_fraction:g} % of every class held out for validation in whole groups, "
        f"{len(chosen.names)} of {len(set(names))} ({listing.grouped_by}), chosen by their classes "
        "and a hash of their names"
    )
    notes = _single_videos(videos)
    if chosen.whole_classes:
        pairs = [f"{name!r} by {group!r}" for name, group in chosen.whole_classes.items()]
        notes += (
            f"classes with all their videos in one group, which is used for training: "
            f"{first_few(pairs)}",
        )
    return Division(
        tuple(video for video, is_held in zip(videos, held, strict=True) if not is_held),
        tuple(video for video, is_held in zip(videos, held, strict=True) if is_held),
        rule,
        notes,
    )


def _divide_by_hash(videos: Sequence[ListedVideo], val_fraction: float) -> Division:
    by_class: dict[str, list[str]] = {}
    for video in videos:
        by_class.setdefault(video.class_name, []).append(video.key)
    groups = hold_out({video.group for video in videos if video.group}, val_fraction)
    held_out = {name: hold_out(keys, val_fraction) for name, keys in by_class.items()}

    def is_held(video: ListedVideo) -> bool:
        return video.group in groups if video.group else video.key in held_out[video.class_name]

    val = tuple(video for video in videos if is_held(video))
    train = tuple(video for video in videos if not is_held(video))
    what = "the groups" if groups else "every class"
    names = "their names" if groups else "the file names"
    rule = (
        f"about {100 * val_fraction:g} % of {what} held out for validation, chosen by a hash of "
        f"{names}"
    )
    return Division(train, val, rule, _single_videos(videos))


def _single_videos(videos: Sequence[ListedVideo]) -> tuple[str, ...]:
    numbers = Counter(video.class_name for video in videos)
    single = sorted(name for name, number in numbers.items() if number == 1)
    return (f"classes with one video, used for training: {first_few(single)}",) if single else ()
