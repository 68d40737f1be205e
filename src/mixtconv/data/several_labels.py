"""Several labels a video: how lists say them, and which of overlapping segments hold where.

A list says them as `a|b` in its column of labels (in JSON also as a list), as a column of 0 and 1
for each class, or by lines that repeat a video or a segment with other labels. Segments of a
recording that overlap have each other's labels where they cover enough.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from mixtconv._names import composed, count_of
from mixtconv.data.listing import DataSource, LabelMode, ListedVideo, VideoListing
from mixtconv.data.text_tables import SEVERAL
from mixtconv.video.segment import Span

SEPARATOR = "|"
"""Between the labels of a cell."""

SEVERAL_COLUMN = "labels"
"""What a header calls a column of several labels."""

LEAST_COVERED = Fraction(1, 2)
"""Part of a segment that the stretches of another label cover at least, for the segment to have
that label too."""


def says_several(cell: str) -> bool:
    """Whether a cell holds several labels: texts between bars, or a list of JSON.

    >>> says_several("walk|wave"), says_several("walk")
    (True, False)
    """
    return SEPARATOR in cell or cell.startswith(f"{SEVERAL}[")


def split_labels(cell: str) -> tuple[str, ...]:
    """The labels of a cell, each once and sorted; none of an empty one.

    Raises:
        ValueError: one of several is empty, or JSON holds something else than texts.

    >>> split_labels("wave | walk"), split_labels("")
    (('walk', 'wave'), ())
    """
    if cell.startswith(SEVERAL):
        content = json.loads(cell.removeprefix(SEVERAL))
        if not (isinstance(content, list) and all(isinstance(each, str) for each in content)):
            raise ValueError(f"label is {cell.removeprefix(SEVERAL)[:60]!r}; give a list of texts")
        names = content
    else:
        names = cell.split(SEPARATOR) if cell else []
    names = [composed(name.strip()) for name in names]
    if "" in names:
        raise ValueError(f"{cell!r} has an empty label; write a|b, and nothing for no label")
    return tuple(sorted(set(names)))


def with_labels(video: ListedVideo, labels: Iterable[str]) -> ListedVideo:
    """A video with several labels, or none; its class name is all of them, for messages.

    Raises:
        ValueError: a label with a bar in it.

    >>> video = ListedVideo(Path("a.mp4"), "walk", None, "a.mp4")
    >>> with_labels(video, ["wave", "walk"]).class_name
    'walk|wave'
    """
    names = tuple(sorted(set(labels)))
    if barred := [name for name in names if SEPARATOR in name]:
        raise ValueError(
            f"the class {barred[0]!r} has a bar in its name, which stands between several labels: "
            "rename it, or give one label a video (--labels one)"
        )
    return replace(video, class_name=SEPARATOR.join(names), labels=names)


def as_trained(source: DataSource, *, several: bool) -> DataSource:
    """The data, read with as many labels a video as a model gives.

    Raises:
        ValueError: the user says otherwise.
    """
    mode: LabelMode = "several" if several else "one"
    if source.labels not in (None, mode):
        raise ValueError(
            f"--labels is {source.labels}, and the model was trained with {mode}: leave it out"
        )
    return replace(source, labels=mode)


def with_all_labels(listing: VideoListing, mode: LabelMode | None) -> VideoListing:
    """A listing in which a video may have several labels: each with all that hold during it.

    One of one label a video stays as it is; if its segments overlap, that is noted.

    Args:
        listing: as the data say.
        mode: as the user says, or the model.
    """
    if mode == "several" or listing.several:
        videos = tuple(
            with_labels(video, [video.class_name]) if video.labels is None else video
            for video in listing.videos
        )
        return replace(listing, videos=with_overlapping_labels(videos))
    if mode is None and any(video.span is not None for video in listing.videos):
        own = [with_labels(video, video.class_names) for video in listing.videos
               if SEPARATOR not in video.class_name]  # fmt: skip
        number = sum(len(video.class_names) > 1 for video in with_overlapping_labels(own))
        if number:
            segments = count_of(number, "segment")
            note = f"{segments} lie for half or more under another label: --labels several gives "
            return replace(listing, notes=(*listing.notes, f"{note}each all labels that hold"))
    return listing


def with_overlapping_labels(videos: Sequence[ListedVideo]) -> tuple[ListedVideo, ...]:
    """Segments with all labels that hold during them.

    A segment has its own labels, and those of other segments of its recording which together cover
    at least `LEAST_COVERED` of it. Where a list gives one recording in seconds and in frames, its
    packets tell when its frames are shown.

    Args:
        videos: with labels; those that are not segments stay as they are.
    """
    recordings: dict[Path, list[ListedVideo]] = defaultdict(list)
    for video in videos:
        if video.span is not None:
            recordings[video.path].append(video)
    holding: dict[tuple[Path, Span], set[str]] = {}
    for path, segments in recordings.items():
        for alike in _comparable(path, {video.span for video in segments if video.span}):
            stretches = [
                (alike[video.span], video.class_names)
                for video in segments
                if video.span is not None and video.span in alike
            ]
            held = {
                span: _holding(span, others) for span, others in _overlapping(stretches).items()
            }
            holding |= {(path, span): held[placed] for span, placed in alike.items()}
    return tuple(
        video
        if video.span is None
        else replace(
            with_labels(video, {*video.class_names, *holding[video.path, video.span]}),
            own_labels=video.class_names,
        )
        for video in videos
    )


_Stretch = tuple[Span, tuple[str, ...]]
"""A stretch and its labels."""


def _comparable(path: Path, spans: Collection[Span]) -> list[dict[Span, Span]]:
    """Spans of a recording -> where they are in one unit; a dict for each unit if none is common.

    That is so of a recording that cannot be read, which is said elsewhere, and of a folder of
    pictures, which has no seconds.
    """
    units = [{span: span for span in spans if span.in_frames == unit} for unit in (False, True)]
    if not all(units):
        return units
    # Listing loads little, and most lists are of one unit.
    from mixtconv.video.opening import as_unreadable  # noqa: PLC0415
    from mixtconv.video.pictures import UnreadableVideoError  # noqa: PLC0415
    from mixtconv.video.segment_frames import Recording  # noqa: PLC0415

    try:
        with as_unreadable(path):
            recording = Recording(path)
            return [{span: recording.in_seconds(span) for span in spans}]
    except UnreadableVideoError:
        return units


def _holding(span: Span, others: Sequence[_Stretch]) -> set[str]:
    """The labels that hold during enough of a stretch."""
    by_label: dict[str, list[Span]] = defaultdict(list)
    for other, labels in others:
        for label in labels:
            by_label[label].append(other)
    return {label for label, spans in by_label.items() if covered(span, spans) >= LEAST_COVERED}


def _overlapping(stretches: Sequence[_Stretch]) -> dict[Span, list[_Stretch]]:
    """For each stretch those that overlap with it."""
    found: dict[Span, list[_Stretch]] = {span: [] for span, _ in stretches}
    active: list[_Stretch] = []
    for stretch in sorted(stretches, key=lambda each: each[0].start):
        active = [other for other in active if other[0].end > stretch[0].start]
        for other in active:
            found[stretch[0]].append(other)
            found[other[0]].append(stretch)
        active.append(stretch)
    return found


def covered(span: Span, others: Iterable[Span]) -> Fraction:
    """The part of a stretch that other stretches cover together, 0 to 1.

    >>> span = Span(Fraction(0), Fraction(4))
    >>> covered(span, [Span(Fraction(1), Fraction(2)), Span(Fraction(2), Fraction(9))])
    Fraction(3, 4)
    """
    total, done = Fraction(0), span.start
    for other in sorted(others, key=lambda each: each.start):
        start, end = max(other.start, done), min(other.end, span.end)
        if end > start:
            total += end - start
            done = end
    return total / (span.end - span.start)
