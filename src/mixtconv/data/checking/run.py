"""Checking a whole dataset, in parallel: its lists, its labels and every video."""

from contextlib import closing
from dataclasses import replace
from pathlib import Path

from mixtconv._names import count_of
from mixtconv._types import Progress
from mixtconv.data.background import with_background
from mixtconv.data.checking.report import CheckReport, sum_up
from mixtconv.data.checking.sides import sides_of
from mixtconv.data.checking.video import (
    CheckedVideo,
    VideoToCheck,
    check_video,
    unreadable_video,
)
from mixtconv.data.datasets.scanning import scan_videos
from mixtconv.data.listing import DataSource, VideoListing
from mixtconv.data.parallel import WorkersDiedError
from mixtconv.data.workers import Backend, check_backend, map_videos
from mixtconv.models.spec import Modality
from mixtconv.video.segment import Span


def check(
    data: str | Path | DataSource,
    *,
    min_frames: int = 2,
    modality: Modality | None = None,
    quick: bool = False,
    workers: int | None = None,
    engine: Backend = "local",
    progress: Progress | None = None,
) -> CheckReport:
    """Find everything in a dataset that cannot be used as it is; nothing is written.

    Args:
        data: as for `catalog.load_catalog`.
        min_frames: videos with fewer frames are too short.
        modality: what a model sees of the videos; those of another modality are unreadable. By
            default each may be a video or its optical flow.
        quick: count packets and decode the first frame, as before training, instead of every frame.
        workers: videos checked at a time; by default one per core.
        engine: threads, or processes of Ray.
        progress: called in this thread with the videos done and the videos in all.

    Raises:
        ValueError: the data cannot be used at all.

    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from mixtconv.video.writer import write_video
    >>> with TemporaryDirectory() as folder:
    ...     clips = Path(folder, "jump")
    ...     clips.mkdir()
    ...     frames = [np.zeros((48, 64, 3), np.uint8)] * 3
    ...     _ = write_video(clips / "a.mkv", frames, frames_per_second=25)
    ...     (clips / "b.mkv").touch()
    ...     report = check(folder, workers=1)
    >>> [(fault.kind, fault.video, fault.reason) for fault in report.faults]
    [('unreadable', 'jump/b.mkv', 'the file is empty (0 bytes)')]
    """
    if min_frames < 1:
        raise ValueError(f"--min-frames is {min_frames}; give 1 or more")
    check_backend(engine, workers)
    listing = scan_videos(data)
    if not listing.videos and not listing.faults:
        raise ValueError(f"{listing.source}: its lists name no videos; take them as distributed")
    spans: dict[Path, list[Span]] = {video.path: [] for video in listing.videos}
    for video in listing.videos:
        spans[video.path] += [] if video.span is None else [video.span]
    videos = [
        VideoToCheck(path, min_frames, modality, quick, tuple(own)) for path, own in spans.items()
    ]
    checked: dict[Path, CheckedVideo] = {}
    # Closed at once by Ctrl-C, so that it does not wait for the whole queue.
    with closing(map_videos(check_video, videos, backend=engine, workers=workers)) as outcomes:
        for item, outcome in outcomes:
            try:
                checked[item.path] = outcome.result()
            except WorkersDiedError as error:
                checked[item.path] = unreadable_video(item.path, str(error))
            if progress is not None:
                progress(len(checked), len(videos))
    report = sum_up(listing, checked, sides=sides_of(listing))
    rate = data.background if isinstance(data, DataSource) else None
    return report if not rate else _with_background(report, listing, rate)


def _with_background(report: CheckReport, listing: VideoListing, rate: float) -> CheckReport:
    """The report with how much background the commands that take --background would add."""
    added = with_background(listing, rate)
    drawn = added.videos[len(listing.videos) :]
    sources = len({video.path for video in drawn})
    segments = count_of(len(drawn), "segment")
    note = f"--background {rate:g} adds {segments} of {count_of(sources, 'recording')}"
    fewer = added.notes[len(listing.notes) :]
    return replace(report, notes=(*report.notes, note, *fewer))
