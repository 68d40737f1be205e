"""The views of a video, clips times crops, as a protocol has them (see `protocol.py`).

Validation, testing and prediction all go through `read_views`, so that a score means the same
wherever it is made.

Views as tensors, for torch: the clips and crops of a protocol, of any modality.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from mixtconv._types import Frame
from mixtconv.data.clips import as_frames
from mixtconv.data.modality import join_snippets, read_model_clip, snippet_frames
from mixtconv.data.protocol import Protocol
from mixtconv.data.transforms import CROPS, mirror, scoring_side
from mixtconv.models.spec import ModelSpec
from mixtconv.video.views import ReadViews, ViewReader


def read_views(path: Path, spec: ModelSpec, protocol: Protocol) -> Tensor:
    """Read the views of a video: uint8 (V, T, C, S, S), clip by clip, each with its crops.

    Raises:
        UnreadableVideoError: the video gives no usable frame.
    """
    return read_indexed_views(path, spec, protocol).frames


def read_indexed_views(
    path: Path, spec: ModelSpec, protocol: Protocol, *, num_threads: int | None = None
) -> ReadViews:
    """Read the views of a video as `read_views` does, and say which frames they show.

    `num_threads` is the decoder's, as for `video.read_clip`.
    """

    clip = read_model_clip(
        path,
        partial(chosen_frames, spec, protocol),
        spec,
        least_short_side=scoring_side(spec.image_size),
        num_threads=num_threads,
    )
    frames = join_snippets(crop_views(clip.frames, spec, protocol), spec)
    return ReadViews(frames, clip.indices, clip.num_frames)


def crop_views(frames: Tensor, spec: ModelSpec, protocol: Protocol) -> Tensor:
    """The views in frames that lie clip by clip: (clips * T, 3, H, W) -> (V, T, 3, S, S)."""
    num_frames = protocol.clip_frames(spec)
    clips = frames.unflatten(0, (protocol.num_clips, num_frames))  # (clips, T, 3, H, W)
    crops = CROPS[protocol.num_crops]
    views = [view for clip in clips for view in crops(clip, spec.image_size)]
    return mirror_views(torch.stack(views), spec, protocol)  # (V, T, 3, S, S)


def chosen_frames(spec: ModelSpec, protocol: Protocol, num_frames: int) -> list[int]:
    """Numbers of the frames of all clips, clip by clip, in a video of so many."""
    return [frame for clip in protocol.clips(spec, num_frames) for frame in clip]


def mirror_views(views: Tensor, spec: ModelSpec, protocol: Protocol) -> Tensor:
    """Mirror those of all views (V, ...) that the protocol has mirrored."""
    return torch.stack(
        [
            mirror(view, spec.modality) if mirrored else view
            for view, mirrored in zip(views, protocol.mirrored, strict=True)
        ]
    )


@dataclass(frozen=True)
class TensorViewReader(ViewReader):
    """Reads the views of a protocol."""

    spec: ModelSpec
    """The model."""
    protocol: Protocol
    """Clips and crops of a video."""

    def read(self, video: Path, *, num_threads: int | None = None) -> ReadViews:
        """The views of a video."""
        return read_indexed_views(video, self.spec, self.protocol, num_threads=num_threads)

    def keep(self, picture: Frame) -> Tensor:
        """The crops of a frame, (crops, 3, S, S)."""
        frame = as_frames(picture[None].copy())  # (1, 3, H, W)
        crops = CROPS[self.protocol.num_crops](frame, self.spec.image_size)
        return torch.stack([crop[0] for crop in crops])

    def views_of(self, kept: Sequence[Tensor]) -> Tensor:
        """The views of a window, uint8 (V, T, C, S, S), as `read_views` has those of a file."""
        spec, protocol = self.spec, self.protocol
        choose = partial(chosen_frames, spec, protocol)
        chosen = snippet_frames(len(kept), choose, spec.snippet.num_frames)
        frames = torch.stack([kept[index] for index in chosen])  # (F, crops, 3, S, S)
        clips = frames.unflatten(0, (protocol.num_clips, protocol.clip_frames(spec), -1))
        views = clips.movedim(3, 1).flatten(0, 1)  # (V, T, L, 3, S, S)
        views = mirror_views(views, spec, protocol)
        return join_snippets(views if spec.snippet.num_frames > 1 else views.squeeze(2), spec)

    def describe(self) -> str:
        """The views in words, see `Protocol.describe`."""
        return self.protocol.describe(self.spec)
