"""A look at a file that a stranger sent, before anything of it is decoded.

FFmpeg knows forms that are not videos but lists of other files and addresses (HLS, DASH, concat,
SDP): opened, they would read what lies beside the service. Only known forms of video are opened,
told by the content and not by a name, and only as a file.

The process that decodes for the service: a file in, views out, nothing else of consequence.

A decoder that a file has taken over can at most send wrong numbers: answers are JSON and raw bytes,
never pickles. Memory is limited, and a process that hears nothing more ends by itself.
"""

import json
import math
import os
import resource
import signal
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av  # at the top, so that it is loaded before memory is limited
import numpy as np
import numpy.typing as npt

from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.views import ViewReader
from mixtconv.video.windows import WindowPlan, window_views

FORMATS = (
    "mov",
    "matroska",
    "avi",
    "mpegts",
    "mpeg",
    "mpegvideo",
    "flv",
    "ogg",
    "asf",
    "gif",
)
"""Containers, as FFmpeg calls them: those of the suffixes that the command line takes."""


class UnfitVideoError(ValueError):
    """A file that the service does not take; `code` is one of `faults.FAULTS`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class VideoLimits:
    """What of a video is taken."""

    max_seconds: float
    """Longest video."""
    max_pixels: int
    """Largest picture."""


@dataclass(frozen=True)
class Probed:
    """What a file says of itself."""

    width: int
    """Pixels, as stored."""
    height: int
    """Pixels, as stored."""
    codec: str
    """Name of the decoder."""
    seconds: float | None
    """Length by the container or else the packets' times, None where neither says."""


def probe(path: Path, limits: VideoLimits) -> Probed:
    """Look at a file without decoding its pictures.

    Raises:
        UnfitVideoError: no video of a known form, or one beyond the limits.
    """
    options = {"format_whitelist": ",".join(FORMATS), "protocol_whitelist": "file"}
    if path.stat().st_size == 0:
        raise UnfitVideoError("not_a_video", "the file is empty")
    try:
        container = av.open(str(path), options=options)
    except (av.FFmpegError, OSError, ValueError) as error:
        raise UnfitVideoError(
            "not_a_video",
            "the file is no video of a known form, or its header is damaged or missing",
        ) from error
    with container:
        cover = av.stream.Disposition.attached_pic
        streams = [s for s in container.streams.video if not s.disposition & cover]
        if not streams or streams[0].codec_context is None:
            raise UnfitVideoError("not_a_video", "the file has no video that can be decoded")
        stream = streams[0]
        pixels = stream.width * stream.height
        if pixels > limits.max_pixels:
            raise UnfitVideoError(
                "too_many_pixels",
                f"pictures are {stream.width}x{stream.height}; allowed are "
                f"{limits.max_pixels / 1e6:g} megapixels",
            )
        seconds = _seconds(container, stream, limits.max_seconds)
        if seconds is not None and seconds > limits.max_seconds:
            raise UnfitVideoError(
                "too_long",
                f"the video is longer than {limits.max_seconds:g} seconds; send a part of it",
            )
        return Probed(stream.width, stream.height, stream.codec_context.name, seconds)


def _seconds(container: Any, stream: Any, enough: float) -> float | None:
    """The length that the header states, or that of the packets as far as `enough` seconds.

    The packets are looked at even where the header states a short length, which it may do wrongly.
    """
    stated = float(container.duration / 1_000_000) if container.duration else None
    if stated is not None and stated > enough:
        return stated
    first = last = None
    for packet in container.demux(stream):
        time = packet.dts if packet.pts is None else packet.pts  # AVI has no other
        if time is None:
            continue
        now = time * packet.time_base
        first = now if first is None else min(first, now)
        last = now if last is None else max(last, now)
        if last - first > enough:
            return float(last - first)
    return stated if stated is not None or first is None or last is None else float(last - first)


_TOO_MUCH_MEMORY = "decoding the video takes more memory than allowed"

GRACE_SECONDS = 5
"""So much longer than the service waits, a process that nobody stops works on one answer."""


@dataclass(frozen=True)
class DecoderSettings:
    """What a decoder is told at its start."""

    reader: ViewReader
    """Reads what the model takes."""
    limits: VideoLimits
    """What of a video is taken."""
    memory_bytes: int
    """Memory beyond that of the idle process."""


@dataclass(frozen=True)
class Job:
    """What is to be decoded."""

    path: Path
    """The file."""
    seconds: float
    """Time for each answer."""
    plan: WindowPlan | None = None
    """Windows; without, the views of the whole video."""
    max_windows: int = 0
    """Windows that are given at most."""


def decode_jobs(connection: Connection, settings: DecoderSettings) -> None:
    """Work on jobs until the other end of the connection is closed."""
    for name in (signal.SIGINT, signal.SIGTERM):  # they are the service's, which ends us
        signal.signal(name, signal.SIG_IGN)
    if "torch" in sys.modules:  # only some readers need it; decoders work side by side
        sys.modules["torch"].set_num_threads(1)
    _limit_memory(settings.memory_bytes)
    _send(connection, {"kind": "ready"})
    while True:
        try:
            job = connection.recv()
        except (EOFError, OSError):
            return
        _work(connection, settings, job)


def _work(connection: Connection, settings: DecoderSettings, job: Job) -> None:
    """Send the answers to one job; the last one says that it was, or why there is none."""
    limit = math.ceil(job.seconds) + GRACE_SECONDS
    signal.alarm(limit)
    try:
        for header, views in _answers(settings, job):
            _send(connection, header, views)
            signal.alarm(limit)
        _send(connection, {"kind": "done"})
    except UnfitVideoError as error:
        _send(connection, {"kind": "refused", "code": error.code, "message": str(error)})
    except UnreadableVideoError as error:
        _send(connection, {"kind": "refused", "code": "unreadable", "message": error.reason})
    except MemoryError:
        refusal = {"kind": "refused", "code": "unreadable", "message": _TOO_MUCH_MEMORY}
        _send(connection, refusal)
    except (ValueError, RuntimeError, OSError, ArithmeticError, LookupError) as error:
        # Whatever a stranger's file makes a library say is that file's matter. The words may name
        # paths: they stay here.
        message = _TOO_MUCH_MEMORY if "alloc" in str(error) else "the video cannot be decoded"
        _send(connection, {"kind": "refused", "code": "unreadable", "message": message})
    finally:
        signal.alarm(0)


def _answers(settings: DecoderSettings, job: Job) -> Iterator[tuple[dict[str, Any], Any]]:
    facts = probe(job.path, settings.limits)
    yield {"kind": "video", **asdict(facts)}, None
    if job.plan is None:
        read = settings.reader.read(job.path, num_threads=1)
        yield (
            {"kind": "views", "indices": read.indices, "num_frames": read.num_frames},
            read.frames,
        )
        return
    _check_number(facts.seconds, job)
    made = window_views(settings.reader, job.path, job.plan)
    for number, (window, views) in enumerate(made):
        if number == job.max_windows:
            raise _too_many_windows(job)
        header = {
            "kind": "window",
            "start": float(window.start),
            "end": float(window.end),
            "first_frame": window.frames[0].number,
            "num_frames": len(window.frames),
            "whole": window.is_whole,
        }
        yield header, views


def _check_number(seconds: float | None, job: Job) -> None:
    """Refuse too many windows before the first is made, where the length is known."""
    assert job.plan is not None
    stride = job.plan.stride
    if seconds is not None and not job.plan.in_frames and seconds / stride > job.max_windows:
        raise _too_many_windows(job)


def _too_many_windows(job: Job) -> UnfitVideoError:
    message = f"the timeline has more than {job.max_windows} windows; give a larger stride"
    return UnfitVideoError("too_long", message)


def _send(connection: Connection, header: dict[str, Any], views: Any = None) -> None:
    """One answer: a line of JSON, and behind it the bytes of the views if it has any."""
    pixels: npt.NDArray[np.uint8] | None = None if views is None else np.asarray(views)
    if pixels is not None:
        header = {**header, "shape": pixels.shape}
    try:
        connection.send_bytes(json.dumps(header).encode())
        if pixels is not None:
            connection.send_bytes(pixels.tobytes())
    except OSError:  # the service has gone
        os._exit(0)


def _limit_memory(extra_bytes: int) -> None:
    """Let the process grow by so much, where the system says how large it is."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sizes = Path("/proc/self/statm")
    if sizes.exists():
        now = int(sizes.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + extra_bytes, now + extra_bytes))
