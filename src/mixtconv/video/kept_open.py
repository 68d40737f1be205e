"""Long recordings that stay open between reads: opening one parses the list of all its packets.

An open file with its decoder is lent to one thread at a time. It comes back only after a read
without an error, and is lent again only for the same, unchanged file under the same limits. A used
decoder gives what a new one would: seeking empties it, and its first packet repeats the header of
the file , which the stream may have changed on the way. Only decoders of one
thread are kept, as a fork would not have the threads. A forked process opens files anew: it would
share the place in the file with its parent.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Final

from mixtconv.video.opening import PictureLimits, open_video, report_damage, square_size
from mixtconv.video.packet_table import FileStamp, file_stamp, is_settled

MAX_KEPT_OPEN = 0 if os.name == "nt" else 4
"""Files that a process keeps open; none on Windows, where an open file cannot be replaced."""

REUSABLE_CODECS = {"h264", "hevc", "mjpeg"}
"""Decoders that keep nothing but headers when they are emptied. MPEG-4's keeps the distance of the
first B-frames too; those of other codecs always start at the first packet."""

_NEW_HEADER: Final = "new_extradata"  # as PyAV calls the side data of a packet that has one

_Key = tuple[str, FileStamp, PictureLimits]


@dataclass
class OpenFile:
    """An open file and its decoder, which may have been used before."""

    container: Any
    """PyAV's container."""
    stream: Any
    """Its video stream."""
    size: tuple[int, int]
    """Width and height of its pictures as the header says, with square pixels."""
    is_new: bool = True
    """Whether nothing has been read from it."""
    needs_header: bool = False
    """Whether the header of the file is repeated with the next packet that is decoded."""
    is_reusable: bool = True
    """Whether it is kept after this use."""
    close: Callable[[], None] = lambda: None
    """Closes it."""

    def see(self, packet: Any) -> None:
        """Take note of a packet that is read: with a new header, its file is not used again.

        A container that changes headers says so only where it last said another.
        """
        if packet.has_sidedata(_NEW_HEADER):
            self.is_reusable = False

    def decode(self, packet: Any) -> list[Any]:
        """The frames that the decoder gives for a packet, or for None what it holds back.

        Raises:
            av.FFmpegError: the packet cannot be decoded.
        """
        if self.needs_header and packet is not None:
            self._repeat_header(packet)
            self.needs_header = False
        frames: list[Any] = self.stream.decode(packet)
        return frames

    def _repeat_header(self, packet: Any) -> None:
        from av import packet as packets  # noqa: PLC0415

        header = bytes(self.stream.codec_context.extradata or b"")
        if header and not packet.has_sidedata(_NEW_HEADER):
            kind = packets.packet_sidedata_type_from_literal(_NEW_HEADER)
            make: Any = packets.PacketSideData  # whose arguments PyAV does not declare
            data = make(kind, len(header))
            data.update(header)
            packet.set_sidedata(data, move=True)


class OpenFiles:
    """Open files that are not in use.

    Args:
        max_files: how many are kept; the one that was used longest ago is closed.
    """

    def __init__(self, max_files: int = MAX_KEPT_OPEN) -> None:
        self.max_files = max_files
        self._inherited: list[tuple[_Key, OpenFile]] = []
        self._idle: list[tuple[_Key, OpenFile]] = []  # the last used ones last
        self._lock = Lock()

    def leave_to_parent(self) -> None:
        """Forget all files in a forked process, without closing or freeing them."""
        self._inherited += self._idle
        self._idle, self._lock = [], Lock()

    @contextmanager
    def lend(self, path: str | Path) -> Iterator[OpenFile]:
        """Lend a file, open with a decoder of one thread that reports damage, for the block.

        It is kept, unless the block raises an error.

        Raises:
            UnreadableVideoError: as `open_video`.
        """
        key = _key(path)
        file = self._taken(key) or _opened(path)
        try:
            yield file
        except BaseException:
            file.close()
            raise
        if key is None or not file.is_reusable:
            file.close()
            return
        file.stream.codec_context.flush_buffers()  # lets go of the pictures
        file.is_new, file.needs_header = False, True
        self._keep(key, file)

    def _taken(self, key: _Key | None) -> OpenFile | None:
        with self._lock:
            for place, (other, _) in enumerate(self._idle):
                if other == key:
                    return self._idle.pop(place)[1]
        return None

    def _keep(self, key: _Key, file: OpenFile) -> None:
        with self._lock:
            idle = [*self._idle, (key, file)]
            # Others of its path are of a file that was replaced, or that was read twice at a time.
            once = [kept for kept in idle if kept[1] is file or kept[0][0] != key[0]]
            self._idle = once[max(len(once) - self.max_files, 0) :]
            closed = [kept for kept in idle if kept not in self._idle]
        for _, unused in closed:
            unused.close()


def _key(path: str | Path) -> _Key | None:
    """What an open file must agree in to be lent, None if it is not to be kept."""
    try:
        stamp = file_stamp(path)
    except OSError:  # opening the file raises an error with the reason
        return None
    return (str(path), stamp, PictureLimits.from_environment()) if is_settled(stamp) else None


def _opened(path: str | Path) -> OpenFile:
    with ExitStack() as stack:
        container, stream = stack.enter_context(open_video(path))
        report_damage(stream, num_threads=1)
        size = square_size(stream)
        return OpenFile(container, stream, size, close=stack.pop_all().close)


KEPT_OPEN = OpenFiles()
"""The open files of this process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=KEPT_OPEN.leave_to_parent)
