"""What is in the folder of prepared videos beside them, and whether a folder may be that one.

- the journal of what is done (see `data/journal.py`);
- for a known dataset, copies of its lists, so that the folder is read as the original is;
- for a CSV, the CSV of the prepared videos.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TextIO

from mixtconv._atomic_write import write_atomically, write_text_atomically
from mixtconv._names import first_few
from mixtconv.data.journal import JOURNAL, JOURNAL_FORMAT, OWN_FILES, DoneVideo, read_journal
from mixtconv.data.list_columns import label_column
from mixtconv.data.listing import VideoListing
from mixtconv.data.preparation.form import PlannedVideo, PreparedForm, kind_of
from mixtconv.data.several_labels import SEVERAL_COLUMN

LOCK = f"{OWN_FILES}.lock"
"""Name of the file by which one run at a time works in the folder."""


def refuse_output(
    out: Path, listing: VideoListing, plan: Sequence[PlannedVideo], form: PreparedForm
) -> None:
    """Refuse a folder to which the videos of a listing must not be written.

    Raises:
        ValueError: an original would be overwritten, the prepared videos would be part of the data,
            or the folder holds something else, be it the same videos in another kind of form.
    """
    _refuse_originals(out, listing, plan)
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; give a folder, new or empty")
    journal = read_journal(out)
    if journal is None:
        names = [entry.name for entry in out.iterdir()] if out.is_dir() else []
        if not all(name.startswith(OWN_FILES) for name in names):
            raise ValueError(
                f"--out {out} holds something else; give a folder that is new, empty, or of an "
                "earlier mixtconv prepare"
            )
        return
    sources = {item.name for item in plan}
    before = [video.source for video in journal.videos.values()]
    if before and sources.isdisjoint(before):
        raise ValueError(
            f"--out {out} holds the prepared videos of other data ({first_few(before)}); give "
            "another folder"
        )
    kinds = {kind_of(video.form) for video in journal.videos.values()} - {form.kind}
    if kinds:
        raise ValueError(
            f"--out {out} holds videos prepared as {min(kinds)}, which would count twice beside "
            f"{form.kind}; give another folder"
        )


def _refuse_originals(out: Path, listing: VideoListing, plan: Sequence[PlannedVideo]) -> None:
    real_out, source = out.resolve(), listing.source.resolve()
    if source.is_dir() and (real_out == source or source in real_out.parents):
        raise ValueError(
            f"--out {out} is in {listing.source}, where its videos would count as more of the "
            "data; give a folder outside"
        )
    folders = {item.video.path.parent for item in plan}
    real = {folder: folder.resolve() for folder in folders}
    originals = {real[item.video.path.parent] / item.video.path.name for item in plan}
    # Only where `out` holds originals can a target be one of them: targets are resolved only then.
    is_near = any(real_out == folder or real_out in folder.parents for folder in real.values())
    targets = [out / item.target for item in plan] if is_near else []
    if (list_file := prepared_list(out, listing)) is not None:
        targets.append(list_file)
        originals.add(source)
    for path in targets:
        if path.resolve() in originals:
            raise ValueError(f"--out {out}: {path} is an original; give another folder")


def write_journal(out: Path, videos: Iterable[DoneVideo], *, complete: bool) -> None:
    """Write the journal anew, unless it has this content already."""
    header = {"format": JOURNAL_FORMAT, "complete": complete}
    content = "".join(json.dumps(line) + "\n" for line in (header, *map(asdict, videos))).encode()
    path = out / JOURNAL
    if not path.is_file() or path.read_bytes() != content:
        write_atomically(path, content, alone=True)


def append_to_journal(file: TextIO, video: DoneVideo) -> None:
    """Enter one more video into the open journal."""
    file.write(json.dumps(asdict(video)) + "\n")
    file.flush()


def copy_lists(out: Path, listing: VideoListing) -> None:
    """Copy the lists of a dataset, byte for byte, to the same places below `out`.

    Args:
        out: the folder of the prepared videos.
        listing: the videos of the dataset; of other data nothing is copied.
    """
    for path in listing.lists:
        content = path.read_bytes()
        target = out / path.relative_to(listing.source)
        if not target.is_file() or target.read_bytes() != content:
            write_atomically(target, content, alone=True)


def prepared_list(out: Path, listing: VideoListing) -> Path | None:
    """The path of the CSV of prepared videos; None of a folder whose own layout says the labels.

    That is one of class folders, and a known dataset, whose lists are copied; annotation files in a
    folder are written anew.
    """
    source = listing.source
    if not source.is_dir():
        return out / f"{source.stem}.csv"
    is_listed = not listing.lists and any(video.place for video in listing.videos)
    return out / f"{source.resolve().name}.csv" if is_listed else None


def write_prepared_list(out: Path, listing: VideoListing, videos: Sequence[PlannedVideo]) -> None:
    """Write the CSV of prepared videos, with the labels and splits of the original.

    The column `prepared_from` has the path in the original CSV, and `group` the group of the video
    there. The split rule goes by them, so that the same videos are held out for validation.
    """
    path = prepared_list(out, listing)
    if path is None:
        return
    has_splits = any(item.video.split for item in videos)
    has_groups = any(item.video.group for item in videos)
    label = SEVERAL_COLUMN
    if not listing.several:
        label = label_column(item.video.class_name for item in videos)
    columns = ["path", label, *(["split"] if has_splits else []), "prepared_from"]
    columns += [listing.group_column or "group"] if has_groups else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    for item in videos:
        split = [item.video.split] if has_splits else []
        group = [item.video.group] if has_groups else []
        writer.writerow([item.target, item.video.class_name, *split, item.video.key, *group])
    write_text_atomically(path, text.getvalue(), alone=True)
