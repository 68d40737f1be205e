"""The formats of published weights: how each names the weights of a recognizer.

A format is recognized by its keys, and maps each to its place: a weight of the 2D backbone under
timm's name, of the last layer, a temporal filter, or something else. The keys also show where the
temporal operations are, since these wrap a convolution:

    temporal-shift-module   module.base_model.layer1.0.conv1.net.weight      module.new_fc.weight
    MixTConv                the same, and ...layer1.0.conv1.conv13d.weight
    mmaction2               backbone.layer1.0.conv1.conv.net.weight          cls_head.fc_cls.weight
    torchvision, timm       layer1.0.conv1.weight                            fc.weight
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Part = Literal["backbone", "head", "filter", "non-local", "outside"]


@dataclass(frozen=True)
class Place:
    """The place of a weight in a recognizer."""

    part: Part
    """`filter` is a temporal filter, `non-local` a weight of a non-local block; `outside` is
    neither in the backbone nor in the last layer."""
    name: str
    """In the backbone or last layer timm's name of the weight; of a filter, the module that it is
    before."""
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
    if layer in ("fc", "last_linear"):
        return Place("head", rest)
    return Place("backbone", name)


def _has(pattern: str) -> Callable[[Iterable[str]], bool]:
    return lambda keys: any(re.search(pattern, key) for key in keys)


FORMATS = (
    WeightFormat("MixTConv", _has(r"^(module\.)?base_model\..*\.conv1\d+d\.weight$"), _tsn_place),
    WeightFormat(
        "temporal-shift-module (TSN style)", _has(r"^(module\.)?base_model\."), _tsn_place
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
