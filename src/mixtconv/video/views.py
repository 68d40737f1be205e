"""From a video to the views that a recognizer takes, whichever engine runs its network.

`ViewReader` is the interface. `PictureViewReader` reads one clip and its centre crop as arrays, for
exported models; views of any protocol and modality, as tensors, are in `mixtconv.data.views`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtconv._types import Frame
from mixtconv.models.spec import ModelSpec
from mixtconv.video.crops import center_crop_pictures, scoring_side
from mixtconv.video.in_memory import VideoFrames
from mixtconv.video.pictures import Clip
from mixtconv.video.sampling import place_clips
from mixtconv.video.segment import Video
from mixtconv.video.segment_frames import read_video


class ViewReader(ABC):
    """Reads the views of videos that one model takes; can be pickled."""

    spec: ModelSpec
    """The model."""

    @abstractmethod
    def read(self, video: Video | VideoFrames, *, num_threads: int | None = None) -> Clip[Any]:
        """The views of a video, uint8 (V, T, C, S, S), clip by clip, each with its crops.

        Args:
            video: a file, a folder of numbered pictures, a segment of one, or frames in memory.
            num_threads: threads of the decoder; by default the codec's choice.

        Returns:
            The views, a tensor or an array depending on the reader, and the frames in them.

        Raises:
            UnreadableVideoError: the video has no usable frame.
        """

    @abstractmethod
    def keep(self, picture: Frame) -> Any:
        """The part of a frame (H, W, 3) to keep until all windows that contain it are complete."""

    @abstractmethod
    def views_of(self, kept: Sequence[Any]) -> Any:
        """The views of a window from the kept parts of its frames, as of a file of these frames."""


@dataclass(frozen=True)
class PictureViewReader(ViewReader):
    """Reads the one view of protocol 1x1."""

    spec: ModelSpec
    """The model, of modality rgb or motion."""

    def read(self, video: Video | VideoFrames, *, num_threads: int | None = None) -> Clip[Frame]:
        """The views of a video, uint8 (1, T, 3, S, S)."""
        size = self.spec.image_size
        clip = read_video(
            video,
            self._frame_indices,
            num_threads=num_threads or 0,
            least_short_side=scoring_side(size),
        )
        views = _as_views(center_crop_pictures(clip.frames, size))
        return Clip(views, clip.indices, clip.num_frames)

    def keep(self, picture: Frame) -> Frame:
        """The centre crop of a frame, (S, S, 3)."""
        return center_crop_pictures(picture[None], self.spec.image_size)[0]

    def views_of(self, kept: Sequence[Frame]) -> Frame:
        """The clip of a window, uint8 (1, T, 3, S, S)."""
        return _as_views(np.stack([kept[index] for index in self._frame_indices(len(kept))]))

    def _frame_indices(self, num_frames: int) -> list[int]:
        [clip] = place_clips("own", self.spec, num_frames, 1)
        return clip


def _as_views(pixels: Frame) -> Frame:
    """A clip (T, S, S, 3) as the only view (1, T, 3, S, S)."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)[None])
