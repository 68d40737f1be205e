"""Opening a stream by its name: a camera, a URL, a file, or raw frames on standard input.

camera:0            the first camera                              live
rtsp://..., udp://  a URL                                         live
https://...         a URL; a file if it says how long it is       live or read completely
clip.mp4            a file                                        read completely
-                   raw RGB frames on standard input              read completely
"""

import re
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mixtconv.video.decoding import TimedFrame
from mixtconv.video.live import (
    BrokenSourceError,
    LatestFrames,
    SourceSettings,
    StreamFrame,
)
from mixtconv.video.opening import (
    Opened,
    best_stream,
    keep_messages_from_python,
    limit_pictures,
    square_size,
)
from mixtconv.video.packet_table import demux
from mixtconv.video.reader import DEFAULT_RATE, frame_rate
from mixtconv.video.timing import timed_frames

_CAMERAS = {"linux": ("v4l2", "/dev/video{}"), "darwin": ("avfoundation", "{}")}
_SIZE = re.compile(r"(\d+)x(\d+)")


class FrameSource:
    """Frames of a stream in order; iterate over it once, in a `with` block.

    Args:
        name: name of the source, as given by the user.
        frames: its frames; closed with the source.
        live: the reader that drops frames, None for a source that is read completely.
        rate: average frames per second, None if the source does not say.
    """

    def __init__(
        self,
        name: str,
        frames: Any,
        *,
        live: LatestFrames[TimedFrame] | None = None,
        rate: float | Fraction | None = None,
    ) -> None:
        self.name, self.frames_per_second = name, None if rate is None else float(rate)
        self.last_seconds = 0.0
        """Time of the frame that was read last."""
        self._frames, self._live = frames, live

    @property
    def is_live(self) -> bool:
        """Whether frames that are not taken in time are dropped."""
        return self._live is not None

    @property
    def num_dropped(self) -> int:
        """Frames dropped so far."""
        return 0 if self._live is None else self._live.num_dropped

    def __iter__(self) -> Iterator[StreamFrame]:
        for frame in self._frames:
            self.last_seconds = frame.seconds
            yield frame

    def end_seconds(self, default_rate: float) -> float:
        """Where the frame that was read last ends, by the rate of the source."""
        return self.last_seconds + 1 / (self.frames_per_second or default_rate)

    def __enter__(self) -> "FrameSource":
        return self

    def __exit__(self, *error: object) -> None:
        self._frames.close()


def open_source(source: str, settings: SourceSettings | None = None) -> FrameSource:
    """Open a stream by its name.

    Raises:
        ValueError: the camera, URL or file does not exist or cannot be read, or the size is wrong.
    """
    settings = settings or SourceSettings()
    if source == "-":
        frames = _raw_frames(sys.stdin.buffer, settings)
        return FrameSource("standard input", frames, rate=settings.input_fps)
    if source.startswith("camera:"):
        return _open_camera(source, settings)
    if re.match(r"[a-z][a-z0-9+.-]+://", source):
        return _open_url(source, settings)
    if Path(source).is_dir():
        raise ValueError(f"{source} is a folder; give a video file, a URL, camera:0, or -")
    rate, timed = frame_rate(source), timed_frames(source)
    frames = (StreamFrame(f.kept.to_rgb, f.number, float(f.seconds)) for f in timed)
    return FrameSource(source, frames, rate=rate)


def _raw_frames(stream: BinaryIO, settings: SourceSettings) -> Iterator[StreamFrame]:
    match = _SIZE.fullmatch(settings.input_size or "")
    if match is None or 0 in (width := int(match[1]), height := int(match[2])):
        raise ValueError(
            f"--input-size is {settings.input_size!r}; raw frames need WIDTHxHEIGHT, such as "
            "640x480"
        )
    return _read_raw(stream, width, height, settings.input_fps)


def _read_raw(
    stream: BinaryIO, width: int, height: int, frames_per_second: float
) -> Iterator[StreamFrame]:
    number, size = 0, width * height * 3
    while data := stream.read(size):
        if len(data) < size:
            failure = BrokenSourceError if number else ValueError
            raise failure(
                f"standard input ended in the middle of frame {number}: {len(data)} of the {size} "
                f"bytes of a {width}x{height} RGB frame; is --input-size right?"
            )
        picture = np.frombuffer(bytearray(data), dtype=np.uint8).reshape(height, width, 3)
        yield StreamFrame(partial(np.asarray, picture), number, number / frames_per_second)
        number += 1
    if number == 0:
        raise ValueError("standard input is empty; pipe raw RGB frames (rgb24) into it")


def _open_camera(source: str, settings: SourceSettings) -> FrameSource:
    number = source.removeprefix("camera:")
    if not number.isdecimal():
        raise ValueError(f"the source is {source!r}; cameras are camera:0, camera:1, ...")
    if sys.platform not in _CAMERAS:
        raise ValueError(
            f"cameras cannot be opened by number on {sys.platform}; pipe raw frames into '-', or "
            "give the URL of the camera"
        )
    driver, device = _CAMERAS[sys.platform]
    opened = _open_container(source, device.format(number), driver, settings)
    return _container_source(source, opened, settings, is_live=True)


def _open_url(source: str, settings: SourceSettings) -> FrameSource:
    opened = _open_container(source, source, None, settings)
    is_file = source.startswith(("http", "file")) and opened[0].duration is not None
    return _container_source(source, opened, settings, is_live=not is_file)


def _open_container(
    name: str, address: str, driver: str | None, settings: SourceSettings
) -> Opened:
    import av  # noqa: PLC0415

    try:
        keep_messages_from_python()
        container = av.open(address, format=driver, timeout=settings.stall_seconds)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise ValueError(f"{name} cannot be opened: {_reason(error, settings)}") from error
    stream = best_stream(container)
    if stream is None or stream.codec_context is None:
        container.close()
        what = "no video stream" if stream is None else "a video that FFmpeg has no decoder for"
        raise ValueError(f"{name} has {what}")
    try:
        limit_pictures(name, stream)
    except ValueError:
        container.close()
        raise
    return container, stream


def _container_source(
    name: str, opened: Opened, settings: SourceSettings, *, is_live: bool
) -> FrameSource:
    rate = opened[1].average_rate
    frames = _decoded(name, opened, settings)
    if not is_live:
        return FrameSource(name, _timed(enumerate(frames), frames, rate), rate=rate)
    latest = LatestFrames(name, frames, stall_seconds=settings.stall_seconds)
    return FrameSource(name, _timed(latest, latest, rate), live=latest, rate=rate)


def _timed(
    numbered: Iterable[tuple[int, TimedFrame]], opened: Any, rate: Fraction | None
) -> Iterator[StreamFrame]:
    """Frames with times from the first; one without a time is a period after the previous one.

    `opened` is closed at the end.
    """
    period = 1 / float(rate or DEFAULT_RATE)
    first, now = None, -period
    with closing(opened):
        for number, frame in numbered:
            if frame.seconds is None:
                now += period
            else:
                first = frame.seconds if first is None else first
                now = float(frame.seconds) - float(first)
            yield StreamFrame(frame.to_rgb, number, now)


def _decoded(
    name: str, opened: Opened, settings: SourceSettings
) -> Generator[TimedFrame, None, None]:
    """Frames of an open container, each of its own size; damaged packets are skipped."""
    import av  # noqa: PLC0415

    container, stream = opened
    try:
        with container:
            is_empty = True
            for packet in demux(container, stream):
                try:
                    frames = packet.decode()
                except av.InvalidDataError:
                    continue
                for frame in frames:
                    is_empty = False
                    yield TimedFrame(frame, square_size(stream, frame), stream.time_base)
            if is_empty:
                raise ValueError(f"{name} has no picture that can be decoded")
    except (av.FFmpegError, OSError) as error:
        raise BrokenSourceError(f"{name} broke off: {_reason(error, settings)}") from error


def _reason(error: Exception, settings: SourceSettings) -> str:
    """The reason why a source failed."""
    import av  # noqa: PLC0415

    if isinstance(error, av.ExitError):  # raised at the timeout
        return f"no answer for {settings.stall_seconds:g} seconds"
    return getattr(error, "strerror", None) or str(error)
