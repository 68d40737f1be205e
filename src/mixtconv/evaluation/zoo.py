"""The systems of the tables in "MixTConv" (arXiv 2001.06769): what they cost here and in print."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mixtconv.evaluation.complexity import Complexity, abstract_model, complexity
from mixtconv.evaluation.zoo_tables import (
    PUBLISHED_COSTS,
    PUBLISHED_SCORES,
    PublishedCost,
    Table,
)

NUM_CLASSES = 400
"""Classes that the tables count parameters for."""
PARAMS_TOLERANCE = 0.005
"""Part of the published parameters that ours may lie off."""
MACS_TOLERANCE = 0.02
"""Part of the published multiply-accumulates that ours may lie off."""
DIFFERENCE_TOLERANCE = 6_000_000
"""Multiply-accumulates that the difference to TSN may lie off in the ablation: the tables print two
digits of G, and add them to a rounded base."""

ABLATION_BASE = "tsn_resnet50"


@dataclass(frozen=True)
class ZooRow:
    """A system, ours beside the published."""

    table: Table
    """`comparison` or `ablation`."""
    title: str
    """What the table calls it."""
    model: str
    """Name of the recogniser."""
    backbone: str
    """Its 2D network."""
    num_frames: int
    """Frames of a clip."""
    params: int
    """Learnable parameters at 400 classes."""
    macs: int
    """Multiply-accumulates of a clip, all of them."""
    macs_without_attention: int
    """The same without products of values with values."""
    published_params: int | None
    """Parameters in the table, as printed."""
    published_macs: int | None
    """Multiply-accumulates of a clip in the table, as printed."""
    status: Literal["matches", "differs"]
    """Whether ours lie within the tolerances of the table's."""
    note: str
    """Why they differ, or what is to be known."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return asdict(self)


@dataclass(frozen=True)
class Zoo:
    """Both tables, and accuracies that others published."""

    rows: tuple[ZooRow, ...]
    """The rows of both tables."""

    def table(self, name: Table) -> list[ZooRow]:
        """The rows of one table."""
        return [row for row in self.rows if row.table == name]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv zoo --format json` prints them."""
        return {
            "num_classes": NUM_CLASSES,
            "comparison": [row.to_dict() for row in self.table("comparison")],
            "ablation": [row.to_dict() for row in self.table("ablation")],
            "published_accuracies": [asdict(score) for score in PUBLISHED_SCORES],
        }


def count_zoo(progress: Callable[[int, int], None] | None = None) -> Zoo:
    """Count every system of the tables, without computing anything; takes seconds.

    Args:
        progress: called with the rows done and all of them.
    """
    costs: dict[tuple[str, int], Complexity] = {}
    rows = []
    for number, published in enumerate(PUBLISHED_COSTS):
        key = published.model, published.num_frames
        if key not in costs:
            model = abstract_model(published.model, NUM_CLASSES, num_frames=published.num_frames)
            costs[key] = complexity(model)
        base = costs[ABLATION_BASE, 8] if published.table == "ablation" else None
        rows.append(compare(published, costs[key], base))
        if progress is not None:
            progress(number + 1, len(PUBLISHED_COSTS))
    return Zoo(tuple(rows))


def compare(published: PublishedCost, ours: Complexity, base: Complexity | None) -> ZooRow:
    """Set what was counted beside a row of a table.

    Args:
        published: the row.
        ours: what the system costs here.
        base: what TSN costs, in the ablation, where the difference to it is compared.

    >>> row = PublishedCost("ablation", "ks 3", "ks3_resnet50", "resnet50", 8, None, 33.13)
    >>> compare(row, Complexity(0, 32_834_919_424), Complexity(0, 32_700_037_888)).status
    'matches'
    """
    mparams, gmacs = published.mparams, published.gmacs
    params = None if mparams is None else round(mparams * 1e6)
    macs = None if gmacs is None else round(gmacs * 1e9)
    fits = params is None or abs(ours.params - params) <= PARAMS_TOLERANCE * params
    if base is not None and macs is not None:
        printed = macs - _BASE_IN_PRINT
        fits &= abs((ours.macs - base.macs) - printed) <= DIFFERENCE_TOLERANCE
    elif macs is not None:
        fits &= abs(ours.macs - macs) <= MACS_TOLERANCE * macs
    note = published.note.format(
        attention=f"{ours.attention_macs / 1e9:.1f}",
        rest=f"{ours.macs_without_attention / 1e9:.1f}",
    )
    return ZooRow(
        table=published.table,
        title=published.title,
        model=published.model,
        backbone=published.backbone,
        num_frames=published.num_frames,
        params=ours.params,
        macs=ours.macs,
        macs_without_attention=ours.macs_without_attention,
        published_params=params,
        published_macs=macs,
        status="matches" if fits else "differs",
        note=note,
    )


_BASE_IN_PRINT = 33_000_000_000
"""Multiply-accumulates of TSN in the ablation, as printed."""
