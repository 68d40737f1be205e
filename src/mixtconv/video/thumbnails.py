"""Small grey pictures of evenly spaced frames, by which videos are compared.

They are taken while a video is decoded for another reason. Frames are a power of two apart, so that
the pictures of any two videos can be brought to the same step.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mixtconv._types import Frame
from mixtconv.video.decoding import to_square_grey

SIDE = 12
"""Height and width of the pictures; aspect is not kept."""

MOST = 48
"""Pictures of a video at most, and more than half as many of a video of more frames."""


@dataclass(frozen=True, eq=False)
class Thumbnails:
    """The pictures of one video."""

    pictures: npt.NDArray[np.uint8]
    """(N, SIDE, SIDE), grey values."""
    step: int
    """Frames from one to the next, from the first frame on: a power of two."""


def thumbnail_step(num_frames: int) -> int:
    """Frames from one picture to the next.

    >>> [thumbnail_step(number) for number in (1, 48, 49, 300)]
    [1, 1, 2, 8]
    """
    return 1 << max(0, (max(num_frames, 1) - 1) // MOST).bit_length()


class ThumbnailTaker:
    """Takes the pictures of a video as its frames pass by, in order.

    Args:
        num_frames: frames of the video, about.
    """

    def __init__(self, num_frames: int) -> None:
        self.step = thumbnail_step(num_frames)
        self._pictures: list[npt.NDArray[np.uint8]] = []
        self._scaler: Any = None

    def see_frame(self, number: int, frame: Any) -> None:
        """Take the picture of a frame of PyAV, if it is one of those."""
        if number % self.step:
            return
        if self._scaler is None:
            from av.video.reformatter import VideoReformatter  # noqa: PLC0415

            self._scaler = VideoReformatter()
        self._pictures.append(to_square_grey(frame, SIDE, self._scaler))

    def see_picture(self, number: int, picture: Frame) -> None:
        """Take the picture of a frame `(H, W, 3)`, if it is one of those."""
        if number % self.step == 0:
            box = Image.Resampling.BOX
            small = Image.fromarray(picture).resize((SIDE, SIDE), box, reducing_gap=1.0)
            self._pictures.append(np.asarray(small.convert("L")))

    def result(self) -> Thumbnails | None:
        """The pictures, None without any."""
        return Thumbnails(np.stack(self._pictures), self.step) if self._pictures else None
