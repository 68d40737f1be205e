"""The ablation as a chart: a line for each variant, its mean, its spread, and every seed."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from mixtconv.visualization.palette import INK, LINE, MUTED, SERIES, chart_style, new_figure

WIDTH = 620
ROW_HEIGHT = 26
MARGIN = 96
"""Height of the legend above the lines, and of the axis below them with its label."""


@dataclass(frozen=True)
class ScoredVariant:
    """One line of the chart."""

    name: str
    scores: tuple[float, ...]
    """Top-1 in percent, a seed each."""
    mean: float
    std: float | None
    """Standard deviation over the seeds; None for one."""


def ablation_chart(variants: Sequence[ScoredVariant], *, num_classes: int | None = None) -> Figure:
    """Draw top-1 by variant: a dot is a seed, the square the mean, the bar one deviation each way.

    Args:
        variants: from the top line down.
        num_classes: where given, a dotted line shows what guessing scores.

    >>> figure = ablation_chart([ScoredVariant("TSN", (40.0, 42.0), 41.0, 1.4)])
    >>> figure.axes[0].get_xlabel()
    'top-1 (%)'
    """
    with chart_style():
        height = MARGIN + ROW_HEIGHT * len(variants)
        figure = new_figure(WIDTH, height, layout="constrained")
        axes = figure.subplots()
        for row, variant in enumerate(variants):
            axes.plot(
                variant.scores,
                [row] * len(variant.scores),
                linestyle="",
                marker="o",
                markersize=5,
                color=SERIES[1],
                alpha=0.75,
                zorder=3,
            )
            axes.errorbar(
                variant.mean,
                row,
                xerr=variant.std,
                marker="s",
                markersize=7,
                color=SERIES[0],
                elinewidth=2,
                capsize=5,
                zorder=2,
            )
        if num_classes is not None:
            axes.axvline(100 / num_classes, color=MUTED, linestyle=(0, (1, 2)), linewidth=1.2)
        axes.set_yticks(range(len(variants)), [variant.name for variant in variants])
        axes.set_ylim(len(variants) - 0.4, -0.6)
        axes.set_xlabel("top-1 (%)", color=INK)
        axes.grid(axis="x", color=LINE, linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.spines["bottom"].set_color(LINE)
        axes.tick_params(color=LINE, labelcolor=INK, left=False)
        axes.margins(x=0.06)
        figure.legend(
            handles=_legend_entries(with_chance=num_classes is not None),
            loc="outside upper left",
            ncols=3,
            frameon=False,
            fontsize=11,
        )
        return figure


def _legend_entries(*, with_chance: bool) -> list[Line2D]:
    entries = [
        Line2D([], [], color=SERIES[0], marker="s", markersize=7, label="mean, one deviation"),
        Line2D([], [], color=SERIES[1], marker="o", markersize=5, linestyle="", label="a seed"),
    ]
    if with_chance:
        dotted = (0, (1, 2))
        entries.append(Line2D([], [], color=MUTED, linestyle=dotted, linewidth=1.2, label="chance"))
    return entries
