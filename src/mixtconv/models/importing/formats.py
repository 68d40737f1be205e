"""The formats of published weights: how each names the weights of a recognizer.

A format is recognized by its keys, and maps each to its place: a weight of the 2D backbone under
timm's name, of the last layer, a temporal filter, or something else. The keys also show where the
temporal operations are, since these wrap a convolution:

    temporal-shift-module   module.base_model.layer1.0.conv1.net.weight      module.new_fc.weight
    MixTConv                the same, and ...layer1.0.conv1.conv13d.weight
    mmaction2               backbone.layer1.0.conv1.conv.net.weight          cls_head.fc_cls.weight
    torchvision, timm       layer1.0.conv1.weight                            fc.weight

In transformers, adapters are beside the weights of a CLIP, which keep its names:

    ST-Adapter      transformer.resblocks.0.adapter_pre_mlp.fc1.weight        fc.weight
    AIM             backbone.transformer.resblocks.0.S_Adapter.D_fc1.weight   cls_head.fc_cls.weight

Their files are folded first, into layers that recognizers here have: the bias of ST-Adapter's
convolution, which meets every frame, goes through the layer behind it, W (conv(x) + b) + c =
W conv(x) + (W b + c); the factor of AIM's adapters beside the MLP, which is in no file, into their
last layer.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from timm.models.vision_transformer import _convert_openai_clip

from mixtconv.models.checkpoint_file import StateDict

Part = Literal["backbone", "head", "filter", "non-local", "inserted", "outside"]


@dataclass(frozen=True)
class Place:
    """The place of a weight in a recognizer."""

    part: Part
    """`filter` is a temporal filter, `non-local` a weight of a non-local block, `inserted` one of
    what is put into a transformer; `outside` is neither in the backbone nor in the last layer."""
    name: str
    """In the backbone or last layer timm's name of the weight; of a filter, the module that it is
    before; of what is put in, the name in the recognizer's backbone."""
    wraps: str | None = None
    """The module that a temporal operation wraps, if the key says that one does."""


@dataclass(frozen=True)
class WeightFormat:
    """One way of naming the weights of a recognizer."""

    title: str
    """Its name in reports."""
    recognizes: Callable[[Iterable[str]], bool]
    """Whether keys are of this format, if they are of no earlier one in `FORMATS`."""
    place: Callable[[str], Place]
    """The place of a key."""
    tells_operation: bool = True
    """Whether the keys show the temporal operation; those of a network for images do not."""
    tells_attention: bool = True
    """Whether non-local blocks are all of one kind; otherwise the keys do not show which."""
    pixels: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Modality -> settings of a recognizer that say how the network takes pixels, where they differ
    from the backbone's own."""
    family: str | None = None
    """The family of its recognizers, if there is one alone: adapters on a CLIP."""
    trains_norm: bool = False
    """Of adapters: whether the last normalisation of the backbone is trained as well."""
    is_scaled: bool = False
    """Of adapters: whether those beside the MLP have a factor, which the file does not say."""
    fold: Callable[[StateDict, float], StateDict] = lambda tensors, scale: tensors
    """Weights with what recognizers here do not have, and with that factor, made part of others."""


def recognize(keys: Iterable[str]) -> WeightFormat:
    """The format of the keys; that of plain 2D networks if it is no other.

    >>> recognize(["backbone.conv1.conv.weight", "cls_head.fc_cls.weight"]).title
    'mmaction2'
    """
    names = list(keys)
    return next(form for form in FORMATS if form.recognizes(names))


def _tsn_place(key: str) -> Place:
    """A key of the temporal-shift-module repository, or of one made from it."""
    name = key.removeprefix("module.")
    if name.startswith("new_fc."):
        return Place("head", name.removeprefix("new_fc."))
    if not name.startswith("base_model."):
        return Place("outside", name)
    name = name.removeprefix("base_model.")
    if name.startswith("fc."):  # trained without dropout, the backbone keeps its own last layer
        return Place("head", name.removeprefix("fc."))
    return _wrapped(name)


def _wrapped(name: str) -> Place:
    """A weight of the backbone, which may be inside a temporal or non-local wrapper."""
    attention = re.fullmatch(r"(.+)\.(?:nl|non_local_block)\.(.+)", name)
    if attention:
        block, rest = attention.groups()
        for theirs, ours in _NON_LOCAL.items():
            rest = re.sub(theirs, ours, rest)
        return Place("non-local", f"{block}.non_local.block.{rest}")
    name = re.sub(r"^(layer\d+\.\d+)\.block\.", r"\1.", name)
    temporal = re.fullmatch(r"(.+)\.conv1\d+d\.weight", name)
    if temporal:
        return Place("filter", temporal.group(1), wraps=temporal.group(1))
    module, net, rest = name.partition(".net.")
    return Place("backbone", f"{module}.{rest}", wraps=module) if net else Place("backbone", name)


_NON_LOCAL = {r"^(phi|g)\.0\.": r"\1.", r"^W\.0\.": "out.", r"^W\.1\.": "norm."}
"""Names inside a non-local block of the temporal-shift-module repository -> names here."""


def _mmaction_place(key: str) -> Place:
    """A key of mmaction2, whose convolutions hold their normalisation."""
    if key.startswith("cls_head.fc_cls."):
        return Place("head", key.removeprefix("cls_head.fc_cls."))
    if not key.startswith("backbone."):
        return Place("outside", key)
    name = re.sub(r"\bdownsample\.conv\.", "downsample.0.", key.removeprefix("backbone."))
    name = re.sub(r"\bdownsample\.bn\.", "downsample.1.", name)
    name = re.sub(r"\bconv(\d)\.bn\.", r"bn\1.", name)
    return _wrapped(re.sub(r"\b(conv\d)\.conv\.", r"\1.", name))


def _image_place(key: str) -> Place:
    name = key.removeprefix("module.")
    layer, _, rest = name.partition(".")
    if layer in ("fc", "last_linear") or name in ("head.weight", "head.bias"):
        return Place("head", rest)
    return Place("backbone", name)


def _clip_place(name: str) -> Place:
    """A weight of CLIP's image network, of which timm knows its own names."""
    if name == "proj":  # to the space of texts
        return Place("outside", name)
    return Place("backbone", *_convert_openai_clip({f"visual.{name}": torch.empty(0, 0)}, None))


def _stadapter_place(key: str) -> Place:
    name = key.removeprefix("module.")
    if name.startswith("fc."):
        return Place("head", name.removeprefix("fc."))
    adapter = _ST_ADAPTER.fullmatch(name)
    if adapter is None:
        return _clip_place(name)
    block, branch, layer, kind = adapter.groups()
    branch = {"attn": "attention"}.get(branch, branch)
    layer = {"fc1": "down", "fc2": "up", "conv": "up.temporal"}[layer]
    kind = "weights.0" if (layer, kind) == ("up.temporal", "weight") else kind
    return Place("inserted", f"blocks.{block}.adapter_{branch}.{layer}.{kind}")


_ST_ADAPTER = re.compile(
    r"transformer\.resblocks\.(\d+)\.adapter_pre_(attn|mlp)\.(fc1|conv|fc2)\.(weight|bias)"
)


def _fold_convolution_bias(tensors: StateDict, scale: float) -> StateDict:
    folded = dict(tensors)
    for key, bias in tensors.items():
        adapter, layer, _ = key.rpartition("conv.bias")
        weight, after = (tensors.get(f"{adapter}fc2.{kind}") for kind in ("weight", "bias"))
        if not layer or weight is None or after is None or weight.shape[1:] != bias.shape:
            continue  # else it is a key too many
        folded[f"{adapter}fc2.bias"] = after.double() + weight.double() @ bias.double()
        del folded[key]
    return folded


def _aim_place(key: str) -> Place:
    name = key.removeprefix("module.")
    if name.startswith("cls_head.fc_cls."):
        return Place("head", name.removeprefix("cls_head.fc_cls."))
    if not name.startswith("backbone."):
        return Place("outside", name)
    name = name.removeprefix("backbone.")
    if name == "temporal_embedding":
        return Place("inserted", "norm_pre.frames")
    adapter = _AIM_ADAPTER.fullmatch(name)
    if adapter is None:
        return _clip_place(name)
    block, kind, layer, weight = adapter.groups()
    layer = {"1": "down", "2": "up"}[layer]
    return Place("inserted", f"blocks.{block}.{_AIM_ADAPTERS[kind]}.{layer}.{weight}")


_AIM_ADAPTER = re.compile(
    r"transformer\.resblocks\.(\d+)\.(\w+_Adapter(?:_in)?)\.D_fc([12])\.(weight|bias)"
)
_AIM_ADAPTERS = {
    "T_Adapter": "adapter",
    "T_Adapter_in": "adapter_in",
    "S_Adapter": "attn.adapter",
    "MLP_Adapter": "mlp.adapter",
}


def _scale_adapters(tensors: StateDict, scale: float) -> StateDict:
    return {
        key: scale * tensor.double() if ".MLP_Adapter.D_fc2." in key else tensor
        for key, tensor in tensors.items()
    }


def _has(pattern: str) -> Callable[[Iterable[str]], bool]:
    return lambda keys: any(re.search(pattern, key) for key in keys)


FORMATS = (
    WeightFormat("MixTConv", _has(r"^(module\.)?base_model\..*\.conv1\d+d\.weight$"), _tsn_place),
    WeightFormat(
        "temporal-shift-module (TSN style)", _has(r"^(module\.)?base_model\."), _tsn_place
    ),
    WeightFormat(
        "ST-Adapter",
        _has(r"^(module\.)?transformer\.resblocks\.\d+\.adapter_pre_(attn|mlp)\."),
        _stadapter_place,
        family="stadapter",
        fold=_fold_convolution_bias,
    ),
    WeightFormat(
        "AIM",
        _has(r"^(module\.)?backbone\.transformer\.resblocks\.\d+\.(S|T|MLP)_Adapter\."),
        _aim_place,
        family="aim",
        trains_norm=True,
        is_scaled=True,
        fold=_scale_adapters,
    ),
    WeightFormat(
        "mmaction2",
        _has(r"^(backbone\..*\.conv\.|cls_head\.)"),
        _mmaction_place,
        tells_attention=False,  # with and without softmax, scaled and not, under the same keys
        pixels={"flow": {"flow_mean": 128 / 255, "std": (128 / 255,) * 3}},
    ),
    WeightFormat(
        "ImageNet (torchvision, timm)",
        lambda keys: True,
        _image_place,
        tells_operation=False,
    ),
)
"""In the order in which they are tried."""
