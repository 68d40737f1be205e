"""Videos that are not files on a disk: frames in memory, bytes, open files, addresses."""

import shutil
import tempfile
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import IO, Any, TypeAlias

import numpy as np

from mixtconv._types import Frame
from mixtconv.video.pictures import Clip, UnreadableVideoError, VideoInfo
from mixtconv.video.segment import DatasetVideo
from mixtconv.video.timing import TimedItem

VideoLike: TypeAlias = Any
"""What a user gives as one video: a path, an address (`http://`, `https://`), the bytes of a file,
a binary file open for reading, `VideoFrames`, or what these are made of: an array or tensor of
frames, uint8 (T, H, W, 3) or (T, 3, H, W), or a list of pictures, of Pillow or uint8 (H, W, 3)."""

DOWNLOAD_SECONDS = 60
"""How long an address may send nothing."""

_FRAMES = "frames are uint8 RGB, (T, H, W, 3) or (T, 3, H, W)"


@dataclass(frozen=True, eq=False)
class VideoFrames:
    """A video that is in memory, frame by frame.

    Args:
        pictures: uint8 RGB, an array or a tensor (T, H, W, 3) or (T, 3, H, W), or a list of
            pictures, of Pillow or uint8 (H, W, 3). It is not copied if it is an array.
        frames_per_second: their rate, which windows and events in seconds need.
        name: what the video is called in messages.

    Raises:
        ValueError: other pictures, or none.

    >>> VideoFrames(np.zeros((8, 3, 48, 64), dtype=np.uint8)).pictures.shape
    (8, 48, 64, 3)
    """

    pictures: Frame
    """uint8 RGB (T, H, W, 3)."""
    frames_per_second: float | None = None
    """Frames a second, None if unknown."""
    name: str = "frames in memory"
    """What the video is called."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pictures", _as_pictures(self.pictures))
        rate = self.frames_per_second
        if rate is not None and not 0 < rate < float("inf"):
            raise ValueError(f"frames_per_second is {rate}; give more than 0, or None if unknown")

    def __str__(self) -> str:
        return self.name

    def info(self) -> VideoInfo:
        """The facts about it, as of a file."""
        num_frames, height, width = self.pictures.shape[:3]
        return VideoInfo(num_frames, width, height, self.frames_per_second, "frames")

    def read(self, indices: Sequence[int]) -> Clip[Frame]:
        """The frames with these numbers."""
        numbers = tuple(int(index) for index in indices)
        return Clip(self.pictures[list(numbers)], numbers, len(self.pictures))

    def timed(self) -> Iterator[TimedItem[Frame]]:
        """The frames with their times.

        Raises:
            ValueError: the rate is not known.
        """
        if self.frames_per_second is None:
            raise ValueError(
                f"{self} have no times; give frames_per_second, or windows in frames, such as 32f"
            )
        period = 1 / Fraction(self.frames_per_second).limit_denominator(1_000_000)
        for number, picture in enumerate(self.pictures):
            yield TimedItem(number, number * period, (number + 1) * period, picture)


def _as_pictures(frames: Any) -> Frame:
    """Frames in any form as an array (T, H, W, 3)."""
    if isinstance(frames, list | tuple):
        frames = _stacked([_as_array(frame) for frame in frames])
    array = _as_array(frames)
    if array.dtype != np.uint8:
        raise ValueError(
            f"got frames of {array.dtype}; {_FRAMES}: of values from 0 to 1, give "
            "(255 * frames).round() as uint8"
        )
    if array.ndim != 4:
        several = "; of several videos give a list" if array.ndim == 5 else ""
        raise ValueError(f"got frames of shape {array.shape}; {_FRAMES}{several}")
    if len(array) == 0:
        raise ValueError("got no frame; give at least one")
    if array.shape[3] == 3:
        return array
    if array.shape[1] == 3:
        return array.transpose(0, 2, 3, 1)
    if array.shape[0] == 3:
        raise ValueError(
            f"got frames of shape {array.shape}, which is (C, T, H, W); {_FRAMES}: exchange the "
            "first two axes"
        )
    raise ValueError(f"got frames of shape {array.shape}; {_FRAMES}")


def _as_array(frames: Any) -> Frame:
    if hasattr(frames, "convert"):  # a picture of Pillow, which may have a palette, or be grey
        frames = frames.convert("RGB")
    elif hasattr(frames, "detach"):  # a tensor, perhaps on another device
        frames = frames.detach().cpu()
    return np.asarray(frames)


def _stacked(pictures: Sequence[Frame]) -> Frame:
    if not pictures:
        raise ValueError("got an empty list; give at least one frame, or one video")
    if len(shapes := {picture.shape for picture in pictures}) > 1:
        raise ValueError(
            f"got frames of different shapes, {' and '.join(map(str, sorted(shapes)[:2]))}; the "
            "frames of a video have one"
        )
    return np.stack(pictures)


def several_videos(source: Any) -> list[VideoLike] | None:
    """The videos of a list of them; None of one video, also of the list of its frames.

    >>> several_videos(["a.mp4", "b.mp4"]), several_videos([np.zeros((48, 64, 3), np.uint8)])
    (['a.mp4', 'b.mp4'], None)
    """
    if not isinstance(source, list | tuple):
        return None
    is_picture = [hasattr(item, "convert") or getattr(item, "ndim", 0) == 3 for item in source]
    return None if all(is_picture) else list(source)


@contextmanager
def opened(source: VideoLike) -> Iterator[Path | VideoFrames]:
    """A video as a file on the disk, or as its frames; a file that is written for it is removed.

    Raises:
        UnreadableVideoError: an address that cannot be read.
        ValueError: what is no video.
    """
    if isinstance(source, VideoFrames):
        yield source
    elif (write := _writer(source)) is not None:
        with tempfile.TemporaryDirectory(prefix="mixtconv-") as folder:
            path = Path(folder, "video")
            with path.open("wb") as file:
                write(source, file)
            name = source if isinstance(source, str) else getattr(source, "name", "the given bytes")
            with _named(path, name):
                yield path
    elif isinstance(source, str | Path):
        yield Path(source)
    elif isinstance(source, list | tuple) or hasattr(source, "ndim"):
        yield VideoFrames(source)
    else:
        raise ValueError(
            f"got {type(source).__name__}; a video is a path, an address, bytes, a binary file, or "
            f"frames: {_FRAMES}, or a list of pictures"
        )


_ASKING = threading.RLock()
"""Datasets are seldom made for several threads, as check videos before a training; one may read
from another. No loader is begun, by a fork, while they do."""


def raised(error: Exception) -> str:
    """What a dataset has raised, in words."""
    return f"the dataset raised {type(error).__name__}: {error}"


@contextmanager
def given(video: DatasetVideo) -> Iterator[Path | VideoFrames]:
    """A video of a dataset as `opened` gives it.

    Raises:
        UnreadableVideoError: what the dataset gives is no video, or cannot be read.
    """
    try:
        with _ASKING:
            source = video.give(video.number)
    except UnreadableVideoError as error:
        raise UnreadableVideoError(video.name, error.reason) from error
    except Exception as error:  # a program's own
        raise UnreadableVideoError(video.name, raised(error)) from error
    try:
        with opened(source) as found:
            yield found if isinstance(found, Path) else replace(found, name=video.name)
    except UnreadableVideoError as error:
        raise UnreadableVideoError(video.name, error.reason) from error
    except ValueError as error:
        raise UnreadableVideoError(video.name, str(error)) from error


def is_address(source: str) -> bool:
    """Whether a name is an address on the web.

    >>> is_address("https://example.org/a.mp4"), is_address("http:/a.mp4")
    (True, False)
    """
    return source.lower().startswith(("http://", "https://"))


def _writer(source: VideoLike) -> Callable[[Any, IO[bytes]], object] | None:
    """What writes a source to a file; None of one that is no address, bytes or file."""
    if isinstance(source, str):
        return _download if is_address(source) else None
    if isinstance(source, bytes | bytearray | memoryview):
        return lambda content, file: file.write(content)
    return _copy if hasattr(source, "read") else None


@contextmanager
def _named(path: Path, name: object) -> Iterator[None]:
    """Errors name what the user gave, not the file that was written of it."""
    try:
        yield
    except UnreadableVideoError as error:
        raise UnreadableVideoError(name, error.reason_in(path)) from error


_COPYING = threading.Lock()


def _copy(source: Any, file: IO[bytes]) -> None:
    if isinstance(source.read(0), str):
        raise ValueError("got a file that is open as text; open it as bytes, with mode 'rb'")
    with _COPYING:  # files of one archive have one place in it
        start = source.tell() if source.seekable() else None
        shutil.copyfileobj(source, file)
        if start is not None:
            source.seek(start)  # it may be asked for again


def _download(address: str, file: IO[bytes]) -> None:
    try:
        with urllib.request.urlopen(address, timeout=DOWNLOAD_SECONDS) as answer:
            shutil.copyfileobj(answer, file)
    except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
        code = f"{error.code} " if isinstance(error, urllib.error.HTTPError) else ""
        reason = f"{code}{getattr(error, 'reason', None) or error}"
        raise UnreadableVideoError(address, f"cannot be downloaded: {reason}") from error
