"""Comparing a file's weights with a network: their shapes, and where temporal operations are.

`compare` says how the shapes differ, `find_backbone` which published backbone has them instead, and
`find_placement` which settings of a recognizer give the placement that the file has.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import timm
import torch
from torch import Tensor

from mixtconv.models.insertion import choose_sites
from mixtconv.models.spec import Placement
from mixtconv.models.structure.residual_branches import TemporalSite

PUBLISHED_BACKBONES = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "bninception",
)
"""Backbones that `find_backbone` compares a file with."""

CLIP_BACKBONES = (
    "vit_base_patch32_clip_quickgelu_224",
    "vit_base_patch16_clip_quickgelu_224",
    "vit_large_patch14_clip_quickgelu_224",
    "vit_large_patch14_clip_quickgelu_336",
)
"""Those of OpenAI's CLIP, for a file of adapters."""

COUNTER = ".num_batches_tracked"
"""Ending of the counters of batch normalisation; files from before torch 0.4 lack them."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Mismatch:
    """How a file's weights differ from a network's, by the network's names."""

    missing: tuple[str, ...]
    """Weights of the network that the file lacks."""
    extra: tuple[str, ...]
    """Names in the file that the network does not have."""
    unfit: tuple[tuple[str, Shape, Shape], ...]
    """Name, shape in the file and shape in the network."""

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.unfit)

    def describe(self, keys: Mapping[str, str], network: str) -> str:
        """The differences in one line.

        Args:
            keys: name in the network -> key in the file.
            network: what to call the network.
        """
        differences = []
        if self.missing:
            differences.append(f"lacks {_first(self.missing)}")
        if self.extra:
            differences.append(f"has {_first([keys[name] for name in self.extra])} too many")
        if self.unfit:
            name, actual, expected = self.unfit[0]
            more = f" (and {len(self.unfit) - 1} more)" if self.unfit[1:] else ""
            differences.append(
                f"has {keys[name]} as {shape_text(actual)}, not {shape_text(expected)}{more}"
            )
        return f"for {network} the file {'; it '.join(differences)}"


def compare(actual: Mapping[str, Shape], expected: Mapping[str, Shape]) -> Mismatch:
    """Compare shapes by name; counters may be missing, and dimensions of one do not matter.

    >>> bool(compare({"bn.weight": (1, 64)}, {"bn.weight": (64,), "bn.num_batches_tracked": ()}))
    False
    """
    unfit = [
        (name, shape, expected[name])
        for name, shape in actual.items()
        if name in expected and _substance(shape) != _substance(expected[name])
    ]
    return Mismatch(
        missing=tuple(
            name for name in expected if name not in actual and not name.endswith(COUNTER)
        ),
        extra=tuple(name for name in actual if name not in expected),
        unfit=tuple(unfit),
    )


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, Shape]:
    """The shapes of a state dictionary."""
    return {name: tuple(value.shape) for name, value in state.items()}


def find_backbone(
    actual: Mapping[str, Shape], names: Sequence[str] = PUBLISHED_BACKBONES
) -> str | None:
    """The published backbone whose weights have these names and shapes, for any input channels."""
    for name in names:
        expected, first = _backbone_shapes(name)
        if not compare({**actual, first: expected[first]} if first in actual else actual, expected):
            return name
    return None


@cache
def _backbone_shapes(name: str) -> tuple[dict[str, Shape], str]:
    """Shapes of a backbone's weights, and the name of its first convolution's."""
    with torch.device("meta"):
        expected = shapes_of(timm.create_model(name, num_classes=0).state_dict())
    return expected, first_convolution(expected)


def first_convolution(expected: Mapping[str, Shape]) -> str:
    """Name of the weight of a network's first convolution."""
    return next(name for name, shape in expected.items() if len(shape) == 4)


def shape_text(shape: Sequence[int]) -> str:
    """A shape in words.

    >>> shape_text((64, 3, 7, 7))
    '64 x 3 x 7 x 7'
    """
    return " x ".join(map(str, shape)) or "a single number"


def _substance(shape: Shape) -> Shape:
    return tuple(size for size in shape if size != 1)


def _first(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more keys"


def find_placement(sites: Sequence[TemporalSite], wrapped: Iterable[str]) -> Placement | None:
    """The settings that choose exactly the wrapped modules among a network's `head` places, if any.

    >>> sites = [TemporalSite(f"layer1.{i}.conv1", 64, f"layer1.{i}", "layer1") for i in range(4)]
    >>> find_placement(sites, ["layer1.0.conv1", "layer1.2.conv1"])
    Placement(position='head', stages=None, block_step=2)
    """
    wanted = set(wrapped)
    names = list(dict.fromkeys(site.stage for site in sites))
    touched = {site.stage for site in sites if site.module in wanted}
    if not touched:
        return None
    chosen = tuple(index for index, name in enumerate(names) if name in touched)
    stages = None if len(chosen) == len(names) else chosen
    for block_step in range(1, len(sites) + 1):
        placement = Placement(stages=stages, block_step=block_step)
        if {site.module for site in choose_sites(sites, placement)} == wanted:
            return placement
    return None
