"""The videos of what a user names, with their class names: a folder, a list or a known dataset."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mixtconv._names import composed, count_of, first_few, unknown_name
from mixtconv.data.annotations import list_annotations, read_annotations
from mixtconv.data.background import BACKGROUND, with_background
from mixtconv.data.datasets import DATASETS, list_dataset
from mixtconv.data.groups import by_recordings, with_groups
from mixtconv.data.layouts import bad_lines, list_csv, list_folder, list_metadata
from mixtconv.data.listing import BY_SEGMENTS, DataSource, ListedVideo, VideoListing
from mixtconv.data.several_labels import split_labels, with_all_labels, with_labels
from mixtconv.video.find import is_video


def list_videos(
    data: str | Path | DataSource,
    *,
    classes: Sequence[str] | None = None,
    keep_missing: bool = False,
) -> VideoListing:
    """List videos with their class names, all among `classes` if given.

    Args:
        data: as for `load_catalog`.
        classes: the only class names allowed.
        keep_missing: also list videos that do not exist, for a caller who reports those that cannot
            be read. If none exists, that is an error all the same.

    Raises:
        ValueError: the data cannot be used, or entries in them have faults; the first are named.
    """
    listing = with_all_labels(_scan(data, classes), as_source(data).labels)
    if keep_missing and listing.videos:
        listing = _with_missing(listing)
    listing = _in_groups(listing, data)
    rate = as_source(data).background or 0
    if rate and classes is not None and BACKGROUND not in classes and not listing.several:
        raise ValueError(
            f"the model has no class {BACKGROUND!r}, which --background {rate:g} adds: leave it out"
        )
    if not listing.faults:
        listing = with_background(listing, rate)
    listing = _without(listing, as_source(data).without)
    if listing.faults and listing.source.is_file():
        raise bad_lines(listing)
    if listing.faults:
        entries = [f"{fault.video}: {fault.reason}" for fault in listing.faults]
        raise ValueError(
            f"{listing.source}: {count_of(len(entries), 'entry')} cannot be used: "
            f"{first_few(entries, separator='; ')}; correct them (mixtconv check lists all)"
        )
    return listing


def _with_missing(listing: VideoListing) -> VideoListing:
    """Add the missing videos to the videos, under the path where they are expected."""
    folder = listing.source.parent if listing.source.is_file() else listing.source
    missing = [fault for fault in listing.faults if fault.kind == "missing"]
    videos = [
        ListedVideo(
            folder / fault.video,
            fault.label or "",
            fault.split,
            key=fault.key or fault.video,
            place=fault.place,
            group=fault.group,
            span=fault.span,
        )
        for fault in missing
    ]
    if listing.several:
        videos = [with_labels(video, split_labels(video.class_name)) for video in videos]
    others = tuple(fault for fault in listing.faults if fault.kind != "missing")
    listing = replace(listing, videos=(*listing.videos, *videos), faults=others)
    return by_recordings(listing) if listing.grouped_by == BY_SEGMENTS else listing


def _without(listing: VideoListing, names: Sequence[str] | None) -> VideoListing:
    """The listing as if it had no videos of some classes."""
    if not names:
        return listing
    if listing.several:
        raise ValueError(
            "--without leaves out the videos of a class, and these have several labels; leave it "
            "out, or correct the list"
        )
    left_out = set(map(composed, names))
    there = {*class_names(listing.videos), *(fault.label or "" for fault in listing.faults)}
    if unknown := sorted(left_out - there):
        hints = [unknown_name("class", name, there - {""}) for name in unknown]
        raise ValueError(f"{listing.source}: --without: {first_few(hints, separator='; ')}")
    return replace(
        listing,
        videos=tuple(video for video in listing.videos if video.class_name not in left_out),
        faults=tuple(fault for fault in listing.faults if fault.label not in left_out),
        classes=listing.classes and tuple(n for n in listing.classes if n not in left_out),
    )


def scan_videos(
    data: str | Path | DataSource, *, classes: Sequence[str] | None = None
) -> VideoListing:
    """List videos as `list_videos` does, but return faulty entries as `faults` of the listing.

    Raises:
        ValueError: the data cannot be used at all.
    """
    listing = _in_groups(with_all_labels(_scan(data, classes), as_source(data).labels), data)
    return _without(listing, as_source(data).without)


def as_source(data: str | Path | DataSource) -> DataSource:
    return data if isinstance(data, DataSource) else DataSource(str(data))


def is_own(data: object) -> bool:
    """Whether data are a dataset of a program, and not the name of data on the disk, or settings.

    >>> is_own("clips"), is_own([("a.mp4", "wave")])
    (False, True)
    """
    return not isinstance(data, str | os.PathLike | DataSource)


def _in_groups(listing: VideoListing, data: str | Path | DataSource) -> VideoListing:
    """The videos with the groups that --group tells, else as they are."""
    group = as_source(data).group
    return listing if group is None else with_groups(listing, group)


def _scan(data: str | Path | DataSource, classes: Sequence[str] | None) -> VideoListing:
    source = as_source(data)
    if classes is not None:
        classes = tuple(map(composed, (*classes, *(source.without or ()))))
    if classes is not None and len(set(classes)) < len(classes):
        repeated = sorted({name for name in classes if classes.count(name) > 1})
        raise ValueError(f"classes has {first_few(repeated)} more than once; name each class once")
    if source.root is not None:
        listing = list_dataset(source)
    elif Path(source.data).is_dir():
        listing = _list_own_folder(source, classes)
    else:
        _check_file(source.data)
        path = Path(source.data)
        if (annotations := read_annotations(path)) is not None:
            several = source.labels == "several"
            return list_annotations(path, annotations, classes=classes, several=several)
        return list_csv(path, classes=classes, group=source.group, labels=source.labels)
    _check_class_names(listing, classes)
    return listing


def _list_own_folder(source: DataSource, classes: Sequence[str] | None) -> VideoListing:
    """A folder of class folders, with lists, or of annotation files with their videos."""
    folder = Path(source.data)
    listing = list_metadata(folder, classes=classes, group=source.group, labels=source.labels)
    if listing is not None:
        return listing
    try:
        return list_folder(folder)
    except ValueError:
        annotations = read_annotations(folder)
        if annotations is None:
            raise
    several = source.labels == "several"
    return list_annotations(folder, annotations, classes=classes, several=several)


def _check_file(data: str) -> None:
    """Refuse a path that cannot be a list of videos."""
    path = Path(data)
    if data.startswith("<") and not path.exists():
        raise ValueError(f"DATA {data!r} was a dataset of a program: give it there, from Python")
    if not path.exists() and data in DATASETS:
        raise ValueError(f"DATA {data!r} is a known dataset: give its folder with --root DIR")
    if not path.exists():
        raise ValueError(
            f"DATA {data!r} is neither a folder nor a file (looked for {path.absolute()}); "
            "give a folder of class folders, a CSV of path,label, or a known dataset with --root"
        )
    if is_video(path):
        raise ValueError(
            f"DATA {data!r} is one video; give a folder of class folders or a CSV of path,label"
        )


def _check_class_names(listing: VideoListing, classes: Sequence[str] | None) -> None:
    if classes is None:
        return
    places = {fault.label: listing.source for fault in listing.faults if fault.label}
    places |= {name: video.path.parent for video in listing.videos for name in video.class_names}
    unknown = sorted(set(places) - set(classes))
    if unknown:
        hints = [f"{places[name]}: {unknown_name('class', name, classes)}" for name in unknown]
        raise ValueError(
            f"{listing.source}: {count_of(len(unknown), 'class')} not among the "
            f"{len(classes)} known: {first_few(hints, separator='; ')}; --without leaves out the "
            "videos of a class, and evaluate --open-set scores those of other classes apart"
        )


def class_names(videos: Sequence[ListedVideo]) -> tuple[str, ...]:
    """Names in the order of labels: sorted, by value where all are numbers."""
    names = sorted({name for video in videos for name in video.class_names})
    if all(name.isdecimal() for name in names):
        names.sort(key=int)
    return tuple(names)
