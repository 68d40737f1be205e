"""The systems in the tables of "MixTConv" (arXiv 2001.06769): their cost here beside the published.

`PUBLISHED_COSTS` are the rows of both tables, with notes on why some figures differ;
`PUBLISHED_SCORES` are accuracies from elsewhere. The tables give parameters for 400 classes
throughout, also where scores are for fewer.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from mixtconv._types import Progress
from mixtconv.evaluation.complexity import Complexity, abstract_model, complexity

Table = Literal["comparison", "ablation"]


@dataclass(frozen=True)
class PublishedCost:
    """A row of a table."""

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
    num_frames: int
    """Frames of a clip."""
    dataset: str
    """Name of the dataset, as in `mixtconv train`."""
    top1: float
    """Percent of the validation videos."""
    protocol: str
    """Clips x crops."""
    source: str
    """The publication."""


_TRN = (
    "the published recipe gives these parameters; the table's follow if the layers of a relation "
    "are counted at each of their 19 uses"
)
_NON_LOCAL = (
    "parameters match; of the MACs {attention} G are products of attention, and no count tried "
    "gives the table's: {rest} G without them"
)
_GRAPH = (
    "counted without a detector, boxes are an input; the table's includes one. torchvision's "
    "ResNet-50-FPN and its region proposals add 27.45 M and 9.41 G a frame"
)
_ORDINARY = (
    "one full 3x1x1 convolution before each residual branch, as described; no uniform placement "
    "gives 43 G"
)

PUBLISHED_COSTS = (
    PublishedCost("comparison", "TSN", "tsn_bninception", "bninception", 8, 10.7, 16),
    PublishedCost("comparison", "TSN", "tsn_resnet50", "resnet50", 8, 24.3, 33),
    PublishedCost(
        "comparison", "TRN multi-scale", "trn_bninception", "bninception", 8, 18.3, 16, _TRN
    ),
    PublishedCost(
        "comparison",
        "TRN two-stream",
        "trn_twostream_bninception",
        "bninception",
        8,
        36.6,
        None,
        f"8 pictures and 8 snippets of flow; {_TRN}",
    ),
    PublishedCost("comparison", "I3D", "i3d_resnet50", "resnet50", 32, 28.0, 153, "table: 2 clips"),
    PublishedCost(
        "comparison",
        "Non-local I3D",
        "i3d_nl_resnet50",
        "resnet50",
        32,
        35.3,
        168,
        f"table: 2 clips; {_NON_LOCAL}",
    ),
    PublishedCost(
        "comparison",
        "Non-local I3D + GCN",
        "i3d_nl_gcn_resnet50",
        "resnet50",
        32,
        62.2,
        303,
        f"table: 2 clips; {_GRAPH}",
    ),
    PublishedCost("comparison", "ECO", "eco_8", "bninception", 8, 47.5, 32),
    PublishedCost("comparison", "ECO", "eco_16", "bninception", 16, 47.5, 64),
    PublishedCost(
        "comparison",
        "ECO En Lite",
        "eco_en_lite_92",
        "bninception",
        92,
        150,
        267,
        "four networks, of 16, 20, 24 and 32 frames",
    ),
    PublishedCost("comparison", "TSM", "tsm_resnet50", "resnet50", 8, 24.3, 33),
    PublishedCost("comparison", "TSM", "tsm_resnet50", "resnet50", 16, 24.3, 65),
    PublishedCost("comparison", "MSTNet", "mstnet_resnet50", "resnet50", 8, 24.3, 33.2),
    PublishedCost("comparison", "MSTNet", "mstnet_resnet50", "resnet50", 16, 24.3, 65.3),
    PublishedCost("ablation", "TSN", "tsn_resnet50", "resnet50", 8, None, 33),
    PublishedCost("ablation", "TSM*", "tsm_resnet50", "resnet50", 8, None, 33),
    PublishedCost("ablation", "ks 3", "ks3_resnet50", "resnet50", 8, None, 33.13),
    PublishedCost("ablation", "ks 5", "ks5_resnet50", "resnet50", 8, None, 33.23),
    PublishedCost("ablation", "ks 7", "ks7_resnet50", "resnet50", 8, None, 33.32),
    PublishedCost("ablation", "ks {1, 3}", "ks13_resnet50", "resnet50", 8, None, 33.09),
    PublishedCost("ablation", "ks {1, 3, 5}", "ks135_resnet50", "resnet50", 8, None, 33.13),
    PublishedCost("ablation", "ks {1, 3, 5, 7}", "ks1357_resnet50", "resnet50", 8, None, 33.18),
    PublishedCost(
        "ablation", "ks 3, dilated {1, 2, 3}", "ks357dilated_resnet50", "resnet50", 8, None, 33.13
    ),
    PublishedCost(
        "ablation", "ordinary 1D, ks 3", "conv1d_resnet50", "resnet50", 8, None, 43, _ORDINARY
    ),
)

_TSM = "README of the TSM repository"
_NL = "README of the TSM repository, of the Non-local paper (arXiv 1711.07971)"

PUBLISHED_SCORES = (
    PublishedScore("tsm_resnet50", 8, "something_v1", 45.6, "1x1", _TSM),
    PublishedScore("tsm_resnet50", 16, "something_v1", 47.2, "1x1", _TSM),
    PublishedScore("tsm_resnet50", 8, "something_v2", 61.2, "2x3", _TSM),
    PublishedScore("tsm_resnet50", 16, "something_v2", 63.1, "2x3", _TSM),
    PublishedScore("tsn_resnet50", 8, "kinetics400", 70.6, "10x3", _TSM),
    PublishedScore("tsm_resnet50", 8, "kinetics400", 74.1, "10x3", _TSM),
    PublishedScore("tsm_nl_resnet50", 8, "kinetics400", 75.6, "10x3", _TSM),
    PublishedScore("i3d_resnet50", 32, "kinetics400", 73.3, "10x3", _NL),
    PublishedScore("i3d_nl_resnet50", 32, "kinetics400", 74.9, "10x3", _NL),
)

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
class ZooRow:
    """A row of a table with the cost counted here."""

    table: Table
    """`comparison` or `ablation`."""
    title: str
    """Its name in the table."""
    model: str
    """Name of the recognizer."""
    backbone: str
    """Its 2D network."""
    num_frames: int
    """Frames of a clip."""
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

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return asdict(self)


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
            "comparison": [row.to_dict() for row in self.table("comparison")],
            "ablation": [row.to_dict() for row in self.table("ablation")],
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
