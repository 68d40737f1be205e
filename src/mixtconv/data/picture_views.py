"""Views as arrays, without torch: one clip of pictures and its middle."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtconv.data.decoding import Picture
from mixtconv.data.picture_crop import center_crop_pictures, scoring_side
from mixtconv.data.picture_reader import read_pictures
from mixtconv.data.sampling import place_clips
from mixtconv.data.view_reader import ReadViews, ViewReader
from mixtconv.models.spec import ModelSpec


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

    def keep(self, picture: Picture) -> Picture:
        """The middle of a frame, (S, S, 3)."""
        return center_crop_pictures(picture[None], self.spec.image_size)[0]

    def views_of(self, kept: Sequence[Picture]) -> npt.NDArray[np.uint8]:
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
