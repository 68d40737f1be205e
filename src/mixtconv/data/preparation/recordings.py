"""Recordings that are prepared as a whole, and the list of their segments beside them."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mixtconv._atomic_write import write_text_atomically
from mixtconv._names import count_of, first_few
from mixtconv.data.journal import DoneVideo
from mixtconv.data.list_columns import label_column
from mixtconv.data.listing import ListedVideo, VideoListing
from mixtconv.data.preparation.form import PlannedVideo, has_own_rate
from mixtconv.data.preparation.output import prepared_list
from mixtconv.data.several_labels import SEPARATOR, SEVERAL_COLUMN
from mixtconv.video.opening import as_unreadable
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.segment import border_texts
from mixtconv.video.segment_frames import Recording


def whole_recordings(listing: VideoListing) -> VideoListing:
    """The listing with each recording once, in place of its segments.

    Raises:
        ValueError: there are no segments, or the data are a folder, which has no list.
    """
    if not any(video.span for video in listing.videos) or listing.source.is_dir():
        raise ValueError(
            f"{listing.source}: --recordings is for a list of segments, or one annotation file; "
            "leave it out for others"
        )
    first: dict[Path, ListedVideo] = {}
    for video in listing.videos:
        first.setdefault(video.path.resolve(), video)
    videos = (replace(video, span=None, key=video.recording_key) for video in first.values())
    return replace(listing, videos=tuple(videos))


def in_prepared(listing: VideoListing, prepared: Mapping[Path, DoneVideo]) -> VideoListing:
    """The segments of prepared recordings, where these have them.

    Times and numbers of frames are the same, but in a form with a rate of its own: its frames have
    other numbers, so that segments in frames become such in seconds.

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
        if span is not None and span.in_frames and has_own_rate(prepared[path].form):
            try:
                with as_unreadable(path):
                    recordings[path] = recordings.get(path) or Recording(path)
                    span = recordings[path].in_seconds(span)
            except UnreadableVideoError:
                lost.append(video.key)
                continue
        videos.append(replace(video, span=span))
    notes = listing.notes
    if lost:
        notes += (
            f"{count_of(len(lost), 'segment')} in frames, not in the new list, as the recordings "
            f"that tell when they are shown cannot be read: {first_few(lost)}",
        )
    return replace(listing, videos=tuple(videos), notes=notes)


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
