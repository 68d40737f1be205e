"""The CSV of prepared videos, for data that a CSV lists."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from mixtconv._atomic_write import write_atomically
from mixtconv.data.listing import VideoListing
from mixtconv.data.preparation.plan import PlannedVideo


def prepared_list(out: Path, listing: VideoListing) -> Path | None:
    """Where the CSV of a listing goes; None if its layout is that of folders."""
    return None if listing.source.is_dir() else out / f"{listing.source.stem}.csv"


def write_prepared_list(out: Path, listing: VideoListing, videos: Sequence[PlannedVideo]) -> None:
    """Write the CSV of prepared videos, with the labels and splits of the original.

    The column `prepared_from` has the path in the original CSV: by it the split rule goes, so that
    the same videos are held out for validation.
    """
    path = prepared_list(out, listing)
    if path is None:
        return
    has_splits = any(item.video.split for item in videos)
    columns = ["path", "label", *(["split"] if has_splits else []), "prepared_from"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for item in videos:
        split = [item.video.split] if has_splits else []
        writer.writerow([item.target, item.video.class_name, *split, item.video.key])
    write_atomically(path, text.getvalue().encode())
