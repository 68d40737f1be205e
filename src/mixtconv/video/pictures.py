"""The results of reading a video: its frames, facts about the file, the error."""

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

from mixtconv.video.segment import Video, recording_of

Pixels = TypeVar("Pixels")


class UnreadableVideoError(ValueError):
    """A video of which no frame can be read; the message names the file and the reason.

    >>> raise UnreadableVideoError("clips/a.mp4", "the file is empty")
    Traceback (most recent call last):
    ...
    mixtconv.video.pictures.UnreadableVideoError: clips/a.mp4: the file is empty
    """

    def __init__(self, path: object, reason: str) -> None:
        super().__init__(str(path), reason)
        self.path = str(path)
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"

    def reason_in(self, video: Video) -> str:
        """The reason, after the name of the picture if a single one in the folder is at fault.

        >>> UnreadableVideoError("clips/a/00002.jpg", "damaged").reason_in(Path("clips/a"))
        '00002.jpg: damaged'
        """
        if self.path in (str(video), str(recording_of(video))):
            return self.reason
        return f"{Path(self.path).name}: {self.reason}"


class Unreadable(NamedTuple):
    """A video that could not be read.

    A named tuple, because it travels in batches, and Lightning moves no frozen dataclass in one.

    >>> print(Unreadable(Path("clips/a.mp4"), "the file is empty"))
    clips/a.mp4: the file is empty
    """

    path: Video
    """The file, or the folder of pictures, or the segment of it."""
    reason: str
    """Why it could not be read."""

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"

    def to_dict(self) -> dict[str, str]:
        """Plain values, as commands print them with `--format json`."""
        return {"path": str(self.path), "reason": self.reason}


@dataclass(frozen=True)
class VideoInfo:
    """Facts about one video, a file or a folder of pictures."""

    num_frames: int
    """Frames announced by the file's packets; decoding may give fewer if the file is damaged."""
    width: int
    """Width of a frame in pixels, after the file's rotation is applied."""
    height: int
    """Height of a frame in pixels, after the file's rotation is applied."""
    frames_per_second: float | None
    """Average rate; None if unknown, as for every folder of pictures."""
    codec: str
    """Name of the codec, or `pictures` for a folder."""

    @property
    def duration_seconds(self) -> float | None:
        """Length in seconds at the average rate."""
        rate = self.frames_per_second
        return None if rate is None else self.num_frames / rate


@dataclass(frozen=True)
class Clip(Generic[Pixels]):
    """Frames of one video, in the requested order."""

    frames: Pixels
    """uint8: an array (T, H, W, 3) as decoded, a tensor (T, C, H, W), or the views (V, T, C, S, S)
    made of them."""
    indices: tuple[int, ...]
    """Number of each frame, counted from the start of the video; of views clip by clip, and of
    snippets of several frames that of the first."""
    num_frames: int
    """Frames of the whole video."""
