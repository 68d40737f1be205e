"""The systems in the tables of "MixTConv" (arXiv 2001.06769): their cost here beside the published.

`published.yaml` holds the rows of both tables, with notes on why some figures differ, and the
accuracies in print, there and elsewhere. The tables give parameters for 400 classes throughout,
also where scores are for fewer.
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

import yaml

from mixtconv._types import Progress
from mixtconv.evaluation.complexity import Complexity, abstract_model, complexity

Table = Literal["comparison", "ablation"]


@dataclass(frozen=True)
class System:
    """A system in a table."""

    table: Table
    """Table of the row."""
    title: str
    """Name of the row."""
    model: str
    """Name of the recognizer here."""
    backbone: str
    """Its 2D network, by its name in timm or torchvision."""
    num_frames: int
    """Frames of a clip."""


@dataclass(frozen=True)
class PublishedCost(System):
    """A row of a table as published."""

    mparams: float | None
    """Millions of parameters; None if not in the table."""
    gmacs: float | None
    """Billions of multiply-accumulates of a clip; None if not in the table."""
    note: str = ""
    """Remark on the row, such as why a figure differs."""


@dataclass(frozen=True)
class PublishedScore:
    """An accuracy published by others; none is measured here."""

    model: str
    """Name of the recognizer here."""
    num_frames: int | None
    """Frames of a clip; None if not published."""
    dataset: str
    """Name of the dataset, as in `mixtconv train`."""
    top1: float
    """Percent of the validation videos."""
    protocol: str
    """Clips x crops, or the clips alone; empty if not published."""
    source: str
    """The publication."""
    top5: float | None = None
    """Percent of the validation videos; None if not published."""


_TABLES = yaml.safe_load(Path(__file__).with_name("published.yaml").read_text())

PUBLISHED_COSTS = tuple(
    PublishedCost(table, **row) for table in get_args(Table) for row in _TABLES[table]
)
PUBLISHED_SCORES = tuple(PublishedScore(**row) for row in _TABLES["accuracies"])

NUM_CLASSES = 400
"""Classes for which the tables give parameters."""
PARAMS_TOLERANCE = 0.005
"""Relative difference from the published parameters that counts as a match."""
MACS_TOLERANCE = 0.02
"""Relative difference from the published multiply-accumulates that counts as a match."""
DIFFERENCE_TOLERANCE = 6_000_000
"""In the ablation, where differences to TSN are compared: deviation in multiply-accumulates that
counts as a match. The table prints two digits of G, added to a rounded base."""

ABLATION_BASE = "tsn_resnet50"
_PUBLISHED_BASE_MACS = 33_000_000_000
"""Of TSN in the table of the ablation."""


@dataclass(frozen=True)
class ZooRow(System):
    """A row of a table with the cost counted here."""

    params: int
    """Learnable parameters with 400 classes."""
    macs: int
    """Multiply-accumulates of a clip."""
    macs_without_attention: int
    """The same without products of activations with activations."""
    published_params: int | None
    """Parameters in the table."""
    published_macs: int | None
    """Multiply-accumulates of a clip in the table."""
    status: Literal["matches", "differs"]
    """Whether both are within the tolerances."""
    note: str
    """Remark on the row, such as why figures differ."""


@dataclass(frozen=True)
class Zoo:
    """Both tables, with accuracies published by others."""

    rows: tuple[ZooRow, ...]
    """The rows of both tables."""

    def table(self, name: Table) -> list[ZooRow]:
        """The rows of one table."""
        return [row for row in self.rows if row.table == name]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv zoo --format json` prints them."""
        return {
            "num_classes": NUM_CLASSES,
            **{name: [asdict(row) for row in self.table(name)] for name in get_args(Table)},
            "published_accuracies": [asdict(score) for score in PUBLISHED_SCORES],
        }


def count_zoo(progress: Progress | None = None) -> Zoo:
    """Count the cost of every system of the tables, on the meta device; takes seconds.

    Args:
        progress: called with the number of finished rows and of all.
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
    """Compare a counted cost with a row of a table.

    Args:
        published: the row.
        ours: the cost of the system here.
        base: in the ablation, the cost of TSN here; the differences to it are compared.

    >>> row = PublishedCost("ablation", "ks 3", "ks3_resnet50", "resnet50", 8, None, 33.13)
    >>> compare(row, Complexity(0, 32_834_919_424), Complexity(0, 32_700_037_888)).status
    'matches'
    """
    mparams, gmacs = published.mparams, published.gmacs
    params = None if mparams is None else round(mparams * 1e6)
    macs = None if gmacs is None else round(gmacs * 1e9)
    fits = params is None or abs(ours.params - params) <= PARAMS_TOLERANCE * params
    if base is not None and macs is not None:
        difference = ours.macs - base.macs
        fits &= abs(difference - (macs - _PUBLISHED_BASE_MACS)) <= DIFFERENCE_TOLERANCE
    elif macs is not None:
        fits &= abs(ours.macs - macs) <= MACS_TOLERANCE * macs
    note = published.note.format(
        attention=f"{ours.attention_macs / 1e9:.1f}",
        rest=f"{ours.macs_without_attention / 1e9:.1f}",
    )
    return ZooRow(
        **{field.name: getattr(published, field.name) for field in fields(System)},
        params=ours.params,
        macs=ours.macs,
        macs_without_attention=ours.macs_without_attention,
        published_params=params,
        published_macs=macs,
        status="matches" if fits else "differs",
        note=note,
    )
