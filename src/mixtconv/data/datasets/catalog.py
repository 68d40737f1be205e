"""The videos of a folder, a list or a known dataset: which to train on, which to score.

`load_catalog` gives those of a training run, `load_labelled_videos` those that a trained model is
scored on. Both divide the videos in the same way, and neither opens one. `video_keys` names videos
such that a video file, its pictures and its optical flow have the same name.
"""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from mixtconv._names import composed, count_of, first_few, unknown_name
from mixtconv.data.background import BACKGROUND, with_background
from mixtconv.data.datasets.division import Division, divide, has_held_out, hold_nothing_out
from mixtconv.data.datasets.scanning import as_source, class_names, is_own, list_videos
from mixtconv.data.listing import (
    DataSource,
    Label,
    ListedVideo,
    Split,
    VideoListing,
    VideoSample,
)
from mixtconv.data.several_labels import as_trained
from mixtconv.video.find import VIDEO_SUFFIXES

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
    data: str | Path | DataSource | Any,
    *,
    val: Any = None,
    classes: Sequence[str] | None = None,
    val_fraction: float = 0.2,
    keep_missing: bool = False,
) -> VideoCatalog:
    """List the videos to train on and those to validate on; no video is opened.

    Args:
        data: a folder of class folders (`layouts.list_folder`), a list (`layouts.list_csv`),
            annotation files (`annotations`), or a known dataset (`registry.list_dataset`); or a
            dataset of the program (`own.list_own`).
        val: another dataset of the program, to validate on.
        classes: names in the order of the labels; by default the order that the data define, or
            else the names sorted.
        val_fraction: fraction of every class to hold out if the data have no `val` and no `test`;
            0 holds nothing out, and leaves those of the data aside.
        keep_missing: as for `list_videos`.

    Raises:
        ValueError: the data cannot be used; the message says what was found and what to do.
    """
    classes = None if classes is None else tuple(map(composed, classes))
    if is_own(data):
        from mixtconv.data.datasets.own import list_own  # noqa: PLC0415, loads NumPy

        listing = list_own(data, val=val, classes=classes)
    elif val is not None:
        raise ValueError("val belongs to a dataset, and the data on the disk say it: leave it out")
    else:
        listing = list_videos(data, classes=classes, keep_missing=keep_missing)
    return catalog_of(listing, classes=classes, val_fraction=val_fraction)


def catalog_of(
    listing: VideoListing, *, classes: Sequence[str] | None = None, val_fraction: float = 0.2
) -> VideoCatalog:
    """The videos of a listing, divided; see `load_catalog`."""
    names = tuple(classes or listing.classes or class_names(listing.videos))
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
    data = as_trained(as_source(data), several=several)
    listing = list_videos(data, classes=classes, keep_missing=keep_missing)
    for note in listing.notes:
        logger.info("%s", note)
    if split is None:
        split = _default_split(listing)
    is_drawn = split in ("train", "val") and not has_held_out(listing)
    if is_drawn and group is not None and as_source(data).group is None:
        try:
            listing = list_videos(
                replace(as_source(data), group=group), classes=classes, keep_missing=keep_missing
            )
        except ValueError as error:
            raise ValueError(
                f"{error} (the model was trained with it: give another, or --split all)"
            ) from error
    if background and as_source(data).background is None and any(v.span for v in listing.videos):
        listing = with_background(listing, background)
    return choose_videos(listing, classes=classes, split=split, val_fraction=val_fraction)


def load_other_videos(
    data: str | Path | DataSource,
    *,
    classes: Sequence[str],
    split: Split | Literal["all"] | None = None,
) -> tuple[tuple[VideoSample, ...], tuple[str, ...]]:
    """The videos of data whose class a trained model does not know, and the names of their classes.

    A label is an index into these names. No video of theirs was trained on, so all of them are
    taken where a split is drawn.

    Args:
        data: as for `load_catalog`.
        classes: the model's classes.
        split: as for `load_labelled_videos`.

    Raises:
        ValueError: the data cannot be used, have several labels a video, or there are none.
    """
    listing = list_videos(data, keep_missing=True)
    if listing.several:
        raise ValueError(f"{listing.source}: other classes are told from one label a video only")
    known = {*map(composed, classes), BACKGROUND}
    others = tuple(video for video in listing.videos if video.class_name not in known)
    names = class_names(others)  # of all splits
    if not others:
        raise ValueError(
            f"{listing.source}: the model knows all of its classes; other classes are those that "
            "it was not trained on (mixtconv train --without)"
        )
    if split is None:
        split = _default_split(listing)
    if split != "all" and any(video.split for video in listing.videos):
        chosen = tuple(video for video in others if video.split == split)
        if not chosen:
            raise ValueError(
                f"{listing.source}: no videos of other classes in split {split!r}; choose another "
                "split, or 'all'"
            )
        others = chosen
    return _samples(others, names), names


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


def _samples(videos: Sequence[ListedVideo], names: Sequence[str]) -> tuple[VideoSample, ...]:
    numbers = {composed(name): label for label, name in enumerate(names)}
    known: dict[tuple[str, ...], Label] = {}  # equal labels are one object

    def label(video: ListedVideo) -> Label:
        if video.labels is None:
            return numbers[video.class_name]
        own = {numbers[name] for name in video.labels}
        return known.setdefault(video.labels, tuple(int(i in own) for i in range(len(names))))

    def own(video: ListedVideo) -> tuple[int, ...] | None:
        names = video.labels if video.own_labels is None else video.own_labels
        return None if names is None else tuple(numbers[name] for name in names)

    return tuple(
        VideoSample(
            *(video.path, label(video), key, video.group, video.span),
            recording=video.recording_key,
            own_labels=own(video),
            item=video.item,
        )
        for video, key in zip(videos, video_keys(videos), strict=True)
    )


def video_keys(videos: Sequence[ListedVideo]) -> tuple[str, ...]:
    """Unique names of videos, in their order.

    A name is the key without the suffix of a video, since a folder of pictures has none. Where
    several videos have the same name, theirs keep the suffix; if that is not enough, the split is
    put in front, then a number behind.

    >>> from pathlib import Path
    >>> names = ["jump/a.mp4", "jump/b.mp4", "jump/b.avi"]
    >>> video_keys([ListedVideo(Path(name), "jump", None, name) for name in names])
    ('jump/a', 'jump/b.mp4', 'jump/b.avi')
    """
    numbers: Counter[str] = Counter()
    numbered = []
    for video in videos:
        name = _with_split(video)
        numbers[name] += 1
        numbered.append(f"{name}#{numbers[name]}")
    keys = [_without_suffix(video.key) for video in videos]
    for longer in ([video.key for video in videos], [_with_split(v) for v in videos], numbered):
        counts = Counter(keys)
        keys = [key if counts[key] == 1 else more for key, more in zip(keys, longer, strict=True)]
    return tuple(keys)


def _without_suffix(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_suffix("")) if path.suffix.lower() in VIDEO_SUFFIXES else name


def _with_split(video: ListedVideo) -> str:
    return f"{video.split}/{video.key}" if video.split else video.key
