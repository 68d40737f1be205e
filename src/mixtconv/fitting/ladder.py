"""The recipes that a fit tries, the cheapest first, each for the same few steps.

All were found on real clips, see docs/real-videos.md. A recipe is settings of `mixtconv train`; it
is left out where the user has fixed another value.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from mixtconv.data.frame_cache import CachedForm, cached_form
from mixtconv.data.protocol import Protocol
from mixtconv.data.transforms import CROP_SCALES, least_training_side
from mixtconv.fitting.settings import FitSettings
from mixtconv.models.spec import ModelSpec

FROM_NOTHING: Mapping[str, Any] = {
    "model": "mstnet_small_resnet10",
    "weights": "none",
    "num_frames": 12,
    "image_size": 64,
    "batch_size": 16,
    "lr": 0.01,
    "label_smoothing": 0.1,
    "dropout": 0.2,
    "mixup": 0.2,
    "crop_scales": [0.95, 0.65],
    "crop_places": "center",
    "time_jitter": 0.3,
}
"""A small network on many small frames: learns on two cores in minutes from 20 clips a class."""

QUICK: Mapping[str, Any] = {"image_size": 48}
"""What a fit of a minute or two changes: a little less accurate per epoch, twice the epochs."""

FROZEN: Mapping[str, Any] = {
    "train": "head",
    "model": "mstnet_tf_efficientnet_lite0",
    "weights": "imagenet",
    "feature_head": "blocks",
    "less_mean": True,
    "num_frames": 16,
    "image_size": 112,
    "batch_size": 16,
    "lr": 0.015,
    "weight_decay": 0.01,
}
"""A head on a network that knows pictures, on a CPU: features of a clip are computed once."""

PRETRAINED: Mapping[str, Any] = {
    "model": "mstnet_resnet50",
    "weights": "imagenet",
    "num_frames": 8,
    "image_size": 224,
    "batch_size": 8,
    "lr": 2e-3,
    "label_smoothing": 0.1,
    "time_jitter": 0.3,
}
"""A whole network that knows pictures, on a GPU."""

WARMUP = 0.2
"""Part of the epochs in which the learning rate rises."""


@dataclass(frozen=True)
class Candidate:
    """A recipe to try."""

    name: str
    """Its name, and that of its folder."""
    settings: Mapping[str, Any]
    """Settings of the training that differ from the defaults."""
    reason: str
    """Why it is tried."""


def small_recipe(settings: FitSettings) -> dict[str, Any]:
    """Settings of the small network for a fit."""
    quick = QUICK if settings.minutes < QUICK_MINUTES else {}
    return {**FROM_NOTHING, **quick, **settings.fixed()}


def form_of(recipe: Mapping[str, Any], classes: tuple[str, ...]) -> CachedForm | None:
    """The form of the frames that a training by some settings takes."""
    size = {name: recipe[name] for name in ("num_frames", "image_size")}
    side = least_training_side(recipe["image_size"], recipe.get("crop_scales", CROP_SCALES))
    return cached_form(ModelSpec(recipe["model"], classes, **size), Protocol(), training_side=side)


def candidates(settings: FitSettings, *, is_camera_still: bool, device: str) -> list[Candidate]:
    """The recipes worth trying, the likeliest first.

    Args:
        settings: what the user has fixed.
        is_camera_still: whether the clips' camera stands still.
        device: type of the device, `cpu` or `cuda`.
    """
    small = small_recipe(settings)
    if settings.model is not None:
        small["weights"] = settings.weights
    motion = Candidate(
        "motion", {**small, "modality": "motion"}, "the background goes with the median picture"
    )
    pictures = Candidate("rgb", {**small, "modality": "rgb"}, "also shows what does not move")
    order = [motion, pictures] if is_camera_still else [pictures, motion]
    if settings.model is None and settings.weights != "none":
        modality = order[0].settings["modality"]
        fixed = {"modality": modality, **settings.fixed()}
        others = order if settings.weights == "auto" else []
        reason = "ImageNet's weights know what things look like"
        if device == "cpu":
            order = [*others, Candidate("frozen", {**FROZEN, **fixed}, reason)]
        else:
            order = [Candidate("imagenet", {**PRETRAINED, **fixed}, reason), *others]
    wanted = settings.modality
    return [item for item in order if wanted is None or item.settings["modality"] == wanted]


QUICK_MINUTES = 2.0
"""Minutes below which clips are seen smaller."""


def mirrored(candidate: Candidate, *, flip: bool) -> Candidate:
    """The same recipe with or without mirror images."""
    return replace(candidate, settings={**candidate.settings, "flip": flip})
