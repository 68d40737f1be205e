"""From a video to the views that a recognizer takes, whichever engine runs its network.

The middle of pictures, as models are tested on it; without torch.

Pillow resizes as torchvision does, to a difference of at most one of 255 steps: both average over
the pixels that a new one covers.

Views as arrays, without torch: one clip of pictures and its middle.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from mixtconv._types import Frame
from mixtconv.models.spec import ModelSpec
from mixtconv.video.reader import read_pictures
from mixtconv.video.sampling import place_clips


@dataclass(frozen=True)
class ReadViews:
    """The views of a video, with the frames that they were made of."""

    frames: Any
    """uint8 (V, T, C, S, S), clip by clip, each with its crops: torch's tensor or NumPy's array, by
    the reader."""
    indices: tuple[int, ...]
    """Numbers, in the video, of the frames (of modalities other than pictures, of the first frames
    of the snippets), clip by clip."""
    num_frames: int
    """Frames of the whole video."""


class ViewReader(ABC):
    """Reads what one model takes of videos; plain enough to be sent to another process."""

    spec: ModelSpec
    """The model."""

    @abstractmethod
    def read(self, video: Path, *, num_threads: int | None = None) -> ReadViews:
        """The views of a video: a file, or a folder of numbered pictures.

        Args:
            video: the video.
            num_threads: the decoder's; by default as many as it likes.

        Raises:
            UnreadableVideoError: the video gives no usable frame.
        """

    @abstractmethod
    def keep(self, picture: Frame) -> Any:
        """What is kept of a frame (H, W, 3) until the windows that it lies in are complete."""

    @abstractmethod
    def views_of(self, kept: Sequence[Any]) -> Any:
        """The views of a window, from what was kept of its frames; as of a file of just these."""

    @abstractmethod
    def describe(self) -> str:
        """The views in words."""


RESIZE_RATIO = 256 / 224
"""Short side of a frame before cropping for a test, as a multiple of the crop."""


def scoring_side(size: int) -> int:
    """Short side to which frames are resized before they are cropped for a test.

    >>> scoring_side(224)
    256
    """
    return round(size * RESIZE_RATIO)


def center_crop_pictures(pixels: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """The middle of pictures: short side to size * 256 / 224, then size x size.

    Args:
        pixels: RGB (T, H, W, 3).
        size: S.

    Returns:
        (T, S, S, 3), as `transforms.center_crop` has it.

    >>> center_crop_pictures(np.zeros((8, 256, 340, 3), dtype=np.uint8), 224).shape
    (8, 224, 224, 3)
    """
    height, width = pixels.shape[1:3]
    short, side = min(height, width), scoring_side(size)
    new_height, new_width = (
        side if each == short else side * each // short for each in (height, width)
    )
    top, left = round((new_height - size) / 2), round((new_width - size) / 2)
    box = (left, top, left + size, top + size)
    resized = (
        Image.fromarray(np.ascontiguousarray(picture))
        .resize((new_width, new_height), Image.Resampling.BILINEAR)
        .crop(box)
        for picture in pixels
    )
    return np.stack([np.asarray(picture) for picture in resized])  # (T, S, S, 3)


@dataclass(frozen=True)
class PictureViewReader(ViewReader):
    """Reads the one view of protocol 1x1."""

    spec: ModelSpec
    """The model, of modality rgb."""

    def read(self, video: Path, *, num_threads: int | None = None) -> ReadViews:
        """The views of a video, uint8 (1, T, 3, S, S)."""
        size = self.spec.image_size
        pictures = read_pictures(
            video,
            self._chosen,
            num_threads=num_threads or 0,
            least_short_side=scoring_side(size),
        )
        views = _as_views(center_crop_pictures(pictures.pixels, size))
        return ReadViews(views, tuple(pictures.indices), pictures.num_frames)

    def keep(self, picture: Frame) -> Frame:
        """The middle of a frame, (S, S, 3)."""
        return center_crop_pictures(picture[None], self.spec.image_size)[0]

    def views_of(self, kept: Sequence[Frame]) -> npt.NDArray[np.uint8]:
        """The clip of a window, uint8 (1, T, 3, S, S)."""
        return _as_views(np.stack([kept[index] for index in self._chosen(len(kept))]))

    def describe(self) -> str:
        """The views in words."""
        spec = self.spec
        return (
            f"1x1: 1 clip of {spec.num_frames} frames ({spec.sampling}) x 1 crop, "
            f"{spec.image_size} pixels"
        )

    def _chosen(self, num_frames: int) -> list[int]:
        [clip] = place_clips("own", self.spec, num_frames, 1)
        return clip


def _as_views(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A clip (T, S, S, 3) as the only view (1, T, 3, S, S)."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)[None])
