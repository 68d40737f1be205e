"""Facts about a 2D network: how many features it gives, and what pixels it expects."""

from typing import Any

import torch
from torch import nn

from mixtconv.models.sites import clip_length, evaluating
from mixtconv.models.spec import ModelSpec


def pixel_facts(backbone: nn.Module) -> dict[str, Any]:
    """How the backbone's published weights expect pixels, as fields of `ModelSpec`.

    >>> import timm
    >>> pixel_facts(timm.create_model("resnet18"))["mean"]
    (0.485, 0.456, 0.406)
    """
    config = getattr(backbone, "default_cfg", None) or {}
    facts: dict[str, Any] = {
        name: tuple(config[name]) for name in ("mean", "std") if config.get(name) is not None
    }
    for name in ("channel_order", "flow_mean"):
        if hasattr(backbone, name):
            facts[name] = getattr(backbone, name)
    return facts


def count_features(backbone: nn.Module, spec: ModelSpec) -> int:
    """D of the backbone's features, found by running it: timm's attributes differ by family.

    Raises:
        ValueError: a backbone that does not run on the spec's images, or whose features are not
            pooled.
    """
    with evaluating(backbone), torch.no_grad():
        size, channels = spec.image_size, spec.snippet.in_channels
        images = torch.zeros(clip_length(backbone), channels, size, size)
        try:
            shape = backbone(images.to(next(backbone.parameters()))).shape
        except (RuntimeError, AssertionError) as error:
            raise ValueError(
                f"the backbone does not run on images of {size} pixels: "
                f"{str(error).splitlines()[0]}; give another image_size"
            ) from error
    if len(shape) != 2:
        raise ValueError(
            f"the backbone gives {tuple(shape)} for one image; features are (N, D), pool them first"
        )
    return shape[1]
