"""Events as files: CSV that is data again, JSON, subtitles, a page, or the video with captions."""

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixtconv._atomic_write import write_text_atomically
from mixtconv._strict_json import to_json
from mixtconv.events.curves import ScoreCurves
from mixtconv.events.event import Event
from mixtconv.events.settings import EventSettings
from mixtconv.inference.labelled_video import write_labelled_video
from mixtconv.inference.prediction_tables import relative_path
from mixtconv.inference.timeline_files import captions, subtitles
from mixtconv.video.reader import picture_start


@dataclass(frozen=True)
class RecordingEvents:
    """The events of a video, or why it cannot be read."""

    source: str
    """Name of the video, as given."""
    events: tuple[Event, ...] = ()
    """By start."""
    error: str | None = None
    """Why it cannot be read."""
    curves: ScoreCurves | None = field(default=None, compare=False)
    """The scores, for a page."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv predict --events --format json` prints them."""
        values = {"source": self.source, "events": [event.to_dict() for event in self.events]}
        return values | {"error": self.error} if self.error else values


def write_events(
    found: Sequence[RecordingEvents], path: str | Path, *, settings: EventSettings
) -> None:
    """Write events in the format of the suffix: .csv, .json, .html, .srt, .mp4 or .mkv.

    The CSV is a list of segments, `video,label,start,end,score`, with paths that start from its
    folder: other commands read it as data. The page names the videos from its folder too.
    Subtitles and captions are of one video.

    Args:
        found: the events of videos.
        path: the file.
        settings: by which they were found, whose thresholds the page shows.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    if text := _TEXTS.get(path.suffix.lower()):
        write_text_atomically(path, text(found, path))
        return
    if path.suffix.lower() == PAGE:
        write_text_atomically(path, _page(found, path, settings))
        return
    [one] = found
    write_labelled_video(one.source, path, captions(one.events))


def _csv(found: Sequence[RecordingEvents], path: Path) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["video", "label", "start", "end", "score"])
    for one in found:
        video = relative_path(Path(one.source), path.parent)
        for event in one.events:
            times = f"{event.start:.3f}", f"{event.end:.3f}"
            writer.writerow([video, event.label, *times, f"{event.score:.4f}"])
    return text.getvalue()


def _json(found: Sequence[RecordingEvents], path: Path) -> str:
    return to_json([one.to_dict() for one in found], indent=2) + "\n"


def _subtitles(found: Sequence[RecordingEvents], path: Path) -> str:
    [one] = found
    return subtitles(captions(one.events), delay=float(picture_start(one.source)))


def _page(found: Sequence[RecordingEvents], path: Path, settings: EventSettings) -> str:
    # with them comes matplotlib, which other files do not need
    from mixtconv.detection.page import recording_timeline  # noqa: PLC0415
    from mixtconv.visualization.event_page import render_event_page  # noqa: PLC0415

    timelines = [
        recording_timeline(
            Path(one.source),
            one.events,
            settings,
            curves=one.curves,
            folder=path.parent,
            error=one.error,
        )
        for one in found
    ]
    title = f"Events of {Path(found[0].source).name}" if len(found) == 1 else "Events"
    return render_event_page(timelines, title=title)


_TEXTS: dict[str, Callable[[Sequence[RecordingEvents], Path], str]] = {
    ".csv": _csv,
    ".json": _json,
    ".srt": _subtitles,
}
"""Suffix -> the text of the file."""

PAGE = ".html"
"""Suffix of the page."""

OF_MANY = (".csv", ".json", PAGE)
"""Suffixes of files that hold the events of several videos."""
