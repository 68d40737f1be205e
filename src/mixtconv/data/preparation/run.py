"""Preparing all videos of a dataset, in parallel, in as many runs as it takes.

Each video is written under a hidden name, read again, and only then given its name and entered in
the journal of the folder. So a run that is stopped, killed or out of disk space leaves only whole
videos, and the next one continues from there. Threads do the work, since FFmpeg and OpenCV release
the global interpreter lock, or processes of Ray (see `data/workers.py`).
"""

import errno
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mixtconv._folder_lock import alone_in
from mixtconv._names import count_of, first_few
from mixtconv._stopping import Stopped
from mixtconv._types import Progress
from mixtconv.data.datasets.scanning import list_videos
from mixtconv.data.journal import JOURNAL, DoneVideo, read_journal
from mixtconv.data.listing import DataSource, VideoListing
from mixtconv.data.parallel import WorkersDiedError
from mixtconv.data.preparation.encoding import WrittenVideo, encode_video
from mixtconv.data.preparation.form import (
    PlannedVideo,
    PreparedForm,
    PreparedKind,
    plan_videos,
    stat_original,
)
from mixtconv.data.preparation.output import (
    LOCK,
    append_to_journal,
    copy_lists,
    prepared_list,
    refuse_output,
    write_journal,
    write_prepared_list,
)
from mixtconv.data.preparation.pictures import flow_method, write_folder
from mixtconv.data.preparation.recordings import (
    in_prepared,
    whole_recordings,
    write_segments,
)
from mixtconv.data.workers import Backend, StopFlag, check_backend, map_videos
from mixtconv.video.opening import as_unreadable
from mixtconv.video.pictures import Unreadable, UnreadableVideoError

WRITERS: dict[PreparedKind, Callable[..., WrittenVideo]] = {
    "h264": encode_video,
    "jpeg": write_folder,
    "flow": write_folder,
}
"""Kind of form -> the function that writes a video: of the original, the target and the form."""


@dataclass(frozen=True)
class PreparationReport:
    """The result of a preparation."""

    data: Path
    """The data to train on: the folder, or the CSV in it."""
    num_prepared: int
    """Videos that this run wrote."""
    num_kept: int
    """Videos that an earlier run wrote and that are up to date."""
    unreadable: tuple[Unreadable, ...]
    """Originals that do not exist or cannot be read; they have no prepared form, or that of an
    earlier run."""
    bytes_before: int
    """Size of the originals that were prepared, in this run or an earlier one."""
    bytes_after: int
    """Size of their prepared form."""
    ignored: tuple[Path, ...]
    """Files and folders in the data that are not used."""
    notes: tuple[str, ...]
    """Sentences that the user should read."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            **vars(self),
            "data": str(self.data),
            "unreadable": [video.to_dict() for video in self.unreadable],
            "ignored": [str(path) for path in self.ignored],
            "notes": list(self.notes),
        }


def prepare(
    data: str | Path | DataSource | VideoListing,
    *,
    out: str | Path,
    form: PreparedForm | None = None,
    recordings: bool = False,
    workers: int | None = None,
    engine: Backend = "local",
    progress: Progress | None = None,
) -> PreparationReport:
    """Write all videos of a folder or a CSV to another folder, in a form that is read fast.

    Segments of recordings become a file each, or stay segments of recordings prepared as a whole.

    The new folder has the layout of the original one; for a CSV it holds a CSV of the same labels,
    for a known dataset a copy of its lists. The originals are only read. Videos that an earlier run
    has prepared are not prepared again, unless the original or the form has changed.

    Args:
        data: as for `catalog.load_catalog`, or a listing, whatever layout it was read from.
        out: folder to write to: new, empty, or of an earlier run.
        form: size, keyframes and quality; `PreparedForm()` by default.
        recordings: whether recordings are prepared as a whole, each once, and the list of their
            segments is written beside them, with the same times (also of those in frames, if the
            form has a rate of its own).
        workers: videos prepared at a time; by default one per core.
        engine: threads, or processes of Ray.
        progress: called in this thread with the videos done and the videos in all.

    Raises:
        ValueError: the data or the folder cannot be used.
        OSError: a video cannot be written; what is done by then stays done.

    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from mixtconv.video.writer import write_video
    >>> with TemporaryDirectory() as folder:
    ...     clips = Path(folder, "clips", "jump")
    ...     clips.mkdir(parents=True)
    ...     frames = [np.zeros((48, 64, 3), dtype=np.uint8)] * 12
    ...     _ = write_video(clips / "a.mkv", frames, frames_per_second=25)
    ...     report = prepare(clips.parent, out=Path(folder, "fast"))
    ...     [str(path.relative_to(report.data)) for path in report.data.glob("*/*")]
    ['jump/a.mp4']
    """
    listing = data if isinstance(data, VideoListing) else list_videos(data, keep_missing=True)
    out, form = Path(out), form or PreparedForm()
    segments = listing if recordings else None
    if recordings:
        listing = whole_recordings(listing)
    check_backend(engine, workers)
    if form.flow is not None:
        flow_method(form.flow)  # one error if OpenCV is missing, not one per video
    plan = plan_videos(listing, suffix=form.suffix)
    refuse_output(out, listing, plan, form)
    with alone_in(out, "prepare", name=LOCK):
        journal = read_journal(out)
        earlier = journal.videos if journal is not None else {}
        # Written before anything else: it marks the folder as one to continue in.
        write_journal(out, earlier.values(), complete=False)
        copy_lists(out, listing)
        for folder in {(out / item.target).parent for item in plan}:
            folder.mkdir(parents=True, exist_ok=True)
        try:
            done, reasons = _prepare_all(
                plan,
                earlier,
                _Preparer(out, form, StopFlag()),
                engine=engine,
                workers=workers,
                progress=progress or (lambda *numbers: None),
            )
        except KeyboardInterrupt as stop:
            journal = read_journal(out)
            if journal is None or not journal.videos:
                raise
            kept = f"{out} keeps {count_of(len(journal.videos), 'prepared video')}"
            raise Stopped.after(stop, kept, go_on="same") from stop
        return _finish(
            listing, plan, out, segments=segments, earlier=earlier, done=done, reasons=reasons
        )


prepare_listing = prepare
"""`prepare`, of the videos of a listing."""


def _prepare_all(
    plan: Sequence[PlannedVideo],
    earlier: Mapping[str, DoneVideo],
    preparer: "_Preparer",
    *,
    engine: Backend,
    workers: int | None,
    progress: Progress,
) -> tuple[dict[str, DoneVideo], dict[str, str]]:
    """The videos that are up to date now, and why others are not, each by target."""
    jobs = [(item, earlier.get(item.target)) for item in plan]
    done: dict[str, DoneVideo] = {}
    reasons: dict[str, str] = {}
    with (
        (preparer.out / JOURNAL).open("a", encoding="utf-8") as file,
        closing(
            map_videos(
                preparer, jobs, backend=engine, workers=workers, on_stop=preparer.is_stopped.set
            )
        ) as outcomes,
    ):
        for number, ((item, _), outcome) in enumerate(outcomes, 1):
            target = item.target
            try:
                video = outcome.result()
            except UnreadableVideoError as error:
                reasons[target] = error.reason_in(item.video.video)
            except WorkersDiedError as error:
                reasons[target] = str(error)
            else:
                done[target] = video or earlier[target]
                if video is not None:
                    append_to_journal(file, video)
            progress(number, len(plan))
    return done, reasons


def _finish(
    listing: VideoListing,
    plan: Sequence[PlannedVideo],
    out: Path,
    *,
    segments: VideoListing | None,
    earlier: Mapping[str, DoneVideo],
    done: Mapping[str, DoneVideo],
    reasons: Mapping[str, str],
) -> PreparationReport:
    """Write the list and the journal of all that is in the folder, and report."""
    # Prepared videos stay when their original has become unreadable or was deleted.
    others = {
        target: video
        for target, video in earlier.items()
        if target not in done and _is_whole(out / target, video)
    }
    videos = {**others, **done}
    keys = {item.target: item.video.key for item in plan}
    entries = (replace(video, key=keys.get(name, video.key)) for name, video in videos.items())
    there = [item for item in plan if item.target in videos]
    notes = listing.notes
    if segments is None:
        write_prepared_list(out, listing, there)
    else:
        prepared = {item.video.path.resolve(): videos[item.target] for item in there}
        segments = in_prepared(segments, prepared)
        write_segments(out, segments, there)
        notes = segments.notes
    write_journal(out, sorted(entries, key=lambda video: video.target), complete=True)
    gone = [target for target in others if target not in keys]
    if gone:
        number = count_of(len(gone), "prepared video")
        names = first_few(gone)
        notes += (f"{number} in {out} whose original is gone, to be deleted by you: {names}",)
    # A recording counts once, however many segments are cut from it.
    recordings = {item.target: item.video.path for item in plan}
    sizes = {recordings[target]: video.source_bytes for target, video in done.items()}
    num_kept = sum(video is earlier.get(target) for target, video in done.items())
    return PreparationReport(
        data=prepared_list(out, listing) or out,
        num_prepared=len(done) - num_kept,
        num_kept=num_kept,
        unreadable=tuple(
            Unreadable(item.video.video, reasons[item.target])
            for item in plan
            if item.target in reasons
        ),
        bytes_before=sum(sizes.values()),
        bytes_after=sum(video.num_bytes for video in done.values()),
        ignored=listing.ignored,
        notes=notes,
    )


@dataclass(frozen=True)
class _Preparer:
    """Prepares one video, unless an earlier run did and the original has not changed."""

    out: Path
    form: PreparedForm
    is_stopped: StopFlag

    def __call__(self, job: tuple[PlannedVideo, DoneVideo | None]) -> DoneVideo | None:
        """Prepare a video, with its entry of an earlier run; None if that is up to date."""
        item, before = job
        with as_unreadable(item.video.path):
            original = stat_original(item.video.path)
        target = self.out / item.target
        if (
            before is not None
            and before.source == item.name
            and (before.stamp, before.form) == (original.stamp, self.form.name)
            and _is_whole(target, before)
        ):
            return None
        write = WRITERS[self.form.kind]
        try:
            written = write(item.video.video, target, self.form, is_stopped=self.is_stopped)
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            reason = f"its prepared name is longer than the folder's file system allows: {target}"
            raise UnreadableVideoError(item.video.video, reason) from error
        return DoneVideo(
            target=item.target,
            source=item.name,
            key=item.video.key,
            stamp=original.stamp,
            form=self.form.name,
            num_frames=written.num_frames,
            num_bytes=written.num_bytes,
            source_bytes=original.num_bytes,
        )


def _is_whole(path: Path, video: DoneVideo) -> bool:
    """Whether a prepared file or folder has the size that the journal gives it."""
    try:
        files = list(path.iterdir()) if path.is_dir() else [path]
        return sum(file.stat().st_size for file in files) == video.num_bytes
    except OSError:
        return False
