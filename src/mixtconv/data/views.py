"""A protocol of views: how many clips and crops of a video are scored together.

Validation, testing and prediction all go through `read_views`, so that a score means the same
wherever it is made. Protocols by number of clips and crops, as published: `1x1` one clip, centre
crop; `2x3` two clips, three full-resolution crops (TSM on Something-Something); `10x3` ten clips,
three crops (Non-local and TSM on Kinetics).
"""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mixtconv.data.modality import join_snippets, read_model_clip
from mixtconv.data.sampling import scoring_clips
from mixtconv.data.transforms import CROPS, scoring_side
from mixtconv.models.spec import ModelSpec


@dataclass(frozen=True)
class Protocol:
    """Clips times crops of a video; their logits are averaged."""

    num_clips: int = 1
    """Clips over time."""
    num_crops: int = 1
    """Crops of every clip: 1 (centre) or 3 (along the long side, at full resolution)."""

    def __post_init__(self) -> None:
        if self.num_clips < 1 or self.num_crops not in CROPS:
            raise ValueError(
                f"protocol is {self.num_clips} clips x {self.num_crops} crops; allowed are 1 clip "
                f"or more, and {' or '.join(map(str, CROPS))} crops"
            )

    @classmethod
    def parse(cls, name: str) -> "Protocol":
        """Read a name such as `2x3`: two clips, three crops.

        Raises:
            ValueError: anything else.

        >>> Protocol.parse("2x3")
        Protocol(num_clips=2, num_crops=3)
        """
        match = re.fullmatch(r"(\d+)x(\d+)", name)
        if match is None:
            raise ValueError(f"protocol is {name!r}; give clips x crops, such as 1x1, 2x3 or 10x3")
        return cls(int(match[1]), int(match[2]))

    @property
    def num_views(self) -> int:
        return self.num_clips * self.num_crops

    def __str__(self) -> str:
        return f"{self.num_clips}x{self.num_crops}"

    def describe(self, spec: ModelSpec) -> str:
        """The protocol in words, with the clips of a model.

        >>> Protocol(1, 1).describe(ModelSpec("tsn_resnet18", ("a", "b")))
        '1x1: 1 clip of 8 frames (segment) x 1 crop, 224 pixels, logits averaged'
        """
        size = CROPS[self.num_crops](torch.zeros(1, 3, 32, 32), spec.image_size)[0].shape[-1]
        return (
            f"{self}: {_count(self.num_clips, 'clip')} of {spec.num_frames} frames "
            f"({spec.sampling}) x {_count(self.num_crops, 'crop')}, {size} pixels, logits averaged"
        )


def read_views(path: Path, spec: ModelSpec, protocol: Protocol) -> Tensor:
    """Read the views of a video: uint8 (V, T, C, S, S), clip by clip, each with its crops.

    Raises:
        UnreadableVideoError: the video gives no usable frame.
    """

    def choose(num_video_frames: int) -> list[int]:
        clips = scoring_clips(spec, num_video_frames, protocol.num_clips)
        return [frame for clip in clips for frame in clip]

    clip = read_model_clip(path, choose, spec, least_short_side=scoring_side(spec.image_size))
    return join_snippets(crop_views(clip.frames, spec, protocol), spec)


def crop_views(frames: Tensor, spec: ModelSpec, protocol: Protocol) -> Tensor:
    """The views in frames that lie clip by clip: (clips * T, 3, H, W) -> (V, T, 3, S, S)."""
    clips = frames.unflatten(0, (protocol.num_clips, spec.num_frames))  # (clips, T, 3, H, W)
    crops = CROPS[protocol.num_crops]
    views = [view for clip in clips for view in crops(clip, spec.image_size)]
    return torch.stack(views)  # (V, T, 3, S, S)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number > 1 else "")
