"""The views of a video, clips times crops, as a protocol has them (see `protocol.py`).

Validation, testing and prediction all go through `read_views`, so that a score means the same
wherever it is made.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mixtconv.data.modality import join_snippets, read_model_clip
from mixtconv.data.protocol import Protocol
from mixtconv.data.transforms import CROPS, mirror, scoring_side
from mixtconv.models.spec import ModelSpec


@dataclass(frozen=True)
class Views:
    """The views of a video, with the frames that they were made of."""

    frames: Tensor
    """uint8 (V, T, C, S, S), clip by clip, each with its crops."""
    indices: tuple[int, ...]
    """Numbers, in the video, of the frames (of modalities other than pictures, of the first frames
    of the snippets), clip by clip."""
    num_frames: int
    """Frames of the whole video."""


def read_views(path: Path, spec: ModelSpec, protocol: Protocol) -> Tensor:
    """Read the views of a video: uint8 (V, T, C, S, S), clip by clip, each with its crops.

    Raises:
        UnreadableVideoError: the video gives no usable frame.
    """
    return read_indexed_views(path, spec, protocol).frames


def read_indexed_views(
    path: Path, spec: ModelSpec, protocol: Protocol, *, num_threads: int | None = None
) -> Views:
    """Read the views of a video as `read_views` does, and say which frames they show.

    `num_threads` is the decoder's, as for `video.read_clip`.
    """

    def choose(num_video_frames: int) -> list[int]:
        return [frame for clip in protocol.clips(spec, num_video_frames) for frame in clip]

    side = scoring_side(spec.image_size)
    clip = read_model_clip(path, choose, spec, least_short_side=side, num_threads=num_threads)
    frames = join_snippets(crop_views(clip.frames, spec, protocol), spec)
    return Views(frames, clip.indices, clip.num_frames)


def crop_views(frames: Tensor, spec: ModelSpec, protocol: Protocol) -> Tensor:
    """The views in frames that lie clip by clip: (clips * T, 3, H, W) -> (V, T, 3, S, S)."""
    num_frames = protocol.clip_frames(spec)
    clips = frames.unflatten(0, (protocol.num_clips, num_frames))  # (clips, T, 3, H, W)
    crops = CROPS[protocol.num_crops]
    views = [view for clip in clips for view in crops(clip, spec.image_size)]
    return torch.stack(
        [
            mirror(view, spec.modality) if mirrored else view
            for view, mirrored in zip(views, protocol.mirrored, strict=True)
        ]
    )  # (V, T, 3, S, S)
