"""Which settings of a recogniser put its temporal operation where a file has one."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mixtconv.models.insertion import choose_sites
from mixtconv.models.sites import TemporalSite


@dataclass(frozen=True)
class Placement:
    """The settings `stages` and `block_step` of a recogniser."""

    stages: tuple[int, ...] | None
    """Stages with the operation, from 0; None is all."""
    block_step: int
    """Blocks from one with the operation to the next."""


def find_placement(sites: Sequence[TemporalSite], wrapped: Iterable[str]) -> Placement | None:
    """The settings that choose exactly the wrapped modules among a network's places, if any do.

    >>> sites = [TemporalSite(f"layer1.{i}.conv1", 64, f"layer1.{i}", "layer1") for i in range(4)]
    >>> find_placement(sites, ["layer1.0.conv1", "layer1.2.conv1"])
    Placement(stages=None, block_step=2)
    """
    wanted = set(wrapped)
    names = list(dict.fromkeys(site.stage for site in sites))
    touched = {site.stage for site in sites if site.module in wanted}
    if not touched:
        return None
    chosen = tuple(index for index, name in enumerate(names) if name in touched)
    stages = None if len(chosen) == len(names) else chosen
    for block_step in range(1, len(sites) + 1):
        places = choose_sites(sites, stages=stages, block_step=block_step)
        if {site.module for site in places} == wanted:
            return Placement(stages, block_step)
    return None
