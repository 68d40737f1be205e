"""The views of a video, clips times crops of a protocol, as tensors of any modality.

Validation, testing and prediction all read views here, so that a score means the same everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from mixtconv._types import Frame
from mixtconv.data.clips import as_frames
from mixtconv.data.frame_cache import FrameCache
from mixtconv.data.modality import join_snippets, read_model_clip, snippet_frames
from mixtconv.data.protocol import Protocol
from mixtconv.data.transforms import CROPS, OWN_SIZE_CROPS, mirror, scoring_side
from mixtconv.models.spec import ModelSpec
from mixtconv.video.in_memory import VideoFrames
from mixtconv.video.pictures import Clip
from mixtconv.video.segment import Video
from mixtconv.video.views import ViewReader


@dataclass(frozen=True)
class TensorViewReader(ViewReader):
    """Reads the views of a protocol."""

    spec: ModelSpec
    """The model."""
    protocol: Protocol
    """Clips and crops of a video."""
    cache: FrameCache | None = None
    """Shrunk frames of some videos, read in place of them."""

    def read(self, video: Video | VideoFrames, *, num_threads: int | None = None) -> Clip[Tensor]:
        """The views of a video: uint8 (V, T, C, S, S), clip by clip, each with its crops."""
        spec, protocol = self.spec, self.protocol
        clip = read_model_clip(
            video,
            partial(protocol.frame_indices, spec),
            spec,
            least_short_side=scoring_side(spec.image_size),
            num_threads=num_threads,
            cache=self.cache,
        )
        clips = clip.frames.unflatten(0, (protocol.num_clips, protocol.clip_frames(spec)))
        views = torch.stack([view for frames in clips for view in self._crops(frames)])
        frames = join_snippets(self._mirrored(views), spec)
        return Clip(frames, clip.indices, clip.num_frames)

    def keep(self, picture: Frame) -> Tensor:
        """The crops of a frame, (crops, 3, S, S)."""
        frame = as_frames(picture[None].copy())  # (1, 3, H, W)
        return torch.stack([crop[0] for crop in self._crops(frame)])

    def _crops(self, frames: Tensor) -> list[Tensor]:
        """Crops (T, 3, S, S) of frames (T, 3, H, W)."""
        functions = CROPS if self.protocol.crop_size == "full" else OWN_SIZE_CROPS
        return functions[self.protocol.num_crops](frames, self.spec.image_size)

    def views_of(self, kept: Sequence[Tensor]) -> Tensor:
        """The views of a window, uint8 (V, T, C, S, S), as `read` returns those of a file."""
        spec, protocol = self.spec, self.protocol
        choose = partial(protocol.frame_indices, spec)
        indices = snippet_frames(len(kept), choose, spec.snippet.num_frames)
        frames = torch.stack([kept[index] for index in indices])  # (F, crops, 3, S, S)
        clips = frames.unflatten(0, (protocol.num_clips, protocol.clip_frames(spec), -1))
        views = self._mirrored(clips.movedim(3, 1).flatten(0, 1))  # (V, T, L, 3, S, S)
        return join_snippets(views if spec.snippet.num_frames > 1 else views.squeeze(2), spec)

    def _mirrored(self, views: Tensor) -> Tensor:
        """All views (V, ...), of which those that the protocol says are mirrored."""
        modality, is_mirrored = self.spec.modality, self.protocol.mirrored
        pairs = zip(views, is_mirrored, strict=True)
        return torch.stack([mirror(view, modality) if flip else view for view, flip in pairs])
