"""The views of a video, clips times crops, as a protocol has them (see `protocol.py`).

Validation, testing and prediction all go through `read_views`, so that a score means the same
wherever it is made.
"""

from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from mixtconv.data.modality import join_snippets, read_model_clip
from mixtconv.data.protocol import Protocol
from mixtconv.data.transforms import CROPS, mirror, scoring_side
from mixtconv.data.view_reader import ReadViews
from mixtconv.models.spec import ModelSpec


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
