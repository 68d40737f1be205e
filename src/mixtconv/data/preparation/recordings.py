"""Recordings that are prepared as a whole, and the list of their segments beside them."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from math import ceil, floor
from pathlib import Path

from mixtconv._atomic_write import write_text_atomically
from mixtconv._names import count_of, first_few
from mixtconv.data.journal import DoneVideo
from mixtconv.data.list_columns import label_column
from mixtconv.data.listing import ListedVideo, VideoListing
from mixtconv.data.preparation.form import PlannedVideo, kind_of, rate_of
from mixtconv.data.preparation.output import prepared_list
from mixtconv.data.several_labels import SEPARATOR, SEVERAL_COLUMN
from mixtconv.video.opening import as_unreadable
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.segment import Span, border_texts
from mixtconv.video.segment_frames import Recording


def whole_recordings(listing: VideoListing) -> VideoListing:
    """The listing with each recording once, in place of its segments.

    Raises:
        ValueError: there are no segments.
    """
    if not any(video.span for video in listing.videos):
        raise ValueError(
            f"{listing.source}: --recordings is for a list of segments, or annotation files; leave "
            "it out for others"
        )
    first: dict[Path, ListedVideo] = {}
    for video in listing.videos:
        first.setdefault(video.path.resolve(), video)
    videos = (replace(video, span=None, key=video.recording_key) for video in first.values())
    return replace(listing, videos=tuple(videos))


def in_prepared(listing: VideoListing, prepared: Mapping[Path, DoneVideo]) -> VideoListing:
    """The segments of prepared recordings, where these have them.

    Times and numbers of frames are the same, but in forms with a rate of their own, whose frames
    have other numbers, and in folders of pictures, which have no times: see `placing`.

    Args:
        listing: the segments.
        prepared: recording, resolved -> its prepared form, for those that are there.

    Returns:
        The listing without segments of other recordings; a note says which of those that are there
        cannot be placed.
    """
    recordings: dict[Path, Recording] = {}
    videos: list[ListedVideo] = []
    lost: list[str] = []
    for video in listing.videos:
        path, span = video.path.resolve(), video.span
        if path not in prepared:
            continue
        if span is not None and (place := placing(prepared[path].form, span)) is not None:
            try:
                with as_unreadable(path):
                    recordings[path] = recordings.get(path) or Recording(path)
                    span = place(recordings[path], span)
            except UnreadableVideoError as error:
                lost.append(f"{video.key} ({error.reason})")
                continue
        videos.append(replace(video, span=span))
    notes = listing.notes
    if lost:
        notes += (
            f"{count_of(len(lost), 'segment')} not in the new list, whose frames are not known: "
            f"{first_few(lost)}",
        )
    return replace(listing, videos=tuple(videos), notes=notes)


def placing(form_name: str, span: Span) -> Callable[[Recording, Span], Span] | None:
    """How a segment is placed in a recording of a form; None where it is as it was.

    A file of another rate has the times of its original, and a folder of pictures frames alone.
    """
    rate = rate_of(form_name)
    if rate is None and span.in_frames:
        return None
    if kind_of(form_name) == "h264":
        return Recording.in_seconds if span.in_frames else None
    return partial(_in_frames, rate)


def _in_frames(rate: Fraction | None, recording: Recording, span: Span) -> Span:
    """The numbers of a segment's pictures in the folder of a recording, of a rate if given."""
    numbers = recording.numbers(span)  # of a segment behind the end, an error
    if rate is None:
        return Span(Fraction(numbers.start), Fraction(numbers.stop), in_frames=True)
    placed = recording.in_seconds(span)
    num_pictures = max(1, ceil(recording.seconds * rate))
    first, last = (ceil(border * rate) for border in (placed.start, placed.end))
    last = min(last, num_pictures)
    if first >= last:  # between two moments: the picture that is shown meanwhile
        first = min(floor(placed.start * rate), num_pictures - 1)
        last = first + 1
    return Span(Fraction(first), Fraction(last), in_frames=True)


def write_segments(out: Path, listing: VideoListing, prepared: Sequence[PlannedVideo]) -> None:
    """Write the list of the segments of prepared recordings.

    Args:
        out: the folder of the prepared recordings.
        listing: the segments, as `in_prepared` gives them.
        prepared: the recordings that are there.
    """
    path = prepared_list(out, listing)
    assert path is not None
    targets = {item.video.path.resolve(): item.target for item in prepared}
    videos = listing.videos
    in_frames = {video.span.in_frames for video in videos if video.span is not None}
    units = [unit for unit in (False, True) if unit in in_frames]
    label = SEVERAL_COLUMN
    if not listing.several:
        label = label_column(video.class_name for video in videos)
    columns = ["path", label]
    for unit in units:
        columns += ["start_frame", "end_frame"] if unit else ["start", "end"]
    optional: dict[str, list[str]] = {
        "split": [video.split or "" for video in videos],
        listing.group_column or "group": [video.group for video in videos],
    }
    optional = {name: values for name, values in optional.items() if any(values)}
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*columns, *optional])
    for number, video in enumerate(videos):
        span = video.span
        times: list[str] = []
        for unit in units:
            is_own = span is not None and span.in_frames == unit
            times += border_texts(span) if span and is_own else ["", ""]
        own = video.own_labels
        name = video.class_name if own is None else SEPARATOR.join(own)
        rest = [values[number] for values in optional.values()]
        writer.writerow([targets[video.path.resolve()], name, *times, *rest])
    write_text_atomically(path, text.getvalue(), alone=True)
