"""Nothing of interest: segments of the time of recordings that has no label, a class of their own.

They are drawn for each recording from the gaps between its labelled segments, away from their
borders, where it is uncertain when an action ends. Their lengths are those of the labelled
segments, so that a network cannot tell background by its length. The draw depends on the name of
the recording and on its segments alone: training, scoring and preparing draw the same ones.
"""

import hashlib
import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

from mixtconv._atomic_write import encoded
from mixtconv._names import composed, count_of
from mixtconv.data.listing import ListedVideo, VideoListing
from mixtconv.data.parallel import in_parallel, usable_cores
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.segment import Span

BACKGROUND = "background"
"""The class of time without a label; a list may name stretches of it as well."""

BORDER_SECONDS = Fraction(1, 2)
"""Time beside a labelled segment that is neither of its class nor background."""

LEAST_SECONDS = Fraction(1, 2)
"""Shorter gaps, and shorter rests of gaps, hold no background."""

_ASSUMED_RATE = 25
"""Frames per second where segments are in frames."""

Stretch = tuple[Fraction, Fraction]


def with_background(listing: VideoListing, rate: float) -> VideoListing:
    """Add segments of background to a listing of segments.

    The packets of every recording are listed, to know how long it is.

    Args:
        listing: segments of recordings.
        rate: segments of background for each labelled one, of the same recording; where its gaps
            hold fewer, there are fewer, which is noted.

    Raises:
        ValueError: the rate is below 0, or the listing has no segments.
    """
    if rate < 0:
        raise ValueError(f"--background is {rate:g}; give 0 or more, such as 1")
    if not rate:
        return listing
    recordings: dict[Path, list[ListedVideo]] = defaultdict(list)
    for video in listing.videos:
        if video.span is not None:
            recordings[video.path].append(video)
    if not recordings:
        raise ValueError(
            f"--background draws from the time beside segments, and {listing.source} names whole "
            "videos: give a list with starts and ends, or leave it out"
        )
    labelled = [v for videos in recordings.values() for v in videos if not is_background(v)]
    lengths = sorted(
        (v.span.end - v.span.start) / (_ASSUMED_RATE if v.span.in_frames else 1)
        for v in labelled
        if v.span is not None
    )
    extents = {}
    for path, outcome in in_parallel(list(recordings), _extent, workers=usable_cores()):
        extents[path] = outcome.result()
    added: list[ListedVideo] = []
    wanted = 0
    for path, videos in recordings.items():
        count = round(rate * sum(not is_background(video) for video in videos))
        wanted += count
        span = videos[0].span
        if span is not None and (whole := extents[path][span.in_frames]):
            added += _draw(videos, whole, lengths, count)
    notes = listing.notes
    if len(added) < wanted:
        notes += (
            f"--background {rate:g}: {count_of(len(added), 'segment')} of background, not "
            f"{wanted}, as the recordings have no more time without a label",
        )
    return replace(listing, videos=(*listing.videos, *added), notes=notes)


def is_background(video: ListedVideo) -> bool:
    """Whether a segment is labelled as background."""
    return video.labels == () or composed(video.class_name) == BACKGROUND


def _extent(path: Path) -> tuple[Fraction, Fraction]:
    """Seconds and frames of a recording; 0 of one that cannot be read, which is said elsewhere."""
    from mixtconv.video.opening import as_unreadable  # noqa: PLC0415, loads NumPy, as the next
    from mixtconv.video.segment_frames import extent  # noqa: PLC0415

    try:
        with as_unreadable(path):
            return extent(path)
    except UnreadableVideoError:
        return Fraction(0), Fraction(0)


def _draw(
    videos: Sequence[ListedVideo], whole: Fraction, lengths: Sequence[Fraction], count: int
) -> list[ListedVideo]:
    """Segments of background of one recording, none over another."""
    first = videos[0]
    assert first.span is not None
    unit = _ASSUMED_RATE if first.span.in_frames else 1
    spans = [video.span for video in videos if video.span is not None]
    free = _gaps([(span.start, span.end) for span in spans], whole, BORDER_SECONDS * unit)
    digest = hashlib.sha256(encoded(composed(first.recording_key))).digest()
    chance = random.Random(int.from_bytes(digest[:8], "big"))
    chosen: list[Stretch] = []
    for _ in range(count):
        free = [gap for gap in free if gap[1] - gap[0] >= LEAST_SECONDS * unit]
        if not free:
            break
        # A gap by its length, a length of a labelled segment, and a place in the gap.
        place = chance.random() * float(sum(end - start for start, end in free))
        before = list(accumulate(float(end - start) for start, end in free))
        start, end = free.pop(min(bisect_right(before, place), len(free) - 1))
        length = min(lengths[int(chance.random() * len(lengths))] * unit, end - start)
        begin = start + (end - start - length) * Fraction(chance.random())
        begin = _rounded(begin, in_frames=first.span.in_frames)
        stop = min(_rounded(begin + length, in_frames=first.span.in_frames), end)
        if stop > begin:
            chosen.append((begin, stop))
        free += [(start, begin), (stop, end)]
    return [_listed(first, Span(*stretch, first.span.in_frames)) for stretch in sorted(chosen)]


def _rounded(time: Fraction, *, in_frames: bool) -> Fraction:
    """A time to the millisecond, or a whole number of frames."""
    return Fraction(int(time)) if in_frames else Fraction(int(time * 1000), 1000)


def _listed(first: ListedVideo, span: Span) -> ListedVideo:
    key = f"{first.recording_key}#{span}"
    several = first.labels is not None  # then it is no class, but time in which none holds
    return replace(
        first,
        class_name="" if several else BACKGROUND,
        labels=() if several else None,
        key=key,
        span=span,
        place=None,
    )


def _gaps(taken: Iterable[Stretch], whole: Fraction, border: Fraction) -> list[Stretch]:
    """The time from 0 to `whole` that is further than `border` from any stretch.

    >>> taken = [(Fraction(a), Fraction(b)) for a, b in ((2, 4), (3, 5), (9, 10))]
    >>> [(float(start), float(end)) for start, end in _gaps(taken, Fraction(12), Fraction(1, 2))]
    [(0.0, 1.5), (5.5, 8.5), (10.5, 12.0)]
    """
    gaps: list[Stretch] = []
    end = Fraction(0)
    for start, stop in sorted(taken):
        if start - border > end:
            gaps.append((end, min(start - border, whole)))
        end = max(end, stop + border)
    if end < whole:
        gaps.append((end, whole))
    return [gap for gap in gaps if gap[1] > gap[0]]
