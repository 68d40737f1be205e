"""Real frames on which an exported file is compared with PyTorch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mixtconv.data.find_videos import find_videos
from mixtconv.data.picture_crop import center_crop_pictures
from mixtconv.data.protocol import Protocol
from mixtconv.data.sampling import place_clips
from mixtconv.data.synthetic.classes import classes
from mixtconv.data.synthetic.clip import LARGEST_SIZE, render_clip
from mixtconv.data.tensor_clip import as_frames
from mixtconv.data.views import read_views
from mixtconv.models import ModelSpec

NUM_SYNTHETIC = 3
"""Clips of the synthetic dataset that are rendered where no video is given."""


def frames_to_compare(spec: ModelSpec, videos: Sequence[str | Path], num_frames: int) -> Tensor:
    """Clips as they are read, uint8 (N, T, C, S, S).

    Args:
        spec: what the model takes.
        videos: files, folders and patterns; where none is given, clips of the synthetic dataset.
        num_frames: T.

    Raises:
        ValueError: no such video, or one that cannot be read.
    """
    spec = replace(spec, num_frames=num_frames)
    if not videos:
        return torch.stack([_synthetic(spec, number) for number in range(NUM_SYNTHETIC)])
    return torch.cat([read_views(path, spec, Protocol(1, 1)) for path in find_videos(videos)])


def _synthetic(spec: ModelSpec, number: int) -> Tensor:
    """One clip (T, C, S, S); for motion, pictures that follow each other stand in as channels."""
    name = classes()[number].name
    size = min(max(spec.image_size, 32), LARGEST_SIZE)
    pictures = render_clip(name, seed=number, size=size).frames  # (N, H, W, 3)
    frames = as_frames(center_crop_pictures(pictures, spec.image_size))  # (N, 3, S, S)
    length = -(-spec.snippet.channels // 3)
    [starts] = place_clips("own", spec, max(1, len(frames) - length + 1), 1)
    chosen = np.minimum(np.add.outer(starts, np.arange(length)), len(frames) - 1)
    return frames[torch.from_numpy(chosen)].flatten(1, 2)[:, : spec.snippet.channels]
