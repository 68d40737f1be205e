"""`mixtconv zoo`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mixtconv._names import NOT_MEASURED
from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress

if TYPE_CHECKING:
    from mixtconv.evaluation.zoo import ZooRow


def zoo() -> Result:
    """Compare the cost of every system of the paper's tables with the published one.

    And list the accuracies that were published, by their source.
    """
    from mixtconv.evaluation.zoo import count_zoo

    with progress("counting") as show:
        counted = count_zoo(show)
    comparison, ablation = counted.table("comparison"), counted.table("ablation")
    return Result(
        counted.to_dict(),
        [
            *_tables("Comparison, parameters at 400 classes, one clip", comparison),
            *_tables("Ablation, compared by the difference to TSN", ablation),
            *_published(),
        ],
    )


def _published() -> Iterator[Table]:
    """A table for each source of accuracies."""
    from mixtconv.evaluation.zoo import PUBLISHED_SCORES

    for source in dict.fromkeys(score.source for score in PUBLISHED_SCORES):
        scores = [score for score in PUBLISHED_SCORES if score.source == source]
        yield Table(
            ["model", "T", "dataset", "top-1 %", "top-5 %", "protocol"],
            [
                [
                    score.model,
                    score.num_frames or NOT_MEASURED,
                    score.dataset,
                    f"{score.top1:.1f}",
                    NOT_MEASURED if score.top5 is None else f"{score.top5:.1f}",
                    score.protocol or NOT_MEASURED,
                ]
                for score in scores
            ],
            title=f"Published, not measured here: {source}",
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
    return [costs, Table(["model", "note"], [[row.model, row.note] for row in rows if row.note])]


def _in_units(count: int | None, unit: float) -> str:
    return "-" if count is None else f"{count / unit:g}"
