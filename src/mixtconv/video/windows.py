"""Sliding windows over a long video, and their views, in one pass over its frames.

Window k covers the times from k * stride to k * stride + length; it contains the frames whose times
are in that range. Times are exact, as stored in the file, counted from the first frame, so that a
variable frame rate is handled; or they are frame numbers.

    length 4, stride 2      |0.......4|
                                 |2.......6|
                                      |4.......8|
                                           |6..... the video ends here

Of every frame only the part that its views need is kept, until the last window with it is complete.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from operator import attrgetter
from pathlib import Path
from typing import Any, Generic

from mixtconv.video.crops import scoring_side
from mixtconv.video.folder import list_frames, load_pictures
from mixtconv.video.in_memory import VideoFrames
from mixtconv.video.timing import Kept, TimedItem, timed_frames
from mixtconv.video.views import ViewReader

_DURATION = re.compile(r"(\d+(?:\.\d+)?|\.\d+)(s|f|ms|m)?")
_SECONDS = {"s": Fraction(1), None: Fraction(1), "ms": Fraction(1, 1000), "m": Fraction(60)}


@dataclass(frozen=True)
class WindowPlan:
    """Length of the windows and the distance between their starts."""

    length: Fraction
    """In seconds, or in frames."""
    stride: Fraction
    """From the start of one to the start of the next, in the same unit."""
    in_frames: bool = False
    """Whether both are in frames."""

    def __post_init__(self) -> None:
        for flag, value in (("--window", self.length), ("--stride", self.stride)):
            if value <= 0:
                raise ValueError(f"{flag} is {float(value):g}; give more than 0")

    @classmethod
    def parse(cls, length: str, stride: str | None = None) -> "WindowPlan":
        """Read durations such as `4s`, `1.5s`, `500ms`, `2m` or `32f` (frames).

        Without a stride, windows follow each other without overlap.

        Raises:
            ValueError: no such duration, or one in seconds and the other in frames.

        >>> WindowPlan.parse("4s", "500ms")
        WindowPlan(length=Fraction(4, 1), stride=Fraction(1, 2), in_frames=False)
        """
        window, in_frames = _duration("--window", length)
        step, step_in_frames = _duration("--stride", length if stride is None else stride)
        if in_frames != step_in_frames:
            raise ValueError(
                f"--window is {length} and --stride {stride}; give both in seconds or both in "
                "frames"
            )
        return cls(window, step, in_frames)


def _duration(flag: str, text: str) -> tuple[Fraction, bool]:
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{flag} is {text!r}; give seconds such as 4s, or frames such as 32f")
    value, unit = Fraction(match[1]), match[2]
    if unit == "f":
        if value.denominator != 1:
            raise ValueError(f"{flag} is {text!r}; give a whole number of frames")
        return value, True
    return value * _SECONDS[unit], False


@dataclass(frozen=True)
class Window(Generic[Kept]):
    """The frames of one window."""

    start: Fraction
    """Seconds from the first frame; in frames, that of the first frame of the window."""
    end: Fraction
    """End in seconds; the video's end if that comes first."""
    frames: tuple[TimedItem[Kept], ...]
    """Its frames, at least one."""
    is_whole: bool
    """Whether the video continues to its end."""


def windows(items: Iterable[TimedItem[Kept]], plan: WindowPlan) -> Iterator[Window[Kept]]:
    """The windows of a video, each as soon as the first frame behind it has arrived.

    Frames are held for one window's length. A window without a frame is left out. If the video ends
    within windows, the first of them is yielded with the frames that there are, provided that one
    is in no earlier window: so every frame that is not between two windows is in one, and a video
    shorter than a window is one window.

    Args:
        items: the frames in order, with times that do not decrease.
        plan: length and stride.

    >>> frames = [TimedItem(n, Fraction(n), Fraction(n + 1), None) for n in range(7)]
    >>> [[f.number for f in w.frames] for w in windows(frames, WindowPlan.parse("4s", "2s"))]
    [[0, 1, 2, 3], [2, 3, 4, 5], [4, 5, 6]]
    """
    position = attrgetter("number" if plan.in_frames else "seconds")
    held: deque[TimedItem[Kept]] = deque()  # frames at or after the start of window `index`
    index, newest_given = 0, -1

    def frames_from(start: Fraction) -> tuple[TimedItem[Kept], ...]:
        return tuple(item for item in held if start <= position(item) < start + plan.length)

    for last in items:
        # Every window that ends at or before this frame is complete.
        while position(last) >= index * plan.stride + plan.length:
            start = index * plan.stride
            inside = frames_from(start)
            if inside:
                yield _window(inside, plan, start, goes_on=True)
                newest_given = inside[-1].number
            # The next window: frames before its start are in no later window either.
            index += 1
            while held and position(held[0]) < index * plan.stride:
                held.popleft()
            # After a gap in the times, skip the empty windows: continue with the first one that
            # contains this frame, which is the first to end after it.
            if not held:
                gap = position(last) - plan.length
                index = max(index, int(gap // plan.stride) + 1 if gap >= 0 else 0)
        # With a stride longer than the windows, a frame may be between two of them.
        if position(last) >= index * plan.stride:
            held.append(last)
    # The video has ended: the windows that are still open get the frames that there are, but none
    # that only repeats the end of an earlier window.
    while held:
        start = index * plan.stride
        inside = frames_from(start)
        if inside and inside[-1].number > newest_given:
            yield _window(inside, plan, start, goes_on=False)
            newest_given = inside[-1].number
        index += 1
        while held and position(held[0]) < index * plan.stride:
            held.popleft()


def _window(
    inside: tuple[TimedItem[Kept], ...], plan: WindowPlan, start: Fraction, *, goes_on: bool
) -> Window[Kept]:
    if plan.in_frames:
        whole = len(inside) == plan.length
        return Window(inside[0].seconds, inside[-1].end_seconds, inside, whole)
    end = start + plan.length
    if goes_on:
        return Window(start, end, inside, True)
    return Window(start, min(end, inside[-1].end_seconds), inside, inside[-1].end_seconds >= end)


def window_views(
    reader: ViewReader, video: Path | VideoFrames, plan: WindowPlan
) -> Iterator[tuple[Window[Any], Any]]:
    """Every window and its views, each as soon as its last frame is decoded.

    Raises:
        UnreadableVideoError: the video has no readable frame.
        ValueError: windows in seconds over pictures without times, or a model of optical flow.
    """
    if reader.spec.modality in ("flow", "rgbflow"):
        raise ValueError(
            "the model takes optical flow, which videos do not hold; leave --window out, or use a "
            "model of modality rgb, rgbdiff or motion"
        )
    for window in windows(_kept_frames(reader, video, plan), plan):
        yield window, reader.views_of([frame.kept for frame in window.frames])


def _kept_frames(
    reader: ViewReader, video: Path | VideoFrames, plan: WindowPlan
) -> Iterator[TimedItem[Any]]:
    """The part of every frame that the reader keeps, with its time."""
    if isinstance(video, VideoFrames):
        if plan.in_frames and video.frames_per_second is None:
            video = replace(video, frames_per_second=1)  # as pictures without times
        for item in video.timed():
            kept = reader.keep(item.kept)
            yield TimedItem(item.number, item.seconds, item.end_seconds, kept)
        return
    if video.is_dir():
        if not plan.in_frames:
            raise ValueError(
                f"{video} is a folder of pictures, which have no times; give --window and --stride "
                "in frames, such as 32f"
            )
        names, side = list_frames(video), scoring_side(reader.spec.image_size)
        for number in range(len(names)):
            [picture] = load_pictures(video, names, (number,), least_short_side=side)
            time = Fraction(number)
            yield TimedItem(number, time, time + 1, reader.keep(picture))
        return
    for frame in timed_frames(video):
        kept = reader.keep(frame.kept.to_rgb())
        yield TimedItem(frame.number, frame.seconds, frame.end_seconds, kept)
