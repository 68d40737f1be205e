"""Recordings with all that is annotated in them, from the segments that data list."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from mixtconv.data.listing import VideoSample
from mixtconv.data.parallel import in_parallel, usable_cores
from mixtconv.video.opening import as_unreadable
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.segment import Span, recording_name
from mixtconv.video.segment_frames import extent, frame_times


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a recording with a class."""

    label: int
    """Index of its class."""
    start: Fraction
    """Seconds from the first frame."""
    end: Fraction
    """Seconds."""


@dataclass(frozen=True)
class Recording:
    """A recording and what is annotated in it."""

    path: Path
    """The file."""
    key: str
    """Its name in the data."""
    seconds: Fraction
    """Its length; of one that cannot be read, the last annotated moment."""
    stretches: tuple[Stretch, ...]
    """What is annotated, by start; it may overlap."""
    error: str | None = None
    """Why it cannot be read."""

    def labels_at(self, time: Fraction) -> tuple[int, ...]:
        """The classes of a moment, each once, in order."""
        reached = bisect_right([each.start for each in self.stretches], time)
        held = {each.label for each in self.stretches[:reached] if time < each.end}
        return tuple(sorted(held))


def annotated_recordings(
    samples: Iterable[VideoSample], *, without: Sequence[int] = ()
) -> tuple[Recording, ...]:
    """The recordings of samples, in their order, each with all its segments.

    The packets of each are listed, for its length and for the times of frames.

    Args:
        samples: segments, or whole videos, which are one stretch from end to end.
        without: labels that mean that there is nothing, such as that of background.
    """
    of_file: dict[Path, list[VideoSample]] = {}
    for sample in samples:
        of_file.setdefault(sample.path.resolve(), []).append(sample)
    groups = [tuple(group) for group in of_file.values()]
    outcomes = dict(in_parallel(groups, _recording, workers=usable_cores()))
    recordings = [outcomes[group].result() for group in groups]
    return tuple(
        Recording(
            each.path,
            each.key,
            each.seconds,
            tuple(stretch for stretch in each.stretches if stretch.label not in without),
            each.error,
        )
        for each in recordings
    )


def _recording(samples: tuple[VideoSample, ...]) -> Recording:
    path, key = samples[0].path, recording_name(samples[0].key)
    error = None
    try:
        with as_unreadable(path):
            seconds = extent(path)[0]
            times: Sequence[Fraction] = () if path.is_dir() else frame_times(path)
    except UnreadableVideoError as failure:
        error, times = str(failure), ()
        ends = [each.span.end for each in samples if each.span and not each.span.in_frames]
        seconds = max(ends, default=Fraction(0))
    stretches = [
        Stretch(sample.label, *_seconds(sample.span, times, seconds)) for sample in samples
    ]
    kept = (each for each in stretches if each.end > each.start)
    return Recording(
        path, key, seconds, tuple(sorted(kept, key=lambda each: (each.start, each.end))), error
    )


def _seconds(
    span: Span | None, times: Sequence[Fraction], seconds: Fraction
) -> tuple[Fraction, Fraction]:
    """A span in seconds, within its recording; nothing of one in frames that cannot be read."""
    if span is None:
        return Fraction(0), seconds
    if not span.in_frames:
        return span.start, min(span.end, seconds)
    start, end = (
        times[int(number)] if number < len(times) else seconds for number in (span.start, span.end)
    )
    return start, end
