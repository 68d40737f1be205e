"""Recognizers by name, `{family}_{backbone}` for any timm backbone or a system, and from files."""

import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors import safe_open
from torch import nn

from mixtconv._names import first_few, unknown_name
from mixtconv.models.backbone import backbone_for, count_features, pixel_facts
from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.feature_head import build_head_classifier
from mixtconv.models.file import read_metadata, refuse_lost_weights
from mixtconv.models.frozen_trunk import FrozenTrunk, split_state
from mixtconv.models.insertion import insert_temporal
from mixtconv.models.location import find_model_file
from mixtconv.models.non_local import insert_non_local
from mixtconv.models.spec import ModelArgs, ModelSpec, TemporalSettings
from mixtconv.models.systems.registry import (
    SYSTEMS,
    relation_classifier,
    two_stream_relations,
)
from mixtconv.models.trunk_file import with_trunk
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
    """Make a recognizer by name.

    Args:
        name: `{family}_{backbone}`: a family (`tsn`, `tsm`, `mstnet`, `ks3`, `ks5`, `ks7`, `ks13`,
            `ks135`, `ks1357`, `ks357dilated`, `conv1d`, `tsm_nl`, `trn`, `trn_twostream`) and a
            backbone of timm; or a system: `i3d_resnet50`, `i3d_nl_resnet50`, `i3d_nl_gcn_resnet50`,
            `eco_8`, `eco_16`, `eco_en_lite_92`.
        num_classes: classes without names, which are then called "0", "1", ...
        classes: class names, in the order of the logits.
        pretrained: True for timm's weights of the backbone, downloaded or from timm's cache; or a
            file of such weights; else random ones.
        settings: the other fields of `ModelSpec`, such as `num_frames=8`, `image_size=224`,
            `causal=True`; by default those of the system, such as 32 frames for I3D.

    Returns:
        Clips (B, T, C, H, W) -> logits (B, num_classes); C is 3, also for `modality="motion"`,
        for `"rgbdiff"` 15, for `"flow"` 10 and for `"rgbflow"` 13.

    Raises:
        ValueError: an unknown name (the message has the near ones) or setting, a backbone without
            residual branches, weights that are unavailable or do not fit.

    >>> import torch
    >>> model = create_model("mstnet_resnet18", num_classes=174, num_frames=8)
    >>> model(torch.zeros(2, 8, 3, 64, 64)).shape
    torch.Size([2, 174])
    """
    if (num_classes is None) == (classes is None):
        raise ValueError("give the number of classes as num_classes, or their names as classes")
    names = classes if classes is not None else [str(index) for index in range(num_classes or 0)]
    known = [field.name for field in fields(ModelSpec)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise unknown_name("setting of a model", unknown[0], known)
    args = ModelArgs(name, tuple(names), settings, pretrained)
    family, backbone_name = ("", "") if name in SYSTEMS else split_name(name)
    if settings.get("feature_head") is not None and family not in FAMILIES:
        raise ValueError(
            f"a head on features is for the families {', '.join(FAMILIES)}, and {name} has layers "
            "of its own there: leave feature_head out"
        )
    model = _MAKERS[family](args, backbone_name) if family else SYSTEMS[name](args)
    if pretrained:  # as TSN begins; over random features so small a layer would hold learning up
        heads = [part.head for part in model.modules() if isinstance(part, VideoClassifier)]
        for layer in (head for head in heads if isinstance(head, nn.Linear)):
            nn.init.normal_(layer.weight, std=0.001)
            nn.init.zeros_(layer.bias)
    return model


def create_from_spec(spec: ModelSpec) -> VideoClassifier:
    """Make the recognizer that a model file describes, without its weights."""
    return create_model(**vars(spec))


def load_model(
    path: str | Path,
    *,
    device: str | torch.device = "cpu",
    trunk: str | Path | None = None,
) -> VideoClassifier:
    """Read a model file: the recognizer in evaluation mode, with its classes and clips as `spec`.

    Args:
        path: a model file, the folder of one, or `hf:owner/name[@revision]` for one of the Hugging
            Face hub.
        device: device of the recognizer.
        trunk: weights of the trunk for a file that holds the trained part alone; by default those
            that it was trained on are looked for (see `trunk_file.py`).

    Raises:
        ValueError: a missing or damaged file, or one that is not a model of mixtconv, which says
            what the file is instead; weights that are not finite or do not fit the network that
            the file describes; or a trunk that is not found or has other weights.
    """
    path = find_model_file(path)
    description = read_metadata(path)
    spec, about = ModelSpec.from_dict(description["spec"]), description["trunk"]
    if about is None and trunk is not None:
        raise ValueError(f"{path} holds all of its weights: leave out trunk, {trunk}")
    with safe_open(path, framework="pt") as file:
        shapes = {key: file.get_slice(key).get_shape() for key in file.keys()}  # noqa: SIM118
        _refuse_other_shapes(path, spec, shapes, has_trunk=about is None)
        tensors = {key: file.get_tensor(key) for key in shapes}
    refuse_lost_weights(tensors, f"{path} holds")
    if about is None:
        model = create_from_spec(spec)
    else:
        create = partial(_create_with, spec)
        model = with_trunk(path, FrozenTrunk.from_dict(about), create, given=trunk)
    model.load_state_dict(tensors, strict=about is None)  # else the shapes were compared
    model.notes = description["notes"]
    return model.eval().to(device)


def _create_with(spec: ModelSpec, pretrained: bool | Path) -> VideoClassifier:
    return create_model(**vars(spec), pretrained=pretrained)


def _refuse_other_shapes(
    path: Path, spec: ModelSpec, found: Mapping[str, Sequence[int]], *, has_trunk: bool
) -> None:
    """Raise if a file's tensors are not those of the network that its description names.

    The network is made without memory for its weights: a small file may name a huge one.
    """
    with torch.device("meta"):
        model = create_from_spec(spec)
    state = model.state_dict() if has_trunk else split_state(model, model.state_dict())[1]
    expected = {key: list(tensor.shape) for key, tensor in state.items()}
    missing, unknown = expected.keys() - found.keys(), found.keys() - expected.keys()
    other = [key for key in expected.keys() & found.keys() if expected[key] != found[key]]
    reasons = [
        f"{len(keys)} {what} ({first_few(sorted(keys))})"
        for keys, what in ((missing, "are missing"), (unknown, "are not of it"), (other, "differ"))
        if keys
    ]
    if other:
        first = min(other)
        reasons.append(f"{first} is {found[first]} and should be {expected[first]}")
    if reasons:
        raise ValueError(
            f"the weights in {path} do not fit {spec.name} as this version of mixtconv and timm "
            f"make it: {'; '.join(reasons)}"
        )


def build_classifier(backbone: nn.Module, family: str, spec: ModelSpec) -> VideoClassifier:
    """Put the family's temporal operation into a 2D backbone, and the last layer behind it.

    Args:
        backbone: images (N, C, H, W) to features (N, D), of any make; C by `spec.modality`.
        family: one of `FAMILIES`.
        spec: clips, classes and placement.
    """
    operation = FAMILIES[family]
    if spec.feature_head is not None:
        return build_head_classifier(backbone, operation, spec)
    num_features = count_features(backbone, spec)
    if operation is not None:
        insert_temporal(
            backbone,
            operation,
            num_frames=spec.num_frames,
            image_size=spec.image_size,
            in_channels=spec.snippet.in_channels,
            **spec.fields_of(TemporalSettings),
        )
    return VideoClassifier(backbone, num_features, spec)


def _with_operation(
    args: ModelArgs, backbone_name: str, *, family: str, non_local: bool = False
) -> VideoClassifier:
    """A 2D backbone with the operation of a family, and perhaps non-local blocks."""
    backbone = backbone_for(args, args.spec(), backbone_name)
    spec = args.spec(**pixel_facts(backbone))
    model = build_classifier(backbone, family, spec)
    if non_local:  # last, since a wrapped block would count as a stage of its own
        insert_non_local(
            backbone,
            num_frames=spec.num_frames,
            image_size=spec.image_size,
            in_channels=spec.snippet.in_channels,
        )
    return model


_MAKERS: dict[str, Callable[[ModelArgs, str], VideoClassifier]] = {
    **{family: partial(_with_operation, family=family) for family in FAMILIES},
    "tsm_nl": partial(_with_operation, family="tsm", non_local=True),
    "trn": relation_classifier,
    "trn_twostream": two_stream_relations,
}
"""Every family, also those that are more than a temporal operation -> what makes a recognizer."""


def list_models(pattern: str = "*") -> list[str]:
    """Names that `create_model` takes, in order: families before timm's backbones.

    A backbone without residual branches takes only the family `tsn`; `create_model` says so.

    Args:
        pattern: shell-style, such as `mstnet_resnet*`.

    >>> list_models("*_resnet18")[:4]
    ['conv1d_resnet18', 'ks1357_resnet18', 'ks135_resnet18', 'ks13_resnet18']
    """
    names = [f"{family}_{backbone}" for family in _MAKERS for backbone in timm.list_models()]
    return sorted(fnmatch.filter([*names, *SYSTEMS], pattern))


def is_in_backbone(name: str) -> bool:
    """Whether a recognizer is one of the families that are in any 2D backbone.

    Raises:
        ValueError: an unknown family or backbone, with the near names.

    >>> is_in_backbone("tsm_resnet18"), is_in_backbone("i3d_resnet50")
    (True, False)
    """
    return name not in SYSTEMS and split_name(name)[0] in FAMILIES


def split_name(name: str) -> tuple[str, str]:
    """Family and backbone of a recognizer's name.

    Raises:
        ValueError: an unknown family or backbone, with the near names.

    >>> split_name("mstnet_mobilenetv2_100")
    ('mstnet', 'mobilenetv2_100')
    """
    for family in sorted(_MAKERS, key=len, reverse=True):
        backbone = name.removeprefix(f"{family}_")
        if backbone != name and _is_backbone(backbone):
            return family, backbone
    raise unknown_name("model", name, list_models())


def _is_backbone(name: str) -> bool:
    """Whether timm knows the backbone, and the set of weights if the name has a tag."""
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError:
        return False
    return timm.is_model(name)
