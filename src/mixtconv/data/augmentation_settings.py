"""Settings of the random changes of training clips (see `transforms`). Loads without torch."""

from dataclasses import dataclass
from typing import Literal

from mixtconv._names import flag, refuse_below, refuse_unless
from mixtconv.models.spec import Modality


@dataclass(frozen=True)
class AugmentationSettings:
    """Mirroring, cropping, changes of time, colour and shape.

    Raises:
        ValueError: a value out of range; the message names its flag.
    """

    flip: bool = True
    """Mirror half of the clips; labels that say left and right are exchanged with them."""
    flip_pairs: str | list[list[str]] = "auto"
    """Labels that a mirror exchanges: auto finds them by the words left and right, none exchanges
    nothing, a YAML file lists pairs of class names."""
    crop_scales: list[float] | None = None
    """Sides of the random crops, as fractions of the frame's short side, in descending order;
    default [1,0.875,0.75,0.66], as published."""
    crop_places: Literal["anywhere", "center"] = "anywhere"
    """Places of the random crops: anywhere in the frame, as published, or near its center, for
    actions that fill the frame."""
    time_jitter: float = 0.0
    """Take the clip from a random part of the video that may leave out up to this fraction of it,
    which varies speed and start, with --sampling segment; 0 takes the whole."""
    color_jitter: float = 0.0
    """Change brightness, contrast and saturation by factors of up to 1 - x to 1 + x, the same for
    all frames of a clip; not for optical flow."""
    rotate: float = 0.0
    """Rotate the clip by a random angle of at most so many degrees, not for optical flow."""
    rand_augment: int = 0
    """RandAugment: so many changes of colour or shape drawn for each clip, the same for all its
    frames; 0 is off; not for optical flow."""
    rand_magnitude: float | None = None
    """Strength of the changes of --rand-augment, 0 to 10; default 7."""
    random_erasing: float = 0.0
    """Probability of covering a random box of the clip, the same in all frames, with noise; not for
    optical flow."""

    def __post_init__(self) -> None:
        refuse_below(0, self, "rand_augment")
        refuse_unless(
            lambda value: 0 <= value < 1, "0 to below 1", self, "time_jitter", "color_jitter"
        )
        refuse_unless(lambda value: 0 <= value <= 1, "0 to 1", self, "random_erasing")
        refuse_unless(lambda value: 0 <= value <= 10, "0 to 10", self, "rand_magnitude")
        refuse_unless(lambda value: 0 <= value <= 180, "0 to 180 degrees", self, "rotate")
        refuse_unless(
            lambda value: value and all(0 < scale <= 1 for scale in value),
            "numbers above 0, at most 1",
            self,
            "crop_scales",
        )
        if self.rand_magnitude is not None and not self.rand_augment:
            raise ValueError(
                "--rand-magnitude belongs to --rand-augment; give both, as --rand-augment 2, or "
                "neither"
            )

    def refuse_changes_of_flow(self, modality: Modality) -> None:
        """Refuse changes of pictures if the modality holds optical flow.

        Raises:
            ValueError: it does, and there is one.
        """
        given = [name for name in _OF_PICTURES if getattr(self, name)]
        if given and modality in ("flow", "rgbflow"):
            raise ValueError(
                f"{flag(given[0])} changes pictures, and the modality is {modality}: leave it out"
            )


_OF_PICTURES = ("color_jitter", "rotate", "rand_augment", "random_erasing")
