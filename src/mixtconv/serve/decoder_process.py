"""The process that decodes for the service: jobs in, metadata and views out.

It opens untrusted files, so it limits what a malicious one can do:

- FFmpeg also reads lists of other files and addresses (HLS, DASH, concat, SDP) and would follow
  them. `probe` opens known video formats only, identified by content, and only as a file.
- Answers are JSON and raw bytes, never pickles: a process that a file has taken over can send wrong
  numbers at most. The service checks every field (`receive_message`).
- Memory is limited, and the process ends by itself when the service does.
"""

import json
import math
import os
import resource
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import get_annotations
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal, get_args

import av  # at the top, so that it is loaded before memory is limited
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, create_model

from mixtconv.detection.scorers import scored_frames, scored_rate, source_rate, window_plan
from mixtconv.detection.settings import ScoreTimes
from mixtconv.serve.answers import VideoFacts
from mixtconv.serve.settings import Limits
from mixtconv.video.decoding import decode_packet, shown_size
from mixtconv.video.opening import (
    PictureLimits,
    best_stream,
    keep_messages_from_python,
    limit_decoder,
    square_size,
)
from mixtconv.video.packet_table import demux_readable
from mixtconv.video.pictures import Clip, UnreadableVideoError
from mixtconv.video.reader import start_of
from mixtconv.video.views import ViewReader
from mixtconv.video.windows import WindowPlan, window_views

FORMATS = "mov,matroska,avi,mpegts,mpeg,mpegvideo,flv,ogg,asf,gif"
"""Containers, as FFmpeg calls them: those of the suffixes that the command line takes."""

GRACE_SECONDS = 5
"""The process ends itself this long after the service stopped waiting for an answer."""

_MAX_HEADER_BYTES = 10**6
_MAX_VIEW_BYTES = 2**30

_TOO_MUCH_MEMORY = "decoding the video takes more memory than allowed"


# --- Jobs: from the service to the process ---------------------------------------------------


@dataclass(frozen=True)
class EventReading:
    """How a video is read for events."""

    times: ScoreTimes
    """Which windows or frames."""
    form: Literal["windows", "pictures", "kept"]
    """Views of windows; or whole frames; or what the reader keeps of frames."""
    max_frames: int
    """Largest number of frames."""


@dataclass(frozen=True)
class Job:
    """A video to decode."""

    path: Path
    """The file."""
    seconds: float
    """Time for each answer."""
    plan: WindowPlan | None = None
    """Windows of a timeline; None for the views of the whole video."""
    max_windows: int = 0
    """Largest number of windows."""
    reading: EventReading | None = None
    """What events are found in, instead of a plan."""

    @property
    def answer(self) -> "type[Clip | WindowViews | FrameViews]":
        """The kind of answer that follows the metadata."""
        if self.reading is not None:
            return WindowViews if self.reading.form == "windows" else FrameViews
        return Clip if self.plan is None else WindowViews


# --- Messages: from the process to the service -----------------------------------------------


@dataclass(frozen=True)
class Ready:
    """The process waits for jobs."""


@dataclass(frozen=True)
class Done:
    """All answers to a job have been sent."""


RefusalCode = Literal["not_a_video", "unreadable", "too_long", "too_many_pixels"]
"""Codes of `errors.ERRORS` that a decoder uses."""


class RefusedError(ValueError):
    """Why a job has no result, or no further one."""

    code: RefusalCode
    message: str

    def __init__(self, code: RefusalCode, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class WindowViews:
    """The views of one window of a timeline."""

    start: float
    """Seconds from the first frame of the video on."""
    end: float
    """Seconds."""
    first_frame: int
    """Number of its first frame in the video, from 0."""
    num_frames: int
    """Frames in it."""
    is_whole: bool
    """Whether the video continues to its end."""
    frames: npt.NDArray[np.uint8]
    """uint8 (V, T, C, S, S)."""


@dataclass(frozen=True)
class FrameViews:
    """A frame for events."""

    start: float
    """Seconds from the first frame of the video on."""
    end: float
    """Seconds."""
    frames: npt.NDArray[np.uint8]
    """uint8 (1, 1, H, W, 3), or of what is kept (V, 1, C, S, S)."""


Message = Ready | Done | RefusedError | VideoFacts | Clip | WindowViews | FrameViews


def _header(cls: type[Message]) -> type[BaseModel]:
    """The fields of a message, with the shape of its frames instead of them."""
    types: dict[str, Any] = {name: (kind, ...) for name, kind in get_annotations(cls).items()}
    if types.pop("frames", None):
        types["shape"] = (tuple[int, int, int, int, int], ...)  # (V, T, C, S, S)
    return create_model(cls.__name__, **types)


_KINDS = {cls.__name__: (cls, _header(cls)) for cls in get_args(Message)}
"""Name of a message -> its class and header."""


class _AnyHeader(BaseModel):
    kind: str


def send_message(connection: Connection, message: Message) -> None:
    """Send a header of JSON and, for a message with frames, their bytes in a second part."""
    header = {"kind": type(message).__name__, **vars(message)}
    if "frames" not in header:
        connection.send_bytes(json.dumps(header).encode())
        return
    frames = np.asarray(header.pop("frames"))
    connection.send_bytes(json.dumps({**header, "shape": frames.shape}).encode())
    connection.send_bytes(frames.tobytes())


def receive_message(connection: Connection) -> Message:
    """Read what `send_message` sent, from a process that may be taken over.

    Raises:
        ValueError: the data is no message.
        EOFError: the other end is closed; also OSError.
    """
    content = connection.recv_bytes(_MAX_HEADER_BYTES)
    kind = _AnyHeader.model_validate_json(content).kind
    if kind not in _KINDS:
        raise ValueError("the header has no known kind")
    cls, header = _KINDS[kind]
    values = dict(header.model_validate_json(content, strict=True))
    if "shape" in values:
        frames = np.frombuffer(bytearray(connection.recv_bytes(_MAX_VIEW_BYTES)), dtype=np.uint8)
        values["frames"] = frames.reshape(values.pop("shape"))
    return cls(**values)


# --- The process -----------------------------------------------------------------------------


def decode_jobs(connection: Connection, reader: ViewReader, limits: Limits) -> None:
    """Work on jobs until the other end of the connection is closed.

    Args:
        connection: to the service.
        reader: reads the input of the model.
        limits: which videos are accepted, and the memory beyond that of the idle process.
    """
    for name in (signal.SIGINT, signal.SIGTERM):  # the service handles them, and ends this process
        signal.signal(name, signal.SIG_IGN)
    if "torch" in sys.modules:  # only some readers need it; decoders run in parallel
        sys.modules["torch"].set_num_threads(1)
    _limit_memory(int(limits.decode_memory_mb * 1e6))
    _send(connection, Ready())
    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            return
        _work(connection, job, _answers(reader, limits, job))


def _send(connection: Connection, message: Message) -> None:
    try:
        send_message(connection, message)
    except OSError:  # the service has ended
        os._exit(0)


def _work(connection: Connection, job: Job, answers: Iterator[Message]) -> None:
    """Send the answers to one job; the last message is `Done` or a `RefusedError`."""
    limit = math.ceil(job.seconds) + GRACE_SECONDS
    signal.alarm(limit)
    try:
        for answer in answers:
            _send(connection, answer)
            signal.alarm(limit)
        _send(connection, Done())
    except RefusedError as refusal:
        _send(connection, refusal)
    except UnreadableVideoError as error:
        _send(connection, RefusedError("unreadable", error.reason))
    except MemoryError:
        _send(connection, RefusedError("unreadable", _TOO_MUCH_MEMORY))
    except (ValueError, RuntimeError, OSError, ArithmeticError, LookupError) as error:
        # Any error that a library raises is caused by the file. Its text may hold paths, so it is
        # not passed on.
        message = _TOO_MUCH_MEMORY if "alloc" in str(error) else "the video cannot be decoded"
        _send(connection, RefusedError("unreadable", message))
    finally:
        signal.alarm(0)


def _answers(reader: ViewReader, limits: Limits, job: Job) -> Iterator[Message]:
    metadata = probe(job.path, limits)
    yield metadata
    plan = job.plan
    if job.reading is not None:
        if job.reading.form != "windows":
            yield from _event_frames(reader, job.path, job.reading, metadata.seconds)
            return
        plan = window_plan(reader.spec, job.reading.times, lambda: source_rate(job.path))
    if plan is None:
        yield reader.read(job.path, num_threads=1)
        return
    if metadata.seconds is not None and not plan.in_frames:  # known before any is decoded
        _check_num_windows(metadata.seconds / plan.stride, job.max_windows)
    for number, (window, views) in enumerate(window_views(reader, job.path, plan)):
        _check_num_windows(number + 1, job.max_windows)
        yield WindowViews(
            start=float(window.start),
            end=float(window.end),
            first_frame=window.frames[0].number,
            num_frames=len(window.frames),
            is_whole=window.is_whole,
            frames=views,
        )


def _event_frames(
    reader: ViewReader, path: Path, reading: EventReading, seconds: float | None
) -> Iterator[FrameViews]:
    of_source = source_rate(path)
    rate = scored_rate(reader.spec, reading.times, of_source)
    if seconds is not None:  # known before any is decoded
        _check_num_frames(seconds * min(rate, of_source), reading.max_frames)
    for number, (frame, start, end) in enumerate(scored_frames(path, rate)):
        _check_num_frames(number + 1, reading.max_frames)
        picture = frame.to_rgb()
        is_whole = reading.form == "pictures"
        views = picture[None, None] if is_whole else np.asarray(reader.keep(picture))[:, None]
        yield FrameViews(start, end, views)


def _check_num_frames(number: float, limit: int) -> None:
    if number > limit:
        raise RefusedError(
            "too_long", f"events would be found in more than {limit} frames; give a lower fps"
        )


def _check_num_windows(number: float, limit: int) -> None:
    if number > limit:
        raise RefusedError(
            "too_long", f"the timeline has more than {limit} windows; give a larger stride"
        )


def _limit_memory(extra_bytes: int) -> None:
    """Let the process grow by this much, on systems that report its size."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sizes = Path("/proc/self/statm")
    if sizes.exists():
        now = int(sizes.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + extra_bytes, now + extra_bytes))


# --- Probing ---------------------------------------------------------------------------------


def probe(path: Path, limits: Limits) -> VideoFacts:
    """Read the metadata of a file, decoding only the first of its pictures.

    Which way up a picture is shown is known from a decoded one alone.

    Raises:
        RefusedError: the file is not a video of a known format, or exceeds a limit.
    """
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    if path.stat().st_size == 0:
        raise RefusedError("not_a_video", "the file is empty")
    try:
        keep_messages_from_python()
        container = av.open(str(path), options=options)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise RefusedError(
            "not_a_video",
            "the file is no video of a known format, or its header is damaged or missing",
        ) from error
    with container:
        stream = best_stream(container)
        if stream is None or stream.codec_context is None:
            raise RefusedError("not_a_video", "the file has no video that can be decoded")
        width, height = size = square_size(stream)
        allowed = PictureLimits(limits.max_megapixels, limits.max_ratio)
        if (refusal := allowed.refusal(width, height)) is not None:
            raise RefusedError("too_many_pixels", refusal)
        limit_decoder(stream, allowed)
        seconds, first_picture = _read_packets(container, stream, limits.max_video_seconds)
        if seconds is not None and seconds > limits.max_video_seconds:
            raise RefusedError(
                "too_long",
                f"the video is longer than {limits.max_video_seconds:g} seconds; send a part of it",
            )
        if first_picture is not None:
            width, height = shown_size(first_picture, size)
        codec = stream.codec_context.name
        start = float(start_of(container, stream))
        return VideoFacts(width=width, height=height, codec=codec, seconds=seconds, start=start)


def _read_packets(container: Any, stream: Any, enough: float) -> tuple[float | None, Any]:
    """The length in the header, or that of the packets, and the first picture that is decoded.

    The packets are read up to `enough` seconds, even if the header states a short length, since it
    may be wrong. Neither is known of every file.
    """
    stated = float(container.duration / 1_000_000) if container.duration else None
    if stated is not None and stated > enough:
        return stated, None
    stream.thread_count = 1
    first = last = picture = None
    for packet in demux_readable(container, stream):
        if picture is None and packet.size:
            picture = next(iter(decode_packet(stream, packet) or ()), None)
        time = packet.dts if packet.pts is None else packet.pts  # AVI has dts only
        if time is None:
            continue
        now = time * packet.time_base
        first = now if first is None else min(first, now)
        last = now if last is None else max(last, now)
        if last - first > enough:
            return float(last - first), picture
    if picture is None:  # the decoder may hold it back
        picture = next(iter(decode_packet(stream, None) or ()), None)
    if stated is None and first is not None and last is not None:
        stated = float(last - first)
    return stated, picture
