"""Whether weights of a file fit a network, and what to say where they do not.

Which settings of a recognizer put its temporal operation where a file has one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import timm
import torch
from torch import Tensor

from mixtconv.models.insertion import choose_sites
from mixtconv.models.residual_branches import TemporalSite
from mixtconv.models.spec import Placement

PUBLISHED_BACKBONES = (
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "bninception",
)
"""Backbones that are looked through to say what a file holds instead."""

COUNTER = ".num_batches_tracked"
"""Ending of what normalisation counts in training; files of before torch 0.4 lack it."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Mismatch:
    """How a file's weights differ from a network's, by the network's names."""

    missing: tuple[str, ...]
    """The network's weights that the file lacks."""
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
        parts = []
        if self.missing:
            parts.append(f"lacks {_first(self.missing)}")
        if self.extra:
            parts.append(f"has {_first([keys[name] for name in self.extra])} too many")
        if self.unfit:
            name, found, own = self.unfit[0]
            more = f" (and {len(self.unfit) - 1} more)" if self.unfit[1:] else ""
            parts.append(f"has {keys[name]} as {shape_text(found)}, not {shape_text(own)}{more}")
        return f"for {network} the file {'; it '.join(parts)}"


def compare(found: Mapping[str, Shape], own: Mapping[str, Shape]) -> Mismatch:
    """Compare shapes by name; counters may be missing, and dimensions of one do not matter.

    >>> bool(compare({"bn.weight": (1, 64)}, {"bn.weight": (64,), "bn.num_batches_tracked": ()}))
    False
    """
    unfit = [
        (name, shape, own[name])
        for name, shape in found.items()
        if name in own and _substance(shape) != _substance(own[name])
    ]
    return Mismatch(
        missing=tuple(name for name in own if name not in found and not name.endswith(COUNTER)),
        extra=tuple(name for name in found if name not in own),
        unfit=tuple(unfit),
    )


def shapes_of(state: Mapping[str, Tensor]) -> dict[str, Shape]:
    """The shapes of a state dictionary."""
    return {name: tuple(value.shape) for name, value in state.items()}


def find_backbone(found: Mapping[str, Shape]) -> str | None:
    """The published backbone whose weights have these names and shapes, whatever it takes."""
    for name in PUBLISHED_BACKBONES:
        own, first = _backbone_shapes(name)
        if not compare({**found, first: own[first]} if first in found else found, own):
            return name
    return None


@cache
def _backbone_shapes(name: str) -> tuple[dict[str, Shape], str]:
    """Shapes of a backbone's weights, and the name of its first convolution's."""
    with torch.device("meta"):
        own = shapes_of(timm.create_model(name, num_classes=0).state_dict())
    return own, first_convolution(own)


def first_convolution(own: Mapping[str, Shape]) -> str:
    """Name of the weight of a network's first convolution."""
    return next(name for name, shape in own.items() if len(shape) == 4)


def shape_text(shape: Sequence[int]) -> str:
    """A shape as it is written.

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
