"""Decoding a whole video file to find out how much of it is intact.

A file states its length in its packets and, with most containers, in its header. A truncated file
has fewer packets than the header states; a damaged file has packets that give no frame, or a frame
in which the decoder concealed errors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from mixtconv.video.colour import is_hdr, is_interlaced
from mixtconv.video.decoding import decode_packet
from mixtconv.video.opening import open_video
from mixtconv.video.packet_table import demux_readable, has_ticks, read_packet_table

# Containers whose header states the length; FFmpeg computes that of others from their last packet.
_SAYS_LENGTH = {"mp4", "mov", "matroska", "webm", "flv"}
_SAYS_FRAMES = {"mp4", "mov", "avi"}
_TOLERATED_FRAMES = 2  # rounding, a last packet of no length, and headers that are off by one


@dataclass(frozen=True)
class FileSurvey:
    """The result of decoding a whole file."""

    num_announced: int
    """Frames that its packets announce."""
    num_pictures: int
    """Frames that the decoder outputs."""
    num_damaged: int
    """Frames among these that the decoder marks as damaged."""
    num_cut_off: int = 0
    """Approximate number of frames that its header states and that are missing; a few may be
    rounding."""

    num_hdr: int = 0
    """Frames among these that are HDR, read as SDR."""
    num_interlaced: int = 0
    """Frames among these that are interlaced, of which one field is read."""

    def damage(self) -> str | None:
        """The damage in words; None if the file is intact.

        >>> FileSurvey(num_announced=40, num_pictures=38, num_damaged=0, num_cut_off=60).damage()
        '2 of 40 frames cannot be decoded; it breaks off: its header says 60 frames more'
        """
        parts = []
        undecoded = self.num_announced - self.num_pictures
        if undecoded > 0:
            parts.append(f"{undecoded} of {self.num_announced} frames cannot be decoded")
        if self.num_damaged:
            parts.append(f"{self.num_damaged} of {self.num_pictures} frames are damaged")
        if self.num_cut_off > _TOLERATED_FRAMES:
            parts.append(f"it breaks off: its header says {self.num_cut_off} frames more")
        return "; ".join(parts) or None


def survey_file(
    path: str | Path, *, see_frame: Callable[[int, Any], None] | None = None
) -> FileSurvey:
    """Decode a whole video file plainly: from the first packet, with one thread.

    Args:
        path: the file.
        see_frame: called with the number of each frame and PyAV's frame, on the way.

    Raises:
        UnreadableVideoError: it is no video.
        OSError: it cannot be opened.
    """
    with open_video(path) as (container, stream):
        num_announced = read_packet_table(container, stream).num_pictures
    num_pictures = num_damaged = num_packets = last_tick = num_hdr = num_interlaced = 0
    end = 0.0
    with open_video(path) as (container, stream):
        stream.thread_count = 1
        for packet in chain(demux_readable(container), [None]):  # None: what the decoder holds back
            if packet is not None and packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet is not None and packet.stream is stream:
                num_packets += 1
                last_tick = max(last_tick, packet.dts or 0)
            if packet is None or (packet.stream is stream and packet.size):
                for frame in decode_packet(stream, packet) or ():
                    if see_frame is not None:
                        see_frame(num_pictures, frame)
                    num_pictures += 1
                    num_damaged += frame.is_corrupt
                    num_hdr += is_hdr(frame)
                    num_interlaced += is_interlaced(frame)
        # AVI counts the ticks of its clock, also those at which nothing new is shown.
        ticks = (last_tick + 1) / max(1, num_packets) if has_ticks(container) else 1.0
        per_packet = max(1.0, ticks)
        num_cut_off = _cut_off(container, stream, num_packets, end, per_packet)
        return FileSurvey(
            num_announced, num_pictures, num_damaged, num_cut_off, num_hdr, num_interlaced
        )


def _cut_off(
    container: Any, stream: Any, num_packets: int, end: float, counted_per_packet: float
) -> int:
    """Frames that the header states beyond those in the file.

    Args:
        end: end of the last packet of all streams, in seconds.
        counted_per_packet: how many frames of the header's count stand for a packet.
    """
    import av  # noqa: PLC0415

    kinds = set(container.format.name.split(","))
    is_counted = kinds & _SAYS_FRAMES
    by_count = round(stream.frames / counted_per_packet) - num_packets if is_counted else 0
    rate = stream.average_rate
    if not rate or container.duration is None or not kinds & _SAYS_LENGTH:
        return max(0, by_count)
    # Of all streams, since the sound may be longer than the video.
    seconds = container.duration / av.time_base - end
    return max(0, by_count, round(seconds * float(rate)))
