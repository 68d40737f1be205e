"""The result of an ablation as the table of the paper, with a chart and a sentence on chance."""

from collections.abc import Sequence
from pathlib import Path

from mixtconv.evaluation.spread import CONFIDENCE
from mixtconv.training.ablation import Ablation, AblationRow
from mixtconv.visualization.curves import ablation_chart
from mixtconv.visualization.drawing import Drawing, write_drawing

_COLUMNS = (
    "operation",
    "learnable",
    "kernel size",
    "dilation",
    "params",
    "GMACs",
    "top-1 %",
    "std",
    "beyond the spread above",
)
_LEARNABLE = {None: "", True: "yes", False: "no"}


def ablation_drawing(result: Ablation) -> Drawing:
    """The table of the paper with a chart: top-1 by variant, every seed, mean and deviation."""
    labels = _labels(result.rows)
    variants = [(labels[row.variant.name], row.top1) for row in result.rows]
    return Drawing(
        title="Temporal operations compared",
        description=(
            "Top-1 of every variant: a dot for each seed, a square for their mean, and a bar of "
            "one standard deviation to each side."
        ),
        figure=ablation_chart(variants, num_classes=result.num_classes),
        numbers=result.to_dict(),
        columns=_COLUMNS,
        rows=tuple(_cells(result, row, labels) for row in result.rows),
        notes=(_verdict(result),),
    )


def write_charts(drawing: Drawing, folder: str | Path) -> tuple[Path, ...]:
    """Write `ablation.svg` and `ablation.png`."""
    return tuple(
        write_drawing(drawing, Path(folder) / f"ablation.{kind}") for kind in ("svg", "png")
    )


def _verdict(result: Ablation) -> str:
    """A sentence on how many differences exceed the spread of the seeds."""
    if len(result.rows) == 1:
        return "one row only, so there is nothing to compare"
    if not result.differences:
        return "one seed has no spread; give --seeds 3 or more to compare"
    beyond = sum(pair.beyond_spread for pair in result.differences)
    text = (
        f"{beyond} of {len(result.differences)} differences are beyond the seeds' spread "
        f"(Tukey's range test, {100 * CONFIDENCE:g} %)"
    )
    doubtful = [pair.points for pair in result.differences if not pair.beyond_spread]
    return f"{text}; differences of up to {max(doubtful):.1f} points are not" if doubtful else text


def _labels(rows: Sequence[AblationRow]) -> dict[str, str]:
    """Name of a variant -> its title, with position and stages if titles repeat."""
    repeated = len({row.title for row in rows}) < len(rows)
    return {row.variant.name: row.title + (_place(row) if repeated else "") for row in rows}


def _place(row: AblationRow) -> str:
    if row.learnable is None:
        return ""
    stages = row.variant.stages
    where = "all stages" if stages is None else f"stages {', '.join(map(str, stages))}"
    return f" ({row.variant.position}, {where})"


def _cells(result: Ablation, row: AblationRow, labels: dict[str, str]) -> tuple[object, ...]:
    std = row.spread.std
    return (
        labels[row.variant.name],
        _LEARNABLE[row.learnable],
        _listed(row.kernel_size),
        _listed(row.dilation if len(set(row.dilation)) > 1 else row.dilation[:1]),
        f"{row.params / 1e6:.3f} M",
        f"{row.macs / 1e9:.3f}",
        row.spread.mean,
        "" if std is None else f"{std:.2f}",
        ", ".join(labels[name] for name in result.beyond(row)),
    )


def _listed(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers))
