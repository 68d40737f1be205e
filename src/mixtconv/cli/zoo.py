"""`mixtconv zoo`."""

from typing import TYPE_CHECKING

from mixtconv.cli.console import Format, print_json, print_table, progress

if TYPE_CHECKING:
    from mixtconv.evaluation.zoo import ZooRow


def zoo(*, format: Format = "table") -> int:
    """Compare the cost of every system of the paper's tables with the published one.

    Args:
        format: How the result is printed, table or json.
    """
    from mixtconv.evaluation.zoo import PUBLISHED_SCORES, count_zoo

    with progress("counting") as show:
        counted = count_zoo(show)
    if format == "json":
        print_json(counted.to_dict())
        return 0
    _print_costs("Comparison, parameters at 400 classes, one clip", counted.table("comparison"))
    _print_costs("Ablation, compared by the difference to TSN", counted.table("ablation"))
    print_table(
        ["model", "frames", "dataset", "top-1 %", "protocol", "published by"],
        [list(vars(score).values()) for score in PUBLISHED_SCORES],
        title="Published accuracies; none was measured here",
    )
    return 0


def _print_costs(title: str, rows: list["ZooRow"]) -> None:
    print_table(
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
    print_table(["system", "model", "note"], notes)


def _in_units(count: int | None, unit: float) -> str:
    return "-" if count is None else f"{count / unit:g}"
