"""Nothing of interest: segments of the time of recordings that has no label, a class of their own.

They are drawn for each recording from the gaps between its labelled segments, away from their
borders, where it is uncertain when an action ends. Their lengths are those of the labelled
segments, so that a network cannot tell background by its length. The draw depends on the name of
the recording and on the list alone: training, scoring and preparing draw the same ones.

Times are whole milliseconds or frames here.
"""

import hashlib
import math
import random
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

from mixtconv._atomic_write import encoded
from mixtconv._names import composed, count_of
from mixtconv.data.listing import ListedVideo, VideoListing, unit_hash
from mixtconv.data.parallel import in_parallel, usable_cores
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.segment import Span, Stretch, segment_name

BACKGROUND = "background"
"""The class of time without a label; a list may name stretches of it as well."""

BORDER_SECONDS = Fraction(1, 2)
"""Time beside a labelled segment that is neither of its class nor background."""

LEAST_SECONDS = Fraction(1, 2)
"""Shorter gaps, and shorter rests of gaps, hold no background."""

_A_SECOND = {False: 1000, True: 25}
"""Whether segments are in frames -> units in a second, for frames an assumption."""

_Ticks = tuple[int, int]


def with_background(listing: VideoListing, rate: float) -> VideoListing:
    """Add segments of background to a listing of segments.

    The packets of every recording are listed, to know how long it is.

    Args:
        listing: segments of recordings.
        rate: segments of background for each labelled one; of all that makes, each recording has
            its share by its labelled segments. Where its gaps hold fewer, there are fewer, which
            is noted. None is drawn from a recording that a line labels as a whole.

    Raises:
        ValueError: the rate is below 0, or the listing has no segments.
    """
    if rate < 0:
        raise ValueError(f"--background is {rate:g}; give 0 or more, such as 1")
    if not rate:
        return listing
    recordings: dict[Path, list[ListedVideo]] = defaultdict(list)
    for video in listing.videos:
        recordings[video.path].append(video)
    if not any(video.span is not None for video in listing.videos):
        raise ValueError(
            f"--background draws from the time beside segments, and {listing.source} names whole "
            "videos: give a list with starts and ends, or leave it out"
        )
    cut = {
        path: videos
        for path, videos in recordings.items()
        if all(video.span is not None for video in videos)
    }
    lengths = sorted(
        round((v.span.end - v.span.start) * 1000 / (_A_SECOND[True] if v.span.in_frames else 1))
        for videos in recordings.values()
        for v in videos
        if v.span is not None and not is_background(v)
    )
    counts = _shares(cut, rate)
    free = {}
    for path, outcome in in_parallel(list(cut), lambda p: _free(cut[p]), workers=usable_cores()):
        free[path] = outcome.result()
    added: list[ListedVideo] = []
    for path, videos in cut.items():
        drawn = _draw(videos[0].recording_key, free[path], lengths, counts[path])
        added += [_listed(videos[0], span) for span in drawn]
    notes, wanted = listing.notes, sum(counts.values())
    if len(added) < wanted:
        notes += (
            f"--background {rate:g}: {count_of(len(added), 'segment')} of background, not "
            f"{wanted}, as the recordings have no more time without a label",
        )
    elif not wanted:
        notes += (
            f"--background {rate:g} of {count_of(len(lengths), 'labelled segment')} gives no "
            "segment of background: give more",
        )
    return replace(listing, videos=(*listing.videos, *added), notes=notes)


def is_background(video: ListedVideo) -> bool:
    """Whether a segment is labelled as background."""
    return video.labels == () or composed(video.class_name) == BACKGROUND


def _shares(recordings: dict[Path, list[ListedVideo]], rate: float) -> dict[Path, int]:
    """Segments of background of each recording: `rate` for each labelled one, in all and in each.

    Shares that are no whole numbers are rounded such that their sum is not: going through the
    recordings in the order of a hash of their names, each has what the sum so far lacks.
    """
    exact, sum_so_far, counts = Fraction(str(rate)), 0, {}
    order = sorted(recordings, key=lambda path: unit_hash(recordings[path][0].recording_key))
    labelled = [sum(not is_background(v) for v in recordings[path]) for path in order]
    for path, total in zip(order, accumulate(labelled), strict=True):
        counts[path] = round(exact * total) - sum_so_far
        sum_so_far += counts[path]
    return counts


@dataclass(frozen=True)
class _Free:
    """The time of a recording that is free for background."""

    gaps: list[_Ticks]
    in_frames: bool


def _free(videos: Sequence[ListedVideo]) -> _Free:
    """The free time of a recording; none of one that cannot be read, which is said elsewhere."""
    from mixtconv.video.opening import as_unreadable  # noqa: PLC0415, loads NumPy, as the next
    from mixtconv.video.segment_frames import Recording  # noqa: PLC0415

    spans = [video.span for video in videos if video.span is not None]
    in_frames = all(span.in_frames for span in spans)
    try:
        with as_unreadable(videos[0].path):
            recording = Recording(videos[0].path)
            taken = recording.stretches(spans)
            whole = Fraction(recording.num_frames) if in_frames else recording.seconds
    except UnreadableVideoError:
        return _Free([], in_frames)
    ticks = 1 if in_frames else _A_SECOND[in_frames]
    border = math.ceil(BORDER_SECONDS * _A_SECOND[in_frames])
    least = math.ceil(LEAST_SECONDS * _A_SECOND[in_frames])
    return _Free(_gaps(taken, whole, ticks=ticks, border=border, least=least), in_frames)


def _gaps(
    taken: Iterable[Stretch], whole: Fraction, *, ticks: int, border: int, least: int
) -> list[_Ticks]:
    """The stretches of `least` ticks or more, further than `border` ticks from what is taken.

    >>> taken = [(Fraction(a), Fraction(b)) for a, b in ((2, 4), (3, 5), (9, 10))]
    >>> _gaps(taken, Fraction(12), ticks=10, border=5, least=16)
    [(55, 85)]
    """
    gaps: list[_Ticks] = []
    reached, end = 0, math.floor(whole * ticks)
    for start, stop in sorted(taken):
        gaps.append((reached, min(math.floor(start * ticks) - border, end)))
        reached = max(reached, math.ceil(stop * ticks) + border)
    gaps.append((reached, end))
    return [gap for gap in gaps if gap[1] - gap[0] >= least]


def _draw(name: str, free: _Free, lengths: Sequence[int], count: int) -> list[Span]:
    """Segments of background of one recording, none over another.

    Each has the length of a labelled segment and comes into a gap, chosen by the lengths of those
    with room; what a gap is left with lies in random parts before, between and behind its segments.

    Args:
        name: of the recording.
        free: its gaps.
        lengths: in milliseconds, of all labelled segments.
        count: segments that are wanted.
    """
    digest = hashlib.sha256(encoded(composed(name))).digest()
    chance = random.Random(int.from_bytes(digest[:8], "big"))
    second = _A_SECOND[free.in_frames]
    room = [end - start for start, end in free.gaps]
    held: list[list[int]] = [[] for _ in room]
    open_ones = list(range(len(room)))
    until = list(accumulate(room))
    for _ in range(count):
        if not open_ones:
            break
        at = bisect_right(until, chance.randrange(until[-1]))
        gap = open_ones[at]
        length = max(1, lengths[chance.randrange(len(lengths))] * second // 1000)
        held[gap].append(min(length, room[gap]))
        room[gap] -= held[gap][-1]
        if room[gap] < LEAST_SECONDS * second:
            del open_ones[at]
            until = list(accumulate(free.gaps[n][1] - free.gaps[n][0] for n in open_ones))
    spans = []
    for (start, _), rest, own in zip(free.gaps, room, held, strict=True):
        parts = sorted(chance.randrange(rest + 1) for _ in own)
        begin = start
        for part, length in zip(parts, own, strict=True):
            spans.append(_span(begin + part, length, in_frames=free.in_frames))
            begin += length
    return spans


def _span(start: int, length: int, *, in_frames: bool) -> Span:
    ticks = 1 if in_frames else _A_SECOND[in_frames]
    return Span(Fraction(start, ticks), Fraction(start + length, ticks), in_frames)


def _listed(first: ListedVideo, span: Span) -> ListedVideo:
    several = first.labels is not None  # then it is no class, but time in which none holds
    return replace(
        first,
        class_name="" if several else BACKGROUND,
        labels=() if several else None,
        key=segment_name(first.recording_key, span),
        span=span,
        place=None,
    )
