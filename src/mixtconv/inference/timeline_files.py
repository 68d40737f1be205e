"""A timeline as a file: JSON, CSV, subtitles, or the video with the labels drawn on it."""

import csv
import io
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from mixtconv._atomic_write import write_text_atomically
from mixtconv._strict_json import to_json
from mixtconv.events.event import Event
from mixtconv.inference.labelled_video import Caption, write_labelled_video
from mixtconv.inference.timeline import Segment, WindowPrediction, shown_segments
from mixtconv.video.reader import picture_start


@dataclass(frozen=True)
class Timeline:
    """The windows of one video and the segments shown for them."""

    source: str
    """Name of the video, as given."""
    windows: tuple[WindowPrediction, ...]
    """Predictions in order."""
    merge: bool = False
    """Whether adjacent segments with the same label are merged."""

    @property
    def segments(self) -> list[Segment]:
        """The labels on the screen, in order, without overlap."""
        return shown_segments(self.windows, merge=self.merge)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv predict --window --format json` prints them."""
        return {
            "source": self.source,
            "windows": [window.to_dict() for window in self.windows],
            "segments": [segment.to_dict() for segment in self.segments],
        }


def write_timeline(timeline: Timeline, path: str | Path) -> None:
    """Write a timeline in the format of the suffix: .json, .csv, .srt, .mp4 or .mkv.

    CSV has a line and SubRip a caption for each segment. For .mp4 and .mkv the video is read again.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    if text := _TEXTS.get(path.suffix.lower()):
        write_text_atomically(path, text(timeline))
    else:
        write_labelled_video(timeline.source, path, captions(timeline.segments))


def check_outputs(
    out: str | None, sources: Sequence[Path], *, of_many: Sequence[str] = ()
) -> list[Path]:
    """The files that `--out` names for what was found along one video.

    Args:
        out: one or several, with commas between them.
        sources: the videos.
        of_many: suffixes of files that hold several videos, also such that a timeline has not.

    Raises:
        ValueError: an unknown suffix, several videos, the video itself, or .mp4 and .mkv for a
            folder of pictures.

    >>> check_outputs("labels.srt,labels.mp4", [Path("clip.mp4")])
    [PosixPath('labels.srt'), PosixPath('labels.mp4')]
    """
    paths = [Path(name.strip()) for name in out.split(",")] if out is not None else []
    for path in paths:
        suffixes = dict.fromkeys((*_TEXTS, *_VIDEOS, *of_many))
        if path.suffix.lower() not in suffixes:
            allowed = ", ".join(suffixes)
            raise ValueError(f"--out is {path}; give a file that ends in {allowed}")
        if len(sources) > 1 and path.suffix.lower() not in of_many:
            hint = f"; give a file that ends in {' or '.join(of_many)}" if of_many else ""
            raise ValueError(
                f"--out is {path}, which holds one video, and there are {len(sources)}{hint}"
            )
        if path.exists() and path.samefile(sources[0]):
            raise ValueError(f"--out is the video itself, {path}; give another file")
        if sources[0].is_dir() and path.suffix.lower() in _VIDEOS:
            raise ValueError(f"{sources[0]} is a folder of pictures; a video is drawn from a file")
    return paths


def subtitles(captions: Sequence[Caption], *, delay: float = 0.0) -> str:
    """Captions as SubRip subtitles.

    Args:
        captions: in order.
        delay: seconds by the file's clock, which players show subtitles by, before the first frame.

    >>> print(subtitles([(0.0, 1.5, "wave (90 %)"), (1.5, 3661.25, "jump (50 %)")]))
    1
    00:00:00,000 --> 00:00:01,500
    wave (90 %)
    <BLANKLINE>
    2
    00:00:01,500 --> 01:01:01,250
    jump (50 %)
    <BLANKLINE>
    """
    return "\n".join(
        f"{number}\n{_clock(delay + start)} --> {_clock(delay + end)}\n{text}\n"
        for number, (start, end, text) in enumerate(captions, start=1)
    )


def captions(found: Sequence[Segment | Event]) -> list[Caption]:
    """Start, end and text of what is shown, in order without overlap; several labels are joined.

    >>> wave, walk = Segment(0.0, 2.0, "wave", 0.9, 1), Segment(1.0, 3.0, "walk", 0.5, 1)
    >>> captions([wave, walk])[1]
    (1.0, 2.0, 'wave (90 %), walk (50 %)')
    """
    borders = sorted({time for each in found for time in (each.start, each.end)})
    waiting = deque(sorted(found, key=lambda each: each.start))
    active: list[Segment | Event] = []
    shown = []
    for start, end in pairwise(borders):
        active = [each for each in active if each.end > start]
        while waiting and waiting[0].start <= start:
            active.append(waiting.popleft())
        if active:
            shown.append((start, end, ", ".join(map(caption, active))))
    return shown


def caption(found: Segment | Event) -> str:
    """The text shown on the video.

    >>> caption(Segment(0.0, 1.5, "wave", 0.9, 1))
    'wave (90 %)'
    """
    return f"{found.label} ({100 * found.score:.0f} %)"


def _clock(seconds: float) -> str:
    milliseconds = round(1000 * seconds)
    minutes, rest = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"


def _csv(timeline: Timeline) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["source", "start", "end", "label", "score", "windows"])
    for segment in timeline.segments:
        times = (f"{segment.start:.3f}", f"{segment.end:.3f}")
        score = f"{segment.score:.6f}"
        writer.writerow([timeline.source, *times, segment.label, score, segment.num_windows])
    return text.getvalue()


_TEXTS: dict[str, Callable[[Timeline], str]] = {
    ".json": lambda timeline: to_json(timeline.to_dict(), indent=2) + "\n",
    ".csv": _csv,
    ".srt": lambda timeline: subtitles(
        captions(timeline.segments), delay=float(picture_start(timeline.source))
    ),
}
"""Suffix -> the text of the file."""

_VIDEOS = (".mp4", ".mkv")
"""Suffixes of videos that the labels are drawn on."""
