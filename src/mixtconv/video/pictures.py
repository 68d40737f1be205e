"""What reading a video gives: its pictures, the facts about a file, the error.

Here and in what reads videos nothing imports torch, so that an exported model runs without it; what
makes tensors of pictures is `tensor_clip.py`.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class UnreadableVideoError(ValueError):
    """A video from which no frame can be had; the message names the file and says why.

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

    def reason_in(self, video: Path) -> str:
        """The reason, with the name of the picture where it is that of one in a folder.

        >>> UnreadableVideoError("clips/a/00002.jpg", "damaged").reason_in(Path("clips/a"))
        '00002.jpg: damaged'
        """
        path = Path(self.path)
        return self.reason if path == video else f"{path.name}: {self.reason}"


class Unreadable(NamedTuple):
    """A video that could not be read.

    A named tuple, because it travels in batches, and Lightning moves no frozen dataclass in one.

    >>> print(Unreadable(Path("clips/a.mp4"), "the file is empty"))
    clips/a.mp4: the file is empty
    """

    path: Path
    """The file, or the folder of pictures."""
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
    """Pictures announced by the file's packets; decoding may find fewer in a damaged file."""
    width: int
    """Width in pixels of a frame as it is read, that is after the file's rotation is applied."""
    height: int
    """Height in pixels of a frame as it is read."""
    frames_per_second: float | None
    """Average rate, or None where the source does not say (a folder of pictures never does)."""
    codec: str
    """Name of the codec, or `pictures` for a folder."""

    @property
    def duration_seconds(self) -> float | None:
        """Length in seconds at the average rate."""
        rate = self.frames_per_second
        return None if rate is None else self.num_frames / rate


@dataclass(frozen=True)
class Pictures:
    """Pictures taken from one video, in the order in which they were asked for."""

    pixels: npt.NDArray[np.uint8]
    """RGB, `(T, H, W, 3)`."""
    indices: tuple[int, ...]
    """Of each picture, its number in a decoding of the whole video from its start."""
    num_frames: int
    """Frames in the whole video."""
