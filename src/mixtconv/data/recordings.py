"""Recordings with all that is annotated in them, from the segments that data list.

Each frame of a recording then has a label of its own: `frame_targets`. For training, clips lie
anywhere in a recording, `parts_of`.
"""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtconv._names import count_of, first_few
from mixtconv.data.listing import Label, VideoSample, labels_of
from mixtconv.data.parallel import in_parallel, usable_cores
from mixtconv.video.opening import as_unreadable
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.segment import Span, recording_name, segment_name
from mixtconv.video.segment_frames import Recording

logger = logging.getLogger(__name__)


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
class AnnotatedRecording:
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
    late: tuple[Span, ...] = ()
    """What is annotated beyond its end, as the data give it."""


_ASSUMED_RATE = 25
"""Frames a second of a recording that cannot be read."""

_WHOLE = Span(Fraction(0), Fraction(1))
"""In place of the span of a whole video, of which only the start counts; in seconds, so that all
others are placed in seconds, too."""


def annotated_recordings(
    samples: Iterable[VideoSample], *, without: Sequence[int] = ()
) -> tuple[AnnotatedRecording, ...]:
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
    if late := [f"{each.key}#{span}" for each in recordings for span in each.late]:
        logger.warning(
            "%s beyond the end of the recording, which nothing can be found in: %s",
            count_of(len(late), "segment"),
            first_few(late),
        )
    return tuple(
        replace(each, stretches=tuple(s for s in each.stretches if s.label not in without))
        for each in recordings
    )


def _recording(samples: tuple[VideoSample, ...]) -> AnnotatedRecording:
    path, key = samples[0].path, recording_name(samples[0].key)
    spans = [sample.span or _WHOLE for sample in samples]
    error, late = None, list[Span]()
    try:
        with as_unreadable(path):
            recording = Recording(path)
            seconds = Fraction(0) if path.is_dir() else recording.seconds
            placed = recording.stretches([*spans, _WHOLE]) if seconds else []
            late = [
                each.span for each in samples if each.span and not _reaches(recording, each.span)
            ]
    except UnreadableVideoError as failure:
        error = str(failure)
        placed = [
            (span.start / _ASSUMED_RATE, span.end / _ASSUMED_RATE)
            if span.in_frames
            else (span.start, span.end)
            for span in spans
        ]
        seconds = max(end for _, end in placed)
    stretches = [
        Stretch(label, start, _end(sample, start, end, seconds))
        for sample, (start, end) in zip(samples, placed, strict=False)
        for label in (labels_of(sample.label) if sample.own_labels is None else sample.own_labels)
    ]
    kept = (each for each in stretches if each.end > each.start)
    ordered = sorted(kept, key=lambda each: (each.start, each.end, each.label))
    return AnnotatedRecording(path, key, seconds, tuple(ordered), error, tuple(dict.fromkeys(late)))


def _reaches(recording: Recording, span: Span) -> bool:
    try:
        return recording.reaches(span)
    except UnreadableVideoError:  # all of it is beyond the end
        return False


def _end(sample: VideoSample, start: Fraction, end: Fraction, seconds: Fraction) -> Fraction:
    """The end of a stretch; one that is all beyond the recording stays, and cannot be found."""
    if sample.span is None:
        return seconds
    return min(end, seconds) if start < seconds else end


def frame_targets(
    recording: AnnotatedRecording,
    times: Sequence[Fraction],
    *,
    num_classes: int,
    nothing: int | None,
) -> npt.NDArray[np.float32]:
    """What frames show, float32 (T, K).

    Of several labels, 1 for the classes of all stretches that a frame is shown in. Else shares of
    the classes, with the sum 1: equal ones of those; in none the class of nothing.

    Args:
        recording: what is annotated.
        times: (T,), when each frame is first shown.
        num_classes: K.
        nothing: the class of frames without another one; None where frames may have several labels
            or none.

    >>> stretches = (Stretch(1, Fraction(2), Fraction(4)),)
    >>> recording = AnnotatedRecording(Path("a.mp4"), "a.mp4", Fraction(9), stretches)
    >>> frame_targets(recording, [Fraction(1), Fraction(3)], num_classes=2, nothing=0).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    targets = np.zeros((len(times), num_classes), np.float32)
    first, last = min(times), max(times)
    for each in recording.stretches:
        if each.end <= first or each.start > last:
            continue
        for place, time in enumerate(times):
            if each.start <= time < each.end:
                targets[place, each.label] = 1
    if nothing is None:
        return targets
    targets[~targets.any(axis=1), nothing] = 1
    return targets / targets.sum(axis=1, keepdims=True)


def seconds_of(recording: AnnotatedRecording, *, nothing: int | None) -> dict[int, Fraction]:
    """How long each class lasts in a recording.

    Args:
        recording: what is annotated.
        nothing: the class of the time without another one, if there is one.

    >>> stretches = Stretch(1, Fraction(2), Fraction(4)), Stretch(2, Fraction(3), Fraction(5))
    >>> recording = AnnotatedRecording(Path("a.mp4"), "a.mp4", Fraction(9), stretches)
    >>> {label: int(seconds) for label, seconds in seconds_of(recording, nothing=0).items()}
    {1: 2, 2: 2, 0: 6}
    """
    lengths: dict[int, Fraction] = {}
    reached, free = Fraction(0), Fraction(0)
    for each in recording.stretches:  # by start
        lengths[each.label] = lengths.get(each.label, Fraction(0)) + each.end - each.start
        free += max(each.start - reached, Fraction(0))
        reached = max(reached, each.end)
    if nothing is not None:
        lengths[nothing] = free + max(recording.seconds - reached, Fraction(0))
    return lengths


def parts_of(
    recording: AnnotatedRecording,
    seconds: Fraction,
    *,
    num_classes: int,
    nothing: int | None,
    overlap: bool,
) -> tuple[VideoSample, ...]:
    """Parts of a recording, one after the other to its end, each for a clip.

    The label of a part is that of most of its annotated time, or nothing where none is; of several
    labels, all that are annotated in it.

    Args:
        recording: what is annotated.
        seconds: length of a clip.
        num_classes: K.
        nothing: as for `frame_targets`.
        overlap: whether each part is as long as two clips, so that a random clip in it is anywhere;
            else as long as one.

    >>> stretches = (Stretch(1, Fraction(2), Fraction(4)),)
    >>> recording = AnnotatedRecording(Path("a.mp4"), "a.mp4", Fraction(9), stretches)
    >>> parts = parts_of(recording, Fraction(4), num_classes=2, nothing=0, overlap=False)
    >>> [(str(part.span), part.label) for part in parts]
    [('t=0,4', 1), ('t=4,8', 0)]
    """
    count = max(1, int(recording.seconds // seconds) - overlap)
    parts = []
    ahead, within = list(reversed(recording.stretches)), list[Stretch]()
    for number in range(count):
        start, end = number * seconds, (number + 1 + overlap) * seconds
        if count == 1 or (overlap and number == count - 1):
            end = max(recording.seconds, start + 1)
        within = [each for each in within if each.end > start]
        while ahead and ahead[-1].start < end:
            within.append(ahead.pop())
        held: dict[int, Fraction] = {}
        for each in within:
            both = min(end, each.end) - max(start, each.start)
            held[each.label] = held.get(each.label, Fraction(0)) + max(both, Fraction(0))
        present = [label for label, time in held.items() if time]
        own: Label
        if nothing is None:
            own = tuple(int(label in present) for label in range(num_classes))
        else:
            own = max(present, key=held.__getitem__, default=nothing)
        span = Span(start, end)
        parts.append(
            VideoSample(
                recording.path,
                own,
                key=segment_name(recording.key, span),
                span=span,
                recording=recording.key,
                annotated=recording,
            )
        )
    return tuple(parts)
