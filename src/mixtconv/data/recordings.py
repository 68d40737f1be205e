"""Recordings with all that is annotated in them, from the segments that data list.

Each frame of a recording then has a label of its own: `frame_targets`. For training, clips lie
anywhere in a recording, `parts_of`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

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


def frame_targets(
    recording: Recording, times: Sequence[Fraction], *, num_classes: int, nothing: int
) -> npt.NDArray[np.float32]:
    """What frames show, as shares of the classes: (T, K), each row with the sum 1.

    A frame has the classes of all stretches that it is shown in, in equal shares; in none it has
    the class of nothing.

    Args:
        recording: what is annotated.
        times: (T,), when each frame is first shown.
        num_classes: K.
        nothing: the class of frames without another one.

    >>> stretches = (Stretch(1, Fraction(2), Fraction(4)),)
    >>> recording = Recording(Path("a.mp4"), "a.mp4", Fraction(9), stretches)
    >>> frame_targets(recording, [Fraction(1), Fraction(3)], num_classes=2, nothing=0).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    targets = np.zeros((len(times), num_classes), np.float32)
    for each in recording.stretches:
        for place, time in enumerate(times):
            if each.start <= time < each.end:
                targets[place, each.label] = 1
    targets[~targets.any(axis=1), nothing] = 1
    return targets / targets.sum(axis=1, keepdims=True)


def parts_of(
    recording: Recording, seconds: Fraction, *, nothing: int, overlap: bool
) -> tuple[VideoSample, ...]:
    """Parts of a recording, one after the other to its end, each for a clip.

    The label of a part is that of most of its annotated time, or nothing where none is.

    Args:
        recording: what is annotated.
        seconds: length of a clip.
        nothing: the class of time without a label.
        overlap: whether each part is as long as two clips, so that a random clip in it is anywhere;
            else as long as one.

    >>> stretches = (Stretch(1, Fraction(2), Fraction(4)),)
    >>> recording = Recording(Path("a.mp4"), "a.mp4", Fraction(9), stretches)
    >>> parts = parts_of(recording, Fraction(4), nothing=0, overlap=False)
    >>> [(str(part.span), part.label) for part in parts]
    [('t=0,4', 1), ('t=4,8', 0)]
    """
    count = max(1, int(recording.seconds // seconds) - overlap)
    parts = []
    for number in range(count):
        start, end = number * seconds, (number + 1 + overlap) * seconds
        if count == 1 or (overlap and number == count - 1):
            end = max(recording.seconds, start + 1)
        held: dict[int, Fraction] = {}
        for each in recording.stretches:
            both = min(end, each.end) - max(start, each.start)
            held[each.label] = held.get(each.label, Fraction(0)) + max(both, Fraction(0))
        best = max(held, key=held.__getitem__, default=nothing)
        span = Span(start, end)
        parts.append(
            VideoSample(
                recording.path,
                best if held.get(best) else nothing,
                key=f"{recording.key}#{span}",
                span=span,
                recording=recording.key,
                annotated=recording,
            )
        )
    return tuple(parts)
