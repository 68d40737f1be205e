"""Recognizers that take a clip as a whole: 3D networks, and several recognizers as one.

The members of an ensemble each see a part of the clip, and their logits are averaged. Two are
published: ECO En Lite (arXiv 1804.09066) is four ECO Lite networks over 16, 20, 24 and 32 frames of
a video; two-stream networks (arXiv 1406.2199) are one over pictures and one over optical flow, as
those of TRN (arXiv 1711.08496).
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import fields

import torch
from torch import Tensor, nn

from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.spec import SNIPPETS, ModelSpec, TemporalSettings


class ClipClassifier(VideoClassifier):
    """Logits of a clip, from one feature of it: (B, T, C, H, W) -> (B, num_classes).

    Args:
        backbone: clips (B, T, C, H, W) to features (B, D), or to feature maps (B, D, T', H', W'),
            of which the average is taken.
        num_features: D.
        spec: as in `VideoClassifier`, with the default `TemporalSettings`.
        frames_multiple: the number of frames of a clip must be a multiple of it.
        length_is_fixed: whether only clips of `spec.num_frames` are possible.

    Raises:
        ValueError: clips of another number of frames, or settings of a temporal operation.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_features: int,
        spec: ModelSpec,
        *,
        frames_multiple: int = 1,
        length_is_fixed: bool = False,
    ) -> None:
        for setting in fields(TemporalSettings):
            value = getattr(spec, setting.name)
            if value != setting.default:
                raise ValueError(
                    f"{spec.name} has no temporal operation that {setting.name}={value!r} could "
                    "mean; leave it out"
                )
        _check_multiple(spec.name, spec.num_frames, frames_multiple)
        super().__init__(backbone, num_features, spec)
        self.frames_multiple = frames_multiple
        self.length_is_fixed = length_is_fixed

    def forward_features(self, video: Tensor) -> Tensor:
        """The feature of the clip as that of a single place: (B, T, C, H, W) -> (B, 1, D)."""
        self.check_length(video)
        features = self.backbone(video)  # (B, D, ...)
        if features.ndim > 2:
            features = features.flatten(2).mean(dim=2)
        return features[:, None]  # (B, 1, D)

    def networks(self) -> Iterator[tuple[nn.Module, str]]:
        """The networks that its backbone names in `network_names`, or the backbone."""
        names = getattr(self.backbone, "network_names", ())
        yield from ((self.backbone, name) for name in names)
        if not names:
            yield self, "backbone"

    def set_num_frames(self, num_frames: int) -> None:
        _check_multiple(self.spec.name, num_frames, self.frames_multiple)
        super().set_num_frames(num_frames)


def _check_multiple(name: str, num_frames: int, multiple: int) -> None:
    if num_frames % multiple:
        raise ValueError(
            f"num_frames is {num_frames}; {name} takes clips of a multiple of {multiple} frames"
        )


class EnsembleClassifier(VideoClassifier, ABC):
    """The average of the logits of members: (B, T, C, H, W) -> (B, num_classes).

    Args:
        members: recognizers of the same classes.
        spec: of the ensemble.
    """

    length_is_fixed = True

    def __init__(self, members: Sequence[VideoClassifier], spec: ModelSpec) -> None:
        width = sum(member.num_features for member in members)
        super().__init__(nn.ModuleList(members), width, spec, head=nn.Identity())

    @property
    def members(self) -> list[VideoClassifier]:
        """The recognizers of the ensemble."""
        return [
            member for member in self.backbone.children() if isinstance(member, VideoClassifier)
        ]

    @abstractmethod
    def member_clips(self, video: Tensor) -> list[Tensor]:
        """The input of each member, from clips (B, T, C, H, W)."""

    def forward_frames(self, video: Tensor) -> Tensor:
        """Logits of each member: (B, T, C, H, W) -> (B, members, num_classes).

        Without classes, `forward_features`.
        """
        self.check_length(video)
        if self.num_classes == 0:
            return self.forward_features(video)
        pairs = zip(self.members, self.member_clips(video), strict=True)
        return torch.stack([member(clips) for member, clips in pairs], dim=1)

    def forward_features(self, video: Tensor) -> Tensor:
        """Features of the members, averaged over their frames: (B, 1, sum of all D)."""
        self.check_length(video)
        pairs = zip(self.members, self.member_clips(video), strict=True)
        features = [member.forward_features(clips).mean(dim=1) for member, clips in pairs]
        return torch.cat(features, dim=1)[:, None]  # (B, 1, sum of D)

    def frame_logits(self, features: Tensor) -> Tensor:
        """Refused: the members' last layers take features of different frames."""
        raise ValueError(
            f"{self.spec.name} averages the logits of {len(self.members)} networks, each with a "
            "last layer of its own: call the recognizer on clips"
        )

    def get_classifier(self) -> nn.Module:
        """The last layers of the members."""
        return nn.ModuleList(member.get_classifier() for member in self.members)

    def last_layers(self) -> Iterator[nn.Linear]:
        for member in self.members:
            yield from member.last_layers()

    def reset_classifier(
        self, num_classes: int | None = None, *, classes: Sequence[str] | None = None
    ) -> None:
        for member in self.members:
            member.reset_classifier(num_classes, classes=classes)
        self.spec = self.spec.with_classes(self.members[0].spec.classes)
        self.notes = {}

    def networks(self) -> Iterator[tuple[nn.Module, str]]:
        for member in self.members:
            yield from member.networks()


class FrameEnsemble(EnsembleClassifier):
    """Members that see different frames of a clip (see `interleave_frames`)."""

    def __init__(self, members: Sequence[VideoClassifier], spec: ModelSpec) -> None:
        super().__init__(members, spec)
        self.frames = interleave_frames([member.num_frames for member in members])

    def member_clips(self, video: Tensor) -> list[Tensor]:
        return [video[:, frames] for frames in self.frames]


class TwoStream(EnsembleClassifier):
    """A member for pictures and one for optical flow, at the same places in time."""

    def member_clips(self, video: Tensor) -> list[Tensor]:
        channels = [SNIPPETS[member.spec.modality].in_channels for member in self.members]
        return list(video.split(channels, dim=2))


def interleave_frames(counts: Sequence[int]) -> list[list[int]]:
    """Distribute the frames of a clip among networks, so that each sees all of the clip's course.

    Args:
        counts: frames of each network.

    Returns:
        For each network its frames, in order. Every frame of the clip goes to one network, and
        those of a network are as evenly spaced as that permits.

    >>> interleave_frames([2, 4])
    [[1, 4], [0, 2, 3, 5]]
    """
    # Every network places its frames evenly in 0 to 1; in order of place, they get the clip's.
    places = sorted(
        ((index + 0.5) / count, network)
        for network, count in enumerate(counts)
        for index in range(count)
    )
    return [
        [frame for frame, (_, owner) in enumerate(places) if owner == network]
        for network in range(len(counts))
    ]
