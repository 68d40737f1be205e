"""Segments of recordings: those beyond the end, over each other, and recordings without any."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

from mixtconv._names import count_of, first_few
from mixtconv.data.checking.video import CheckedVideo
from mixtconv.data.listing import Fault, ListedVideo, VideoListing
from mixtconv.video.find import is_video


def segment_faults(listing: VideoListing, checked: Mapping[Path, CheckedVideo]) -> Iterator[Fault]:
    """A fault for each segment that goes beyond its recording or over one with another label."""
    recordings: dict[Path, list[ListedVideo]] = defaultdict(list)
    for video in listing.videos:
        if video.span is not None:
            recordings[video.path].append(video)
            if (reason := checked[video.path].beyond.get(video.span)) is not None:
                yield _fault(video, reason)
    for videos in recordings.values():
        yield from _overlaps(videos)


def _overlaps(videos: list[ListedVideo]) -> Iterator[Fault]:
    """A fault for each segment that begins within another one with another label."""
    for in_frames in (False, True):
        spans = [
            (v.span, v) for v in videos if v.span is not None and v.span.in_frames == in_frames
        ]
        spans.sort(key=lambda item: (item[0].start, item[0].end))
        open_ones: list[ListedVideo] = []  # that may go on after the start of the next
        for span, video in spans:
            open_ones = [other for other in open_ones if other.span and other.span.end > span.start]
            for other in open_ones:
                if video.labels is None and other.class_name != video.class_name:
                    where = f", {other.place}" if other.place is not None else ""
                    yield _fault(
                        video, f"it overlaps with {other.class_name!r}, {other.span}{where}"
                    )
                    break
            open_ones.append(video)


def _fault(video: ListedVideo, reason: str) -> Fault:
    return Fault(
        "segment", video.key, reason, str(video.path), video.class_name, video.split, video.place
    )


def unlabelled_recordings(listing: VideoListing) -> tuple[str, ...]:
    """A sentence about the videos beside a list of segments that it does not name, if any."""
    if not any(video.span is not None for video in listing.videos):
        return ()
    named = {video.path for video in listing.videos}
    folders = {path.parent for path in named}
    others = sorted(
        path
        for folder in folders
        for path in folder.iterdir()
        if is_video(path) and path not in named
    )
    if not others:
        return ()
    names = first_few([path.name for path in others])
    return (
        f"{count_of(len(others), 'video')} beside those of the list without a segment: {names}",
    )
