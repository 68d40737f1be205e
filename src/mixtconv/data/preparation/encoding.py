"""Writing one video again as H.264, of which single frames are read fast; it is read again first.

`fitted_frames` are what every form is made from: the frames as the reader gives them, upright, in
RGB, in the number and order of decoding the whole source. A smaller size is reached with the filter
that resizes clips for scoring.
"""

import errno
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from mixtconv._atomic_write import written_whole
from mixtconv._types import Frame
from mixtconv.data.preparation.form import PreparedForm
from mixtconv.video.decoding import decode_plain
from mixtconv.video.opening import as_unreadable, open_video
from mixtconv.video.packet_table import read_packet_table
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.reader import DEFAULT_RATE, frame_rate, has_constant_rate
from mixtconv.video.segment import Segment, Video, recording_of
from mixtconv.video.segment_frames import Recording, iterate_timed, iterate_video
from mixtconv.video.timing import at_constant_rate, timed_frames
from mixtconv.video.writer import Encoding, EncodingError, write_video


class StoppedError(Exception):
    """Writing was stopped by its caller."""


@dataclass(frozen=True)
class WrittenVideo:
    """Facts about a video that was written."""

    num_frames: int
    num_bytes: int


def fitted_frames(
    source: Video,
    form: PreparedForm,
    is_stopped: Callable[[], bool],
    *,
    times: deque[Fraction] | None = None,
) -> Generator[Frame, None, None]:
    """All frames of a video at the size of a form, RGB (H, W, 3).

    Args:
        source: a video file or a folder of pictures, or a segment of one.
        form: has the size and the rate.
        is_stopped: asked before every frame.
        times: of a file, gets the time of each frame before it, in seconds; of a form without a
            rate.

    Raises:
        UnreadableVideoError: any error in reading.
        StoppedError: `is_stopped`, which is asked before every frame, returned True.
    """
    with as_unreadable(recording_of(source)):
        for frame in _frames_of(source, form, times):
            if is_stopped():
                raise StoppedError
            yield fitted(frame, *form.size(*frame.shape[:2]))


def _frames_of(source: Video, form: PreparedForm, times: deque[Fraction] | None) -> Iterator[Frame]:
    if form.rate is not None:
        yield from _at_rate(source, form.rate)
    elif times is None:
        yield from iterate_video(source)
    else:
        for seconds, to_rgb in _timed(source):
            times.append(seconds)
            yield to_rgb()


def _at_rate(source: Video, rate: Fraction) -> Iterator[Frame]:
    """The frames of a video that are shown at each moment of a constant rate."""
    recording = recording_of(source)
    if recording.is_dir():
        raise UnreadableVideoError(
            source, "a folder of pictures, which have no times: prepare it without --fps"
        )
    if isinstance(source, Segment):  # its last frame is shown to its end
        last_seconds = Recording(recording).last_seconds(source.span)
    else:
        last_seconds = 1 / (frame_rate(recording) or DEFAULT_RATE)
    try:
        for to_rgb in at_constant_rate(_timed(source), rate, last_seconds=last_seconds):
            yield to_rgb()
    except UnreadableVideoError:
        raise
    except ValueError as error:
        raise UnreadableVideoError(source, str(error)) from error


def _timed(source: Video) -> Iterator[tuple[Fraction, Callable[[], Frame]]]:
    """All frames of a file or a segment, each with its time in seconds from the first one.

    They are converted when they are asked for.
    """
    if isinstance(source, Segment):
        for seconds, picture in iterate_timed(source):
            yield seconds, partial(np.asarray, picture)
        return
    for frame in timed_frames(recording_of(source)):
        yield frame.seconds, frame.kept.to_rgb


def fitted(frame: Frame, height: int, width: int) -> Frame:
    """The frame at a given size: cropped if it is one pixel larger, else resized."""
    if frame.shape[0] - height in (0, 1) and frame.shape[1] - width in (0, 1):
        return frame[:height, :width]
    # As clips are resized for scoring; Pillow, unlike torch, starts no threads of its own.
    image = Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image)


# Every keyframe is an entry of the packet table (IDR, closed), and a decoder has the least to do.
# What looks ahead is off, so that the same frames give the same bytes, see `video/writer.py`.
_X264 = (
    "min-keyint={distance}:scenecut=0:open-gop=0:bframes=0:cabac=0:no-deblock=1:weightp=0:"
    "rc-lookahead=0:mbtree=0"
)
_PRESET = "veryfast"  # "medium" takes 2.5 times as long for files of the same size


def encode_video(
    source: Video,
    target: Path,
    form: PreparedForm,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
) -> WrittenVideo:
    """Write a video again; the target appears only when it is whole and on the disk.

    Args:
        source: a video file or a folder of pictures, or a segment of one.
        target: an MP4 file in a folder that exists; one that is there is replaced.
        form: size, keyframes and quality.
        is_stopped: asked before every frame.

    Raises:
        UnreadableVideoError: no frame of the source can be decoded, or not all.
        OSError: the target cannot be written.
        StoppedError: `is_stopped` returned True.
    """
    with written_whole(target) as unfinished:
        num_frames = _encode(source, unfinished, form, is_stopped)
        _check(unfinished, form, num_frames)
        num_bytes = unfinished.stat().st_size
    return WrittenVideo(num_frames, num_bytes)


def _encode(source: Video, target: Path, form: PreparedForm, is_stopped: Callable[[], bool]) -> int:
    """Write the file and return its number of frames."""
    recording = recording_of(source)
    with as_unreadable(recording):
        rate = form.rate or frame_rate(recording) or DEFAULT_RATE
        is_constant = bool(form.rate) or recording.is_dir() or has_constant_rate(recording)
    rate = rate.limit_denominator(1001) or DEFAULT_RATE  # below 1 frame in 2002 s: unknown
    times = None if is_constant else deque[Fraction]()
    with closing(fitted_frames(source, form, is_stopped, times=times)) as frames:
        try:
            return write_video(
                target,
                frames,
                frames_per_second=rate,
                times=None if times is None else iter(times.popleft, None),
                encoding=form_encoding(form),
                container="mp4",
            )
        except EncodingError as error:
            raise UnreadableVideoError(source, f"its {error}") from error


def form_encoding(form: PreparedForm) -> Encoding:
    """How x264 compresses videos of a form."""
    return Encoding(
        quality=form.crf,
        keyframe_distance=form.keyframe_distance,
        preset=_PRESET,
        parameters=_X264.format(distance=form.keyframe_distance),
    )


def _check(path: Path, form: PreparedForm, num_frames: int) -> None:
    """Read the written file and compare its frames and keyframes with the intended ones."""
    with open_video(path) as (container, stream):
        table = read_packet_table(container, stream)
    entries = tuple((frame, frame) for frame in range(0, num_frames, form.keyframe_distance))
    counts = (table.num_pictures, decode_plain(path, table, ()).num_pictures)
    if counts != (num_frames, num_frames) or table.entries != entries:
        actual = f"{counts[1]} frames and {len(table.entries)} keyframes"
        intended = f"{num_frames} and {len(entries)}"
        raise OSError(errno.EIO, f"the written file has {actual}, not {intended}", str(path))
