"""Recordings that are prepared as a whole, and the list of their segments beside them."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from mixtconv._atomic_write import write_text_atomically
from mixtconv.data.list_columns import label_column
from mixtconv.data.listing import ListedVideo, VideoListing
from mixtconv.data.preparation.form import PlannedVideo
from mixtconv.data.preparation.output import prepared_list
from mixtconv.data.several_labels import SEPARATOR, SEVERAL_COLUMN
from mixtconv.video.segment import in_words


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


def write_segments(out: Path, listing: VideoListing, prepared: Sequence[PlannedVideo]) -> None:
    """Write the list of the segments of prepared recordings, whose frames and times are the same.

    Args:
        out: the folder of the prepared recordings.
        listing: the segments.
        prepared: the recordings that are there.
    """
    path = prepared_list(out, listing)
    assert path is not None
    targets = {item.video.path.resolve(): item.target for item in prepared}
    videos = [video for video in listing.videos if video.path.resolve() in targets]
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
            times += [in_words(span.start), in_words(span.end)] if span and is_own else ["", ""]
        own = video.own_labels
        name = video.class_name if own is None else SEPARATOR.join(own)
        rest = [values[number] for values in optional.values()]
        writer.writerow([targets[video.path.resolve()], name, *times, *rest])
    write_text_atomically(path, text.getvalue(), alone=True)
