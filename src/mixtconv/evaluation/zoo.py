"""The systems of the tables in "MixTConv" (arXiv 2001.06769): what they cost here and in print.

What the tables of "MixTConv" (arXiv 2001.06769) print, and why some of it is not ours.

Parameters in the tables are those for 400 classes throughout, also where scores are for fewer.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from mixtconv._types import Progress
from mixtconv.evaluation.complexity import Complexity, abstract_model, complexity

_BASE_IN_PRINT = 33_000_000_000
"""Multiply-accumulates of TSN in the ablation, as printed."""


Table = Literal["comparison", "ablation"]


@dataclass(frozen=True)
class PublishedCost:
    """A row of a table."""

    table: Table
    """Which of the two."""
    title: str
    """The row's name."""
    model: str
    """Name of the recognizer here."""
    backbone: str
    """Its 2D network, as `create_model` or torchvision name it."""
    num_frames: int
    """Frames of a clip."""
    mparams: float | None
    """Millions of parameters; None where the table has none."""
    gmacs: float | None
    """Billions of multiply-accumulates of a clip; None where the table has none."""
    note: str = ""
    """What a reader should know, as why a figure differs."""


@dataclass(frozen=True)
class PublishedScore:
    """An accuracy that others published; none of it was measured here."""

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
    """Who published it."""


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
    """Name of the recognizer."""
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


def count_zoo(progress: Progress | None = None) -> Zoo:
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
