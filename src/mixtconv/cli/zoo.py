"""`mixtconv zoo`."""

from typing import TYPE_CHECKING

from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress

if TYPE_CHECKING:
    from mixtconv.evaluation.zoo import ZooRow


def zoo() -> Result:
    """Compare the cost of every system of the paper's tables with the published one."""
    from mixtconv.evaluation.zoo import PUBLISHED_SCORES, count_zoo

    with progress("counting") as show:
        counted = count_zoo(show)
    comparison, ablation = counted.table("comparison"), counted.table("ablation")
    published = Table(
        ["model", "frames", "dataset", "top-1 %", "protocol", "published by"],
        [list(vars(score).values()) for score in PUBLISHED_SCORES],
        title="Published accuracies; none was measured here",
    )
    return Result(
        counted.to_dict(),
        [
            *_tables("Comparison, parameters at 400 classes, one clip", comparison),
            *_tables("Ablation, compared by the difference to TSN", ablation),
            published,
        ],
    )


def _tables(title: str, rows: list["ZooRow"]) -> list[Table]:
    costs = Table(
        ["model", "T", "M", "paper", "G", "no att.", "paper", "status"],
        [
            [
                row.model,
                row.num_frames,
                row.params / 1e6,
                _in_units(row.published_params, 1e6),
                row.macs / 1e9,
                row.macs_without_attention / 1e9,
                _in_units(row.published_macs, 1e9),
                row.status,
            ]
            for row in rows
        ],
        title=f"{title}; T frames, M parameters, G multiply-accumulates, with and without those "
        "between the activations of attention, beside the numbers of the paper",
    )
    notes = [[row.title, row.model, row.note] for row in rows if row.note]
    return [costs, Table(["system", "model", "note"], notes)]


def _in_units(count: int | None, unit: float) -> str:
    return "-" if count is None else f"{count / unit:g}"
