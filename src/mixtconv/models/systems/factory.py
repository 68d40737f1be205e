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

from mixtconv._names import first_few, require, unknown_name
from mixtconv.models.backbone import (
    backbone_for,
    count_features,
    pixel_facts,
)
from mixtconv.models.classifier import VideoClassifier, class_names, start_small
from mixtconv.models.feature_head import build_head_classifier
from mixtconv.models.file import read_metadata, refuse_lost_weights
from mixtconv.models.frozen_trunk import FrozenTrunk, split_state
from mixtconv.models.location import find_model_file
from mixtconv.models.published_weights import (
    is_published,
)
from mixtconv.models.spec import ModelArgs, ModelSpec
from mixtconv.models.systems.availability import Need, offers
from mixtconv.models.systems.registry import (
    SYSTEMS,
    SYSTEMS_2D,
    relation_classifier,
    two_stream_relations,
)
from mixtconv.models.systems.token_families import ADAPTERS, insert_in_tokens, insert_operation
from mixtconv.models.trunk_file import with_trunk
from mixtconv.models.wrappers.non_local import insert_non_local
from mixtconv.models.wrappers.temporal_wrapper import temporal_wrappers
from mixtconv.ops import OPERATIONS

FAMILIES: dict[str, str | None] = {
    "tsn": None,
    "tsm": "shift",
    "mstnet": "mixtconv",
    "mstvit": "mixtconv",
    "adapter": "mixtconv",
    "stadapter": "ks3",
    "zeroi2v": "shift",
    "aim": None,
    **{name: name for name in OPERATIONS if name not in ("shift", "mixtconv")},
}
"""Family -> its temporal operation; TSN (arXiv 1608.00859) has none."""

FAMILY_DEFAULTS: dict[str, dict[str, Any]] = {
    "mstvit": {"position": "kv"},
    "zeroi2v": {
        "position": "kv",
        "edges": "replicate",
        "shift_fraction": 1 / 12,  # a head of ViT-B
        "adapter_width": 0.25,
        "temporal_position": True,
    },
    "aim": {"adapter_width": 0.25, "temporal_position": True},
}
"""Family -> fields of `ModelSpec` with other defaults than in a 2D network of convolutions."""


def create_model(
    name: str,
    num_classes: int | None = None,
    *,
    classes: Sequence[str] | None = None,
    pretrained: bool | str | Path = False,
    drop_path_rate: float = 0.0,
    **settings: Any,
) -> VideoClassifier:
    """Make a recognizer by name.

    Args:
        name: `{family}_{backbone}`: a family (`tsn`, `tsm`, `mstnet`, `ks3`, `ks5`, `ks7`, `ks13`,
            `ks135`, `ks1357`, `ks357dilated`, `conv1d`, `tsm_nl`, `trn`, `trn_twostream`; in
            transformers also `mstvit`, `adapter`, `stadapter`, `zeroi2v`, `aim`) and a backbone of
            timm; or a system: `i3d_resnet50`, `i3d_nl_resnet50`, `i3d_nl_gcn_resnet50`,
            `eco_8`, `eco_16`, `eco_en_lite_92`.
        num_classes: classes without names, which are then called "0", "1", ...; 0 for a recognizer
            that gives features, the average over the frames before the last layer.
        classes: class names, in the order of the logits.
        pretrained: True for timm's weights of the backbone, downloaded or from timm's cache; or a
            file of such weights; else random ones.
        drop_path_rate: probability of leaving out the last residual branch of the backbone for a
            frame in training, and in proportion those before it; 0 to below 1.
        settings: the other fields of `ModelSpec`, such as `num_frames=8`, `image_size=224`,
            `causal=True`; by default those of the system, such as 32 frames for I3D.

    Returns:
        Clips (B, T, C, H, W) -> logits (B, num_classes), or features (B, D); C is 3, also for
        `modality="motion"`, for `"rgbdiff"` 15, for `"flow"` 10 and for `"rgbflow"` 13.

    Raises:
        ValueError: an unknown name (the message has the near ones) or setting, a backbone without
            residual branches, weights that are unavailable or do not fit, or `drop_path_rate` for
            one without drop path.

    >>> import torch
    >>> model = create_model("mstnet_resnet18", num_classes=174, num_frames=8)
    >>> model(torch.zeros(2, 8, 3, 64, 64)).shape
    torch.Size([2, 174])
    """
    names = class_names(num_classes, classes)
    known = [field.name for field in fields(ModelSpec)]
    unknown = sorted(set(settings) - set(known))
    if unknown:
        raise unknown_name("setting of a model", unknown[0], known)
    args = ModelArgs(name, names, settings, pretrained, drop_path_rate)
    family, backbone_name = ("", "") if name in SYSTEMS else split_name(name)
    if drop_path_rate and name in SYSTEMS:
        raise ValueError(f"{name} has no drop path: leave drop_path_rate out")
    headed = [each for each in FAMILIES if _NEEDS.get(each) not in _OF_TOKENS]
    if settings.get("feature_head") is not None and family not in headed:
        raise ValueError(
            f"a head on features is for the families {', '.join(headed)}, and {name} has other "
            "layers of its own there: leave feature_head out"
        )
    model = _MAKERS[family](args, backbone_name) if family else SYSTEMS[name](args)
    if pretrained:
        start_small(model)
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
        for name in ("temporal_position", "average_before_norm"):
            require(
                not getattr(spec, name),
                f"{name} is inside the blocks of a transformer, and feature_head is behind them: "
                "leave one out",
            )
        return build_head_classifier(backbone, operation, spec)
    num_features = count_features(backbone, spec)
    if family in ADAPTERS or spec.temporal_position or spec.average_before_norm:
        insert_in_tokens(backbone, family, operation, spec)
    elif operation is not None:
        insert_operation(backbone, operation, spec)
    model = VideoClassifier(backbone, num_features, spec)
    model.length_is_fixed = spec.temporal_position
    layouts = (wrapper.layout for wrapper in temporal_wrappers(backbone))
    model.size_is_fixed = any(layout is not None and layout.parts > 1 for layout in layouts)
    return model


def _with_operation(
    args: ModelArgs, backbone_name: str, *, family: str, non_local: bool = False
) -> VideoClassifier:
    """A 2D backbone with the operation of a family, and perhaps non-local blocks."""
    defaults = FAMILY_DEFAULTS.get(family, {})
    backbone = backbone_for(args, args.spec(**defaults), backbone_name)
    spec = args.spec(**defaults, **pixel_facts(backbone))
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


_NEEDS: dict[str, Need] = {
    "tsn": "features",
    "trn": "features",
    "trn_twostream": "features",
    "tsm_nl": "stages",
    "mstvit": "attention",
    "adapter": "blocks",
    "stadapter": "blocks",
    "zeroi2v": "blocks",
    "aim": "time",
}
"""Family -> what it takes of a backbone; of the others places for the operation."""
_OF_TOKENS = ("attention", "blocks", "time")
"""What only transformers have."""


def can_be_made(family: str, backbone: str) -> bool:
    """Whether a family can be made of a backbone of timm, told without making it.

    >>> can_be_made("mstnet", "lcnet_100"), can_be_made("mstvit", "lcnet_100")
    (True, False)
    """
    return offers(backbone, _NEEDS.get(family, "places"))


def list_models(pattern: str = "*", *, pretrained: bool = False) -> list[str]:
    """Names that `create_model` takes, in order: families before timm's backbones.

    Args:
        pattern: shell-style, such as `mstnet_resnet*`.
        pretrained: only names that can be made with `pretrained=True`, each with the tag of a set
            of weights of its backbone that is published on the Hugging Face hub.

    >>> list_models("ks*_resnet18")[:3]
    ['ks1357_resnet18', 'ks135_resnet18', 'ks13_resnet18']
    >>> list_models("mstnet_lcnet_05*", pretrained=True)
    ['mstnet_lcnet_050.ra2_in1k']
    """
    names = [
        name for name, backbone in SYSTEMS_2D.items() if not pretrained or is_published(backbone)
    ]
    backbones = timm.list_models()
    if pretrained:
        backbones = [name for name in timm.list_pretrained() if is_published(name)]
    names += [
        f"{family}_{backbone}"
        for family in _MAKERS
        for backbone in backbones
        if can_be_made(family, backbone)
    ]
    return sorted(fnmatch.filter(names, pattern))


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
    raise _unknown_model(name)


def _unknown_model(name: str) -> ValueError:
    """The error for a name of which a half may be right."""
    if name in _MAKERS:
        backbone = "vit_tiny_patch16_224" if _NEEDS.get(name) in _OF_TOKENS else "resnet18"
        return ValueError(
            f"unknown model {name!r}: this is a family alone; give a backbone behind it, such as "
            f"'{name}_{backbone}'"
        )
    families = [each for each in FAMILIES if _is_backbone(name) and can_be_made(each, name)]
    if families:
        first = "mstnet" if "mstnet" in families else families[0]
        return ValueError(
            f"unknown model {name!r}: this is a backbone alone; give a family in front of it, such "
            f"as '{first}_{name}' (families: {', '.join(families)})"
        )
    return unknown_name("model", name, list_models())


def _is_backbone(name: str) -> bool:
    """Whether timm knows the backbone, and the set of weights if the name has a tag."""
    try:
        timm.get_pretrained_cfg(name)
    except RuntimeError:
        return False
    return timm.is_model(name)
