"""Segments of recordings: those beyond the end, over each other, and recordings without any."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from fractions import Fraction
from pathlib import Path

from mixtconv._names import count_of, first_few
from mixtconv.data.checking.video import CheckedVideo
from mixtconv.data.listing import Fault, ListedVideo, VideoListing
from mixtconv.video.find import is_video, real_path
from mixtconv.video.segment import Stretch

_WHOLE: Stretch = (Fraction(0), Fraction(2**63))
"""Of a line that names a whole recording."""


def segment_faults(listing: VideoListing, checked: Mapping[Path, CheckedVideo]) -> Iterator[Fault]:
    """A fault for each segment that goes beyond its recording or over one with another label."""
    recordings: dict[Path, list[ListedVideo]] = defaultdict(list)
    for video in listing.videos:
        recordings[video.path].append(video)
        if video.span is not None and video.span in checked[video.path].beyond:
            yield _fault(video, checked[video.path].beyond[video.span])
    for path, videos in recordings.items():
        if len(videos) > 1:
            yield from _overlaps(videos, checked[path])


def _overlaps(videos: list[ListedVideo], checked: CheckedVideo) -> Iterator[Fault]:
    """A fault for each segment that begins within another one with another label."""
    placed = [(_stretch(video, checked), video) for video in videos if video.labels is None]
    placed.sort(key=lambda item: item[0])
    open_ones: list[tuple[Stretch, ListedVideo]] = []  # that may go on after the start of the next
    for stretch, video in placed:
        open_ones = [other for other in open_ones if other[0][1] > stretch[0]]
        for _, other in open_ones:
            if other.class_name != video.class_name:
                where = f", {other.place}" if other.place is not None else ""
                span = "all of the recording" if other.span is None else other.span
                yield _fault(video, f"it overlaps with {other.class_name!r}, {span}{where}")
                break
        open_ones.append((stretch, video))


def _stretch(video: ListedVideo, checked: CheckedVideo) -> Stretch:
    """Where a segment is; of a recording that cannot be read, in the unit of the list."""
    span = video.span
    return _WHOLE if span is None else checked.stretches.get(span, (span.start, span.end))


def _fault(video: ListedVideo, reason: str) -> Fault:
    return Fault(
        "segment", video.key, reason, str(video.path), video.class_name, video.split, video.place
    )


def unlabelled_recordings(listing: VideoListing) -> tuple[str, ...]:
    """A sentence about the videos beside a list of segments that it does not name, if any."""
    if not any(video.span is not None for video in listing.videos):
        return ()
    named = {real_path(video.path) for video in listing.videos}
    folders = {video.path.parent for video in listing.videos}
    others = sorted(
        path
        for folder in folders
        for path in folder.iterdir()
        if is_video(path) and real_path(path) not in named
    )
    if not others:
        return ()
    names = first_few([path.name for path in others])
    return (
        f"{count_of(len(others), 'video')} beside those of the list without a segment: {names}",
    )
