"""A look at a file that a stranger sent, before anything of it is decoded.

FFmpeg knows forms that are not videos but lists of other files and addresses (HLS, DASH, concat,
SDP): opened, they would read what lies beside the service. Only known forms of video are opened,
told by the content and not by a name, and only as a file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
    import av  # noqa: PLC0415

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
