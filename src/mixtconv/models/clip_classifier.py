"""A recogniser whose network takes the clip as a whole, as networks of 3D convolutions do."""

from collections.abc import Iterator

from torch import Tensor, nn

from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.spec import ModelSpec


class ClipClassifier(VideoClassifier):
    """Logits of a clip, from one feature of it: (B, T, C, H, W) -> (B, num_classes).

    Args:
        backbone: clips (B, T, C, H, W) to features (B, D), or to feature maps (B, D, T', H', W'),
            of which the average is taken.
        num_features: D.
        spec: as in `VideoClassifier`; settings of temporal operations, which it does not have, are
            left alone.
        frames_multiple: the network takes clips of a multiple of so many frames.
        length_is_fixed: whether it is made for `spec.num_frames` alone.
        head: as in `VideoClassifier`.

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
        head: nn.Module | None = None,
    ) -> None:
        refuse_placement(spec)
        _check_multiple(spec.name, spec.num_frames, frames_multiple)
        super().__init__(backbone, num_features, spec, head=head)
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
        """The networks of its backbone where that has `parts`, else the backbone."""
        parts = getattr(self.backbone, "parts", ())
        yield from ((self.backbone, part) for part in parts)
        if not parts:
            yield self, "backbone"

    def set_num_frames(self, num_frames: int) -> None:
        _check_multiple(self.spec.name, num_frames, self.frames_multiple)
        super().set_num_frames(num_frames)


def refuse_placement(spec: ModelSpec) -> None:
    """Raise ValueError for settings of a temporal operation, of a recogniser that has none."""
    plain = ModelSpec(spec.name, spec.classes)
    for setting in ("position", "stages", "block_step", "causal", "shift_fraction"):
        if getattr(spec, setting) != getattr(plain, setting):
            raise ValueError(
                f"{spec.name} has no temporal operation that {setting}={getattr(spec, setting)!r} "
                "could mean; leave it out"
            )


def _check_multiple(name: str, num_frames: int, multiple: int) -> None:
    if num_frames % multiple:
        raise ValueError(
            f"num_frames is {num_frames}; {name} takes clips of a multiple of {multiple} frames"
        )
