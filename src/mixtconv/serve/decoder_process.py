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
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av  # at the top, so that it is loaded before memory is limited
import numpy as np
import numpy.typing as npt

from mixtconv.serve.settings import Limits
from mixtconv.video.pictures import Clip, UnreadableVideoError
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


# --- Messages: from the process to the service -----------------------------------------------


@dataclass(frozen=True)
class Ready:
    """The process waits for jobs."""


@dataclass(frozen=True)
class Done:
    """All answers to a job have been sent."""


class RefusedError(ValueError):
    """Why a job has no result, or no further one; `code` is one of `REFUSAL_CODES`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True)
class VideoMetadata:
    """What a file states about its video."""

    width: int
    """Pixels, as stored."""
    height: int
    """Pixels, as stored."""
    codec: str
    """Name of the decoder."""
    seconds: float | None
    """Length by the container or else the packets' times, None if neither states one."""


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


Message = Ready | Done | RefusedError | VideoMetadata | Clip | WindowViews

REFUSAL_CODES = ("not_a_video", "unreadable", "too_long", "too_many_pixels")
"""Codes of `errors.ERRORS` that a decoder uses."""

_NUMBER, _NONE = (int, float), type(None)
_KINDS: dict[str, tuple[type[Message], dict[str, Any]]] = {
    "ready": (Ready, {}),
    "done": (Done, {}),
    "refusal": (RefusedError, {"code": str, "message": str}),
    "video": (
        VideoMetadata,
        {"width": int, "height": int, "codec": str, "seconds": (*_NUMBER, _NONE)},
    ),
    "views": (Clip, {"indices": list, "num_frames": int}),
    "window": (
        WindowViews,
        {
            "start": _NUMBER,
            "end": _NUMBER,
            "first_frame": int,
            "num_frames": int,
            "is_whole": bool,
        },
    ),
}
"""Kind of a message -> its class, and the types of the fields of its header."""


def send_message(connection: Connection, message: Message) -> None:
    """Send a header of JSON and, for a message with frames, their bytes in a second part."""
    kind, types = next(
        (kind, types) for kind, (cls, types) in _KINDS.items() if isinstance(message, cls)
    )
    header = {"kind": kind, **{name: getattr(message, name) for name in types}}
    if not isinstance(message, Clip | WindowViews):
        connection.send_bytes(json.dumps(header).encode())
        return
    frames = np.asarray(message.frames)
    connection.send_bytes(json.dumps({**header, "shape": frames.shape}).encode())
    connection.send_bytes(frames.tobytes())


def receive_message(connection: Connection) -> Message:
    """Read what `send_message` sent, from a process that may be taken over.

    Raises:
        ValueError: the data is no message; also RecursionError.
        EOFError: the other end is closed; also OSError.
    """
    header = json.loads(connection.recv_bytes(_MAX_HEADER_BYTES))
    if not isinstance(header, dict) or str(header.get("kind")) not in _KINDS:
        raise ValueError("the header has no known kind")
    cls, types = _KINDS[header["kind"]]
    values = {name: header[name] for name in types if isinstance(header.get(name), types[name])}
    if len(values) < len(types):
        raise ValueError(f"a field of {header['kind']} is missing or has another type")
    if cls is RefusedError and values["code"] not in REFUSAL_CODES:
        raise ValueError("the code is unknown")
    if cls in (Clip, WindowViews):
        content = bytearray(connection.recv_bytes(_MAX_VIEW_BYTES))
        shape = _integers(header.get("shape"))
        values["frames"] = np.frombuffer(content, dtype=np.uint8).reshape(shape)
        if len(shape) != 5:
            raise ValueError(f"frames have the shape {shape}; (V, T, C, S, S) is needed")
    if cls is Clip:
        values["indices"] = _integers(values["indices"])
    return cls(**values)


def _integers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(isinstance(value, int) for value in values):
        raise ValueError("a list of integers is needed")
    return tuple(values)


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
    _limit_memory(limits.decode_memory_bytes)
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
    if job.plan is None:
        yield reader.read(job.path, num_threads=1)
        return
    if metadata.seconds is not None and not job.plan.in_frames:  # known before any is decoded
        _check_num_windows(metadata.seconds / job.plan.stride, job.max_windows)
    for number, (window, views) in enumerate(window_views(reader, job.path, job.plan)):
        _check_num_windows(number + 1, job.max_windows)
        yield WindowViews(
            start=float(window.start),
            end=float(window.end),
            first_frame=window.frames[0].number,
            num_frames=len(window.frames),
            is_whole=window.is_whole,
            frames=views,
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


def probe(path: Path, limits: Limits) -> VideoMetadata:
    """Read the metadata of a file without decoding its pictures.

    Raises:
        RefusedError: the file is not a video of a known format, or exceeds a limit.
    """
    options = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
    if path.stat().st_size == 0:
        raise RefusedError("not_a_video", "the file is empty")
    try:
        container = av.open(str(path), options=options)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise RefusedError(
            "not_a_video",
            "the file is no video of a known format, or its header is damaged or missing",
        ) from error
    with container:
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in container.streams.video if not s.disposition & cover]
        if not streams or streams[0].codec_context is None:
            raise RefusedError("not_a_video", "the file has no video that can be decoded")
        stream = streams[0]
        pixels = stream.width * stream.height
        if pixels > limits.max_pixels:
            raise RefusedError(
                "too_many_pixels",
                f"pictures are {stream.width}x{stream.height}; allowed are "
                f"{limits.max_megapixels:g} megapixels",
            )
        seconds = _seconds(container, stream, limits.max_video_seconds)
        if seconds is not None and seconds > limits.max_video_seconds:
            raise RefusedError(
                "too_long",
                f"the video is longer than {limits.max_video_seconds:g} seconds; send a part of it",
            )
        return VideoMetadata(stream.width, stream.height, stream.codec_context.name, seconds)


def _seconds(container: Any, stream: Any, enough: float) -> float | None:
    """The length in the header, or that of the packets, which are read up to `enough` seconds.

    The packets are read even if the header states a short length, since it may be wrong.
    """
    stated = float(container.duration / 1_000_000) if container.duration else None
    if stated is not None and stated > enough:
        return stated
    first = last = None
    for packet in container.demux(stream):
        time = packet.dts if packet.pts is None else packet.pts  # AVI has dts only
        if time is None:
            continue
        now = time * packet.time_base
        first = now if first is None else min(first, now)
        last = now if last is None else max(last, now)
        if last - first > enough:
            return float(last - first)
    return stated if stated is not None or first is None or last is None else float(last - first)
