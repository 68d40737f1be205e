"""The videos of a folder, a list or a known dataset: which to train on, which to score.

`load_catalog` gives those of a training run, `load_labelled_videos` those that a trained model is
scored on. Both divide the videos in the same way, and neither opens one.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mixtconv._names import composed, count_of, first_few, unknown_name
from mixtconv.data.annotations import list_annotations, read_annotations
from mixtconv.data.background import BACKGROUND, with_background
from mixtconv.data.datasets import DATASETS, list_dataset
from mixtconv.data.datasets.division import Division, divide, has_held_out, hold_nothing_out
from mixtconv.data.groups import by_recordings, with_groups
from mixtconv.data.layouts import bad_lines, list_csv, list_folder
from mixtconv.data.listing import (
    BY_SEGMENTS,
    DataSource,
    Label,
    ListedVideo,
    Split,
    VideoListing,
    VideoSample,
    video_keys,
)
from mixtconv.data.several_labels import as_trained, split_labels, with_all_labels, with_labels
from mixtconv.video.find import is_video

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class VideoCatalog:
    """The videos that a training run uses."""

    classes: tuple[str, ...]
    """Class names; a label is an index into them."""
    train: tuple[VideoSample, ...]
    """Videos to train on."""
    val: tuple[VideoSample, ...]
    """Videos held out from training."""
    split_rule: str
    """How train and validation were split, one sentence for the user."""
    source: Path
    """The folder, the CSV, or the folder of the known dataset."""
    ignored: tuple[Path, ...] = ()
    """Files and folders in the source that are not used, without hidden ones."""
    notes: tuple[str, ...] = ()
    """Further sentences that the user should read."""
    grouped_by: str = ""
    """What the groups of the samples come from, if --group or a known dataset tells them."""

    @property
    def several(self) -> bool:
        """Whether a video may have several labels."""
        return any(isinstance(sample.label, tuple) for sample in (*self.train, *self.val))


def load_catalog(
    data: str | Path | DataSource,
    *,
    classes: Sequence[str] | None = None,
    val_fraction: float = 0.2,
    keep_missing: bool = False,
) -> VideoCatalog:
    """List the videos to train on and those to validate on; no video is opened.

    Args:
        data: a folder of class folders (`layouts.list_folder`), a list (`layouts.list_csv`),
            annotation files (`annotations`), or a known dataset (`registry.list_dataset`).
        classes: names in the order of the labels; by default the order that the data define, or
            else the names sorted.
        val_fraction: fraction of every class to hold out if the data have no `val` and no `test`;
            0 holds nothing out, and leaves those of the data aside.
        keep_missing: as for `list_videos`.

    Raises:
        ValueError: the data cannot be used; the message says what was found and what to do.
    """
    classes = None if classes is None else tuple(map(composed, classes))
    listing = list_videos(data, classes=classes, keep_missing=keep_missing)
    names = tuple(classes or listing.classes or _class_names(listing.videos))
    if val_fraction == 0:
        division = hold_nothing_out(listing.videos)
    else:
        division = divide(listing, val_fraction)
    _check_trainable(listing, division, is_validated=val_fraction > 0)
    return VideoCatalog(
        names,
        _samples(division.train, names),
        _samples(division.val, names),
        division.rule,
        listing.source,
        listing.ignored,
        (*listing.notes, *_absence(listing), *division.notes),
        listing.grouped_by,
    )


def load_labelled_videos(
    data: str | Path | DataSource,
    *,
    classes: Sequence[str],
    split: Split | Literal["all"] | None = None,
    val_fraction: float = 0.2,
    group: str | None = None,
    background: float | None = None,
    several: bool = False,
    keep_missing: bool = False,
) -> tuple[VideoSample, ...]:
    """List the videos to score a trained model on; no video is opened.

    What the user should read of the data is logged.

    Args:
        data: as for `load_catalog`.
        classes: the model's classes, in its order; the data may lack some of them.
        split: `train` and `val` are the videos of that name in `load_catalog`, `test` those of the
            split `test` in the data. By default `val` if the data name splits, else `all`.
        val_fraction: as given to `load_catalog`.
        group: that of the data in training, which holds where `data` names none and the split is
            drawn.
        background: that of the data in training, which holds where `data` gives none and are
            segments.
        several: whether the model gives a video several labels, which is how `data` are read.
        keep_missing: as for `list_videos`.

    Raises:
        ValueError: the data cannot be used, a label is not in `classes`, or the split is empty.
    """
    if split not in (None, "train", "val", "test", "all"):
        raise ValueError(f"split is {split!r}; allowed are 'train', 'val', 'test' and 'all'")
    data = as_trained(_source(data), several=several)
    listing = list_videos(data, classes=classes, keep_missing=keep_missing)
    for note in listing.notes:
        logger.info("%s", note)
    if split is None:
        split = _default_split(listing)
    is_drawn = split in ("train", "val") and not has_held_out(listing)
    if is_drawn and group is not None and _source(data).group is None:
        try:
            listing = list_videos(
                replace(_source(data), group=group), classes=classes, keep_missing=keep_missing
            )
        except ValueError as error:
            raise ValueError(
                f"{error} (the model was trained with it: give another, or --split all)"
            ) from error
    if background and _source(data).background is None and any(v.span for v in listing.videos):
        listing = with_background(listing, background)
    return choose_videos(listing, classes=classes, split=split, val_fraction=val_fraction)


def choose_videos(
    listing: VideoListing,
    *,
    classes: Sequence[str],
    split: Split | Literal["all"] | None = None,
    val_fraction: float = 0.2,
) -> tuple[VideoSample, ...]:
    """The videos of a listing to score a trained model on; see `load_labelled_videos`."""
    if split is None:
        split = _default_split(listing)
    division = divide(listing, val_fraction)
    chosen = {
        "train": division.train,
        "val": division.val,
        "test": tuple(video for video in listing.videos if video.split == "test"),
        "all": listing.videos,
    }[split]
    if not chosen:
        present = sorted({video.split or "no split" for video in listing.videos})
        raise ValueError(
            f"{listing.source}: no videos for split {split!r}; it has {', '.join(present)}; "
            "choose another split, or 'all'"
        )
    return _samples(chosen, tuple(classes))


def default_split(
    data: str | Path | DataSource, *, classes: Sequence[str]
) -> Literal["val", "all"]:
    """The split that `load_labelled_videos` takes by default.

    Raises:
        ValueError: the data cannot be used, or a label is not in `classes`.
    """
    return _default_split(list_videos(data, classes=classes, keep_missing=True))


def _default_split(listing: VideoListing) -> Literal["val", "all"]:
    return "val" if any(video.split for video in listing.videos) else "all"


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
    listing = with_all_labels(_scan(data, classes), _source(data).labels)
    if keep_missing and listing.videos:
        listing = _with_missing(listing)
    listing = _in_groups(listing, data)
    rate = _source(data).background or 0
    if rate and classes is not None and BACKGROUND not in classes and not listing.several:
        raise ValueError(
            f"the model has no class {BACKGROUND!r}, which --background {rate:g} adds: leave it out"
        )
    if not listing.faults:
        listing = with_background(listing, rate)
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


def scan_videos(
    data: str | Path | DataSource, *, classes: Sequence[str] | None = None
) -> VideoListing:
    """List videos as `list_videos` does, but return faulty entries as `faults` of the listing.

    Raises:
        ValueError: the data cannot be used at all.
    """
    return _in_groups(with_all_labels(_scan(data, classes), _source(data).labels), data)


def _source(data: str | Path | DataSource) -> DataSource:
    return data if isinstance(data, DataSource) else DataSource(str(data))


def _in_groups(listing: VideoListing, data: str | Path | DataSource) -> VideoListing:
    """The videos with the groups that --group tells, else as they are."""
    group = _source(data).group
    return listing if group is None else with_groups(listing, group)


def _scan(data: str | Path | DataSource, classes: Sequence[str] | None) -> VideoListing:
    source = _source(data)
    classes = None if classes is None else tuple(map(composed, classes))
    if classes is not None and len(set(classes)) < len(classes):
        repeated = sorted({name for name in classes if classes.count(name) > 1})
        raise ValueError(f"classes has {first_few(repeated)} more than once; name each class once")
    if source.root is not None:
        listing = list_dataset(source)
    elif Path(source.data).is_dir():
        listing = _list_own_folder(Path(source.data), classes, several=source.labels == "several")
    else:
        _check_file(source.data)
        path = Path(source.data)
        if (annotations := read_annotations(path)) is not None:
            several = source.labels == "several"
            return list_annotations(path, annotations, classes=classes, several=several)
        return list_csv(path, classes=classes, group=source.group, labels=source.labels)
    _check_class_names(listing, classes)
    return listing


def _list_own_folder(folder: Path, classes: Sequence[str] | None, *, several: bool) -> VideoListing:
    """A folder of class folders, or of annotation files with their videos."""
    try:
        return list_folder(folder)
    except ValueError:
        annotations = read_annotations(folder)
        if annotations is None:
            raise
    return list_annotations(folder, annotations, classes=classes, several=several)


def _check_file(data: str) -> None:
    """Refuse a path that cannot be a list of videos."""
    path = Path(data)
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


def _absence(listing: VideoListing) -> tuple[str, ...]:
    if not listing.absent:
        return ()
    names = first_few([entry.video for entry in listing.absent])
    return (f"{count_of(len(listing.absent), 'video')} of the lists missing: {names}",)


def _check_trainable(listing: VideoListing, division: Division, *, is_validated: bool) -> None:
    source = listing.source
    trained = {name for video in division.train for name in video.class_names}
    if not trained:
        raise ValueError(f"{source}: no training videos; add a split 'train', or name no splits")
    if len({video.class_names for video in division.train}) == 1 and listing.several:
        raise ValueError(
            f"{source}: all training videos have the same labels, {first_few(sorted(trained))}; "
            "training takes some that have others, or none"
        )
    if len(trained) == 1 and not listing.several:
        raise ValueError(
            f"{source}: one class only, {min(trained)!r}; training takes two or more, each in a "
            "folder (or under a label) of its own"
        )
    if is_validated and not division.val and listing.grouped_by:
        groups = count_of(len({video.group for video in listing.videos}), "group")
        raise ValueError(
            f"{source}: no group can be held out for validation, since each of {groups} has all "
            f"videos of some class ({listing.grouped_by}); give another --group, a split 'val', or "
            "--val-fraction 0"
        )
    if is_validated and not division.val:
        raise ValueError(
            f"{source}: every class has one video, which leaves none for validation; add videos "
            "or a split 'val'"
        )
    untrained = sorted({name for video in division.val for name in video.class_names} - trained)
    if untrained:
        hints = [unknown_name("class", name, trained) for name in untrained]
        raise ValueError(
            f"{source}: validation has {count_of(len(untrained), 'class')} that training lacks: "
            f"{first_few(hints, separator='; ')}"
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
            f"{len(classes)} known: {first_few(hints, separator='; ')}"
        )


def _class_names(videos: Sequence[ListedVideo]) -> tuple[str, ...]:
    """Names in the order of labels: sorted, by value where all are numbers."""
    names = sorted({name for video in videos for name in video.class_names})
    if all(name.isdecimal() for name in names):
        names.sort(key=int)
    return tuple(names)


def _samples(videos: Sequence[ListedVideo], names: Sequence[str]) -> tuple[VideoSample, ...]:
    numbers = {composed(name): label for label, name in enumerate(names)}
    known: dict[tuple[str, ...], Label] = {}  # equal labels are one object

    def label(video: ListedVideo) -> Label:
        if video.labels is None:
            return numbers[video.class_name]
        own = {numbers[name] for name in video.labels}
        return known.setdefault(video.labels, tuple(int(i in own) for i in range(len(names))))

    return tuple(
        VideoSample(
            *(video.path, label(video), key, video.group, video.span),
            recording=video.recording_key,
        )
        for video, key in zip(videos, video_keys(videos), strict=True)
    )
