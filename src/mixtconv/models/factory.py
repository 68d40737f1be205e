"""The named recognisers: `{family}_{backbone}`, a temporal operation in any timm backbone."""

import fnmatch
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from mixtconv._names import unknown_name
from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.insertion import insert_temporal
from mixtconv.models.sites import evaluating
from mixtconv.models.spec import ModelSpec
from mixtconv.models.weights import create_backbone
from mixtconv.ops import OPERATIONS

FAMILIES: dict[str, str | None] = {
    "tsn": None,
    "tsm": "shift",
    "mstnet": "mixtconv",
    **{name: name for name in OPERATIONS if name not in ("shift", "mixtconv")},
}
"""Family -> its temporal operation; TSN (arXiv 1608.00859) has none."""


def create_model(
    name: str,
    num_classes: int | None = None,
    *,
    classes: Sequence[str] | None = None,
    pretrained: bool | str | Path = False,
    **settings: Any,
) -> VideoClassifier:
    """Make a recogniser by name.

    Args:
        name: `{family}_{backbone}`: a family (`tsn`, `tsm`, `mstnet`, `ks3`, `ks5`, `ks7`, `ks13`,
            `ks135`, `ks1357`, `ks357dilated`, `conv1d`) and a backbone of timm.
        num_classes: classes without names, which are then called "0", "1", ...
        classes: class names, in the order of the logits.
        pretrained: True for timm's weights of the backbone, downloaded or from timm's cache; or a
            file of such weights; else random ones.
        settings: the other fields of `ModelSpec`, such as `num_frames=8`, `image_size=224`,
            `causal=True`.

    Returns:
        Clips (B, T, C, H, W) -> logits (B, num_classes); C is 3, for `modality="rgbdiff"` 15 and
        for `modality="flow"` 10.

    Raises:
        ValueError: an unknown name (the message has the near ones) or setting, a backbone without
            residual branches, weights that cannot be had or do not fit.

    >>> model = create_model("mstnet_resnet18", num_classes=174, num_frames=8)
    >>> model(torch.zeros(2, 8, 3, 64, 64)).shape
    torch.Size([2, 174])
    """
    if (num_classes is None) == (classes is None):
        raise ValueError("give the number of classes as num_classes, or their names as classes")
    names = classes if classes is not None else [str(index) for index in range(num_classes or 0)]
    unknown = sorted(set(settings) - set(ModelSpec.__dataclass_fields__))
    if unknown:
        raise unknown_name("setting of a model", unknown[0], ModelSpec.__dataclass_fields__)
    family, backbone_name = split_name(name)
    spec = ModelSpec(name=name, classes=tuple(names), **settings)
    backbone = create_backbone(
        backbone_name,
        pretrained=pretrained,
        image_size=spec.image_size,
        in_channels=spec.snippet.in_channels,
    )
    spec = replace(spec, **{**_pixel_facts(backbone), **settings})
    model = build_classifier(backbone, family, spec)
    if pretrained:  # as TSN begins; over random features so small a layer would hold learning up
        nn.init.normal_(model.head.weight, std=0.001)
        nn.init.zeros_(model.head.bias)
    return model


def create_from_spec(spec: ModelSpec) -> VideoClassifier:
    """Make the recogniser that a model file describes, without its weights."""
    settings = {key: value for key, value in vars(spec).items() if key not in ("name", "classes")}
    return create_model(spec.name, classes=spec.classes, **settings)


def build_classifier(backbone: nn.Module, family: str, spec: ModelSpec) -> VideoClassifier:
    """Put the family's temporal operation into a 2D backbone, and the last layer behind it.

    Args:
        backbone: images (N, C, H, W) to features (N, D), of any make; C by `spec.modality`.
        family: one of `FAMILIES`.
        spec: clips, classes and placement.
    """
    num_features = _num_features(backbone, spec)
    operation = FAMILIES[family]
    if operation is not None:
        insert_temporal(
            backbone,
            operation,
            num_frames=spec.num_frames,
            position=spec.position,
            stages=spec.stages,
            block_step=spec.block_step,
            image_size=spec.image_size,
            in_channels=spec.snippet.in_channels,
            causal=spec.causal,
            shift_fraction=spec.shift_fraction,
        )
    return VideoClassifier(backbone, num_features, spec)


def list_models(pattern: str = "*") -> list[str]:
    """Names that `create_model` takes, in order: families before timm's backbones.

    A backbone without residual branches takes only the family `tsn`; `create_model` says so.

    Args:
        pattern: shell-style, such as `mstnet_resnet*`.

    >>> list_models("*_resnet18")[:4]
    ['conv1d_resnet18', 'ks1357_resnet18', 'ks135_resnet18', 'ks13_resnet18']
    """
    names = [f"{family}_{backbone}" for family in FAMILIES for backbone in timm.list_models()]
    return sorted(fnmatch.filter(names, pattern))


def split_name(name: str) -> tuple[str, str]:
    """Family and backbone of a recogniser's name.

    Raises:
        ValueError: an unknown family or backbone, with the near names.

    >>> split_name("mstnet_mobilenetv2_100")
    ('mstnet', 'mobilenetv2_100')
    """
    family, _, backbone = name.partition("_")
    if family not in FAMILIES or not _is_backbone(backbone):
        raise unknown_name("model", name, list_models())
    return family, backbone


def _is_backbone(name: str) -> bool:
    """Whether timm knows the backbone, and the set of weights if the name has a tag."""
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError:
        return False
    return timm.is_model(name)


def _pixel_facts(backbone: nn.Module) -> dict[str, Any]:
    """How the backbone's published weights expect pixels, where it says so."""
    config = getattr(backbone, "default_cfg", None) or {}
    facts = {name: tuple(config[name]) for name in ("mean", "std") if name in config}
    for name in ("channel_order", "flow_mean"):
        if hasattr(backbone, name):
            facts[name] = getattr(backbone, name)
    return facts


def _num_features(backbone: nn.Module, spec: ModelSpec) -> int:
    """D of the backbone's features, found by running it: timm's attributes differ by family."""
    with evaluating(backbone), torch.no_grad():
        size, channels = spec.image_size, spec.snippet.in_channels
        image = torch.zeros(1, channels, size, size).to(next(backbone.parameters()))
        try:
            shape = backbone(image).shape
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
