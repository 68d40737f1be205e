"""The folder that prepared videos go to: what it may be, and one run at a time in it.

The lists of a known dataset, copied beside its prepared videos, so that both are read alike.

The CSV of prepared videos, for data that a CSV lists.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mixtconv._atomic_write import write_atomically
from mixtconv._names import first_few
from mixtconv.data.listing import VideoListing
from mixtconv.data.preparation.form import PlannedVideo, PreparedForm
from mixtconv.data.preparation.journal import OWN_FILES, read_journal

_LOCK = f"{OWN_FILES}.lock"


def refuse_output(
    out: Path, listing: VideoListing, plan: Sequence[PlannedVideo], form: PreparedForm
) -> None:
    """Refuse a folder to which the videos of a listing must not go.

    Raises:
        ValueError: an original would be written over, the data would grow by what is prepared, or
            something else is there, be it the same videos in another kind of form.
    """
    _refuse_originals(out, listing, plan)
    if out.exists() and not out.is_dir():
        raise ValueError(f"--out {out} is a file; give a folder, new or empty")
    journal = read_journal(out)
    if journal is None:
        there = [entry.name for entry in out.iterdir()] if out.is_dir() else []
        if not all(name.startswith(OWN_FILES) for name in there):
            raise ValueError(
                f"--out {out} holds something else; give a folder that is new, empty, or of an "
                "earlier mixtconv prepare"
            )
        return
    names = {item.name for item in plan}
    before = [video.source for video in journal.videos.values()]
    if before and names.isdisjoint(before):
        raise ValueError(
            f"--out {out} holds the prepared videos of other data ({first_few(before)}); give "
            "another folder"
        )
    kinds = {video.form.partition("-")[0] for video in journal.videos.values()} - {form.kind}
    if kinds:
        raise ValueError(
            f"--out {out} holds videos prepared as {min(kinds)}, which would count twice beside "
            f"{form.kind}; give another folder"
        )


@contextmanager
def alone_in(out: Path) -> Iterator[None]:
    """Keep other runs out of a folder for the while; nothing is left to undo if a run is killed.

    Raises:
        ValueError: another run is at work there.
    """
    try:
        import fcntl  # noqa: PLC0415
    except ImportError:  # Windows
        yield
        return
    with (out / _LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"--out {out}: another mixtconv prepare is at work there; wait for it"
            ) from None
        yield


def _refuse_originals(out: Path, listing: VideoListing, plan: Sequence[PlannedVideo]) -> None:
    real_out, source = out.resolve(), listing.source.resolve()
    if source.is_dir() and (real_out == source or source in real_out.parents):
        raise ValueError(
            f"--out {out} lies in {listing.source}, where its videos would count as more of the "
            "data; give a folder outside"
        )
    folders = {item.video.path.parent for item in plan}
    real = {folder: folder.resolve() for folder in folders}
    originals = {real[item.video.path.parent] / item.video.path.name for item in plan}
    near = any(real_out == folder or real_out in folder.parents for folder in real.values())
    written = [out / item.target for item in plan] if near else []
    if (list_file := prepared_list(out, listing)) is not None:
        written.append(list_file)
        originals.add(source)
    for path in written:
        if path.resolve() in originals:
            raise ValueError(f"--out {out}: {path} is an original; give another folder")


def copy_lists(out: Path, listing: VideoListing) -> None:
    """Copy the lists of a dataset to where they are in the original, byte for byte.

    Args:
        out: the folder of the prepared videos.
        listing: the videos of the dataset; of other data nothing is copied.
    """
    for path in listing.lists:
        content = path.read_bytes()
        target = out / path.relative_to(listing.source)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.is_file() or target.read_bytes() != content:
            write_atomically(target, content)


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
