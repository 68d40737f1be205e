"""Protocols: which views (clips and crops) of a video are scored, and how they are averaged.

A protocol is named by its clips and crops, such as `2x3`; the names of published ones mean these:

- TSN, "Temporal Segment Networks" (arXiv 1608.00859): 25 single snippets x ten crops, averaged
  before softmax (`25x10`).
- TSM, "Temporal Shift Module" (arXiv 1811.08383): one clip, centre crop (`1x1`) or ten (`1x10`);
  two clips x three crops at full resolution (`2x3`); ten dense clips x three crops (`10x3`); all
  averaged before softmax.
- "Non-local Neural Networks" (arXiv 1711.07971): ten clips x three crops, averaged after softmax
  (`nonlocal-10x3`).
- "ST-Adapter" (arXiv 2206.13559): one clip x three crops of the network's own size, which a vision
  transformer takes alone, or three clips x the centre, averaged after softmax (`stadapter-1x3`,
  `stadapter-3x1`); AIM (arXiv 2302.03024) and ZeroI2V (arXiv 2310.01324) likewise.

Different here: positions of crops are rounded once, so that the last one ends at the frame's edge,
while TSM's may be up to 3 pixels away from it.
"""

import re
from dataclasses import dataclass
from typing import Literal

from mixtconv._names import count_of, unknown_name
from mixtconv._types import ScoreKind
from mixtconv.models.spec import ModelSpec
from mixtconv.video.crops import scoring_side
from mixtconv.video.sampling import ClipPlacement, place_clips

USUAL_PLACEMENTS: dict[tuple[int, int], ClipPlacement] = {(10, 3): "dense", (25, 10): "snippets"}
"""Clips and crops that were published with a placement other than the model's own sampling."""

NUM_CROPS = (1, 3, 5, 10)
"""Allowed numbers of crops, see `transforms.CROPS`."""


CropSize = Literal["full", "own"]


@dataclass(frozen=True)
class Protocol:
    """Clips times crops of a video, and how their scores are averaged."""

    num_clips: int = 1
    """Clips over time."""
    num_crops: int = 1
    """Crops of every clip: 1 (centre), 3 (along the long side, at full resolution), 5 (corners and
    centre) or 10 (those and their mirror images)."""
    placement: ClipPlacement | None = None
    """Placement of the clips; None is the published one for such clips and crops."""
    averaging: ScoreKind = "logits"
    """Whether logits are averaged, or probabilities after softmax."""
    crop_size: CropSize = "full"
    """Whether three crops are squares of the whole short side, or of the network's own size."""

    def __post_init__(self) -> None:
        if self.num_clips < 1 or self.num_crops not in NUM_CROPS:
            *others, last = map(str, NUM_CROPS)
            raise ValueError(
                f"protocol is {self.num_clips} clips x {self.num_crops} crops; allowed are 1 clip "
                f"or more, and {', '.join(others)} or {last} crops"
            )
        if self.placement is None:
            usual = USUAL_PLACEMENTS.get((self.num_clips, self.num_crops), "own")
            object.__setattr__(self, "placement", usual)

    @classmethod
    def parse(cls, name: str) -> "Protocol":
        """Read a name: `2x3` is two clips, three crops; see `PROTOCOLS` for others.

        Raises:
            ValueError: anything else.

        >>> Protocol.parse("2x3").num_views
        6
        >>> Protocol.parse("tsm-10x3") == Protocol.parse("10x3")
        True
        """
        if name in PROTOCOLS:
            return PROTOCOLS[name]
        match = re.fullmatch(r"(\d+)x(\d+)", name)
        if match is not None:
            return cls(int(match[1]), int(match[2]))
        if re.search("[a-z]-", name):
            raise unknown_name("protocol", name, PROTOCOLS)
        raise ValueError(
            f"protocol is {name!r}; give clips x crops, such as 1x1, 2x3 or 10x3, or one of "
            f"{', '.join(PROTOCOLS)}"
        )

    @property
    def num_views(self) -> int:
        return self.num_clips * self.num_crops

    @property
    def mirrored(self) -> tuple[bool, ...]:
        """Whether each view, clip by clip, is a mirror image."""
        return _mirrored_crops(self.num_crops) * self.num_clips

    def __str__(self) -> str:
        """The name stored with a score: equal names mean equal protocols."""
        plain = f"{self.num_clips}x{self.num_crops}"
        if self == Protocol(self.num_clips, self.num_crops):
            return plain
        named = [name for name, protocol in PROTOCOLS.items() if protocol == self]
        return named[0] if named else f"{plain} ({self.placement}, {self.averaging})"

    def crop_side(self, image_size: int) -> int:
        """Height and width of the crops, for a model of this image size."""
        # Three crops cover the frame at full resolution, the others have the network's own size.
        is_full = self.num_crops == 3 and self.crop_size == "full"
        return scoring_side(image_size) if is_full else image_size

    def clip_frames(self, spec: ModelSpec) -> int:
        """Frames of a clip."""
        return 1 if self.placement == "snippets" else spec.num_frames

    def clips(self, spec: ModelSpec, num_video_frames: int) -> list[list[int]]:
        """Frame indices of the clips of a video."""
        assert self.placement is not None
        return place_clips(self.placement, spec, num_video_frames, self.num_clips)

    def frame_indices(self, spec: ModelSpec, num_video_frames: int) -> list[int]:
        """Frame indices of all clips of a video, clip by clip."""
        return [index for clip in self.clips(spec, num_video_frames) for index in clip]

    def check_model(self, spec: ModelSpec) -> None:
        """Refuse a model that cannot be scored with the protocol.

        Raises:
            ValueError: single snippets for a model that looks across frames, or takes the median
                picture of a clip away.
        """
        if spec.is_temporal and self.clip_frames(spec) != spec.num_frames:
            raise ValueError(
                f"protocol {self} scores single snippets, and {spec.name} looks across the "
                f"{spec.num_frames} of a clip; choose another, such as 1x10 or 10x3"
            )
        if spec.modality == "motion" and self.placement == "snippets":
            raise ValueError(
                f"protocol {self} scores single snippets, and modality motion takes the median "
                "picture of a clip away; choose another, such as 1x10 or 10x3"
            )

    def describe(self, spec: ModelSpec) -> str:
        """The protocol in words, with the clips of a model.

        >>> Protocol(1, 1).describe(ModelSpec("tsn_resnet18", ("a", "b")))
        '1x1: 1 clip of 8 frames (segment) x 1 crop, 224 pixels, logits averaged'
        >>> Protocol(25, 10).describe(ModelSpec("tsn_resnet18", ("a", "b")))
        '25x10: 25 clips of 1 frame (segment) x 10 crops, 5 mirrored, 224 pixels, logits averaged'
        """
        self.check_model(spec)
        sampling = _SAMPLINGS.get(str(self.placement), spec.sampling)
        num_mirrored = sum(_mirrored_crops(self.num_crops))
        mirrored = f", {num_mirrored} mirrored" if num_mirrored else ""
        return (
            f"{self}: {count_of(self.num_clips, 'clip')} of "
            f"{count_of(self.clip_frames(spec), 'frame')} ({sampling}) x "
            f"{count_of(self.num_crops, 'crop')}{mirrored}, "
            f"{self.crop_side(spec.image_size)} pixels, "
            f"{self.averaging} averaged"
        )


_SAMPLINGS = {"dense": "dense", "tenths": "dense, from each tenth", "snippets": "segment"}
"""Placements in words, except the model's own sampling."""

PROTOCOLS: dict[str, Protocol] = {
    "tsn-25x10": Protocol(25, 10),
    "tsm-1x1": Protocol(1, 1),
    "tsm-1x10": Protocol(1, 10),
    "tsm-2x3": Protocol(2, 3),
    "tsm-10x3": Protocol(10, 3),
    "nonlocal-10x3": Protocol(10, 3, "tenths", "probabilities"),
    "stadapter-1x3": Protocol(1, 3, averaging="probabilities", crop_size="own"),
    "stadapter-3x1": Protocol(3, 1, averaging="probabilities", crop_size="own"),
}
"""Published protocols by name; most have a shorter name of clips and crops, such as `10x3`."""


def _mirrored_crops(num_crops: int) -> tuple[bool, ...]:
    """Whether each crop of a clip is mirrored: of ten the last five."""
    return (False,) * 5 + (True,) * 5 if num_crops == 10 else (False,) * num_crops
