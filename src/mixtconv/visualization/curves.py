"""Line charts of scores: learning curves, and the variants of an ablation with their seeds."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mixtconv.visualization.results import ModelResult
from mixtconv.visualization.style import (
    INK,
    LINE,
    MUTED,
    SERIES,
    chart_style,
    new_figure,
    series_style,
)

Panel = Literal["loss", "top1"]

WIDTH = 360
PANEL_HEIGHT = 230
LEGEND_ROW_HEIGHT = 20
MAX_MARKERS = 10


def learning_curves(
    results: Sequence[ModelResult], *, panels: Sequence[Panel] = ("loss", "top1")
) -> Figure:
    """Draw learning curves, one panel under the other, one colour and one marker a model.

    In the loss panel a line with markers is the validation loss, the thin dotted one of the same
    colour the training loss.

    >>> figure = learning_curves([])
    >>> [axes.get_ylabel() for axes in figure.axes]
    ['loss', 'top-1 (%)']
    """
    with chart_style():
        legend = _curve_legend(results, with_training="loss" in panels)
        longest = max((len(str(entry.get_label())) for entry in legend), default=0)
        columns = max(1, int(WIDTH / (6.4 * longest + 48)))
        legend_height = LEGEND_ROW_HEIGHT * -(-len(legend) // columns)
        height = PANEL_HEIGHT * len(panels) + legend_height
        figure = new_figure(WIDTH, height, layout="constrained")
        rows = figure.subplots(len(panels), squeeze=False)[:, 0]
        for axes, panel in zip(rows, panels, strict=True):
            _PANELS[panel](axes, results)
            _finish(axes, is_last=axes is rows[-1])
        if legend:
            figure.legend(
                handles=legend,
                loc="outside upper left",
                ncols=columns,
                frameon=False,
                fontsize=11,
                handlelength=2.2,
                columnspacing=1.2,
                borderpad=0.2,
            )
        return figure


def _curve_legend(results: Sequence[ModelResult], *, with_training: bool) -> list[Line2D]:
    drawn = [(index, result) for index, result in enumerate(results) if result.curve]
    entries = [Line2D([], [], label=result.name, **_line(index)) for index, result in drawn]
    if entries and with_training:
        entries.append(Line2D([], [], label="train", **{**_TRAINING, "color": MUTED}))
    return entries


def _loss_panel(axes: Any, results: Sequence[ModelResult]) -> None:
    for index, result in enumerate(results):
        epochs = [point.epoch for point in result.curve]
        training = [point.train_loss for point in result.curve]
        validation = [point.val_loss for point in result.curve]
        axes.plot(epochs, training, **{**_line(index), **_TRAINING})
        axes.plot(epochs, validation, **_line(index, len(epochs)))
    axes.set_ylabel("loss")
    axes.set_ylim(bottom=0)


def _top1_panel(axes: Any, results: Sequence[ModelResult]) -> None:
    for index, result in enumerate(results):
        epochs = [point.epoch for point in result.curve]
        top1 = [point.top1 for point in result.curve]
        axes.plot(epochs, top1, **_line(index, len(epochs)))
    axes.set_ylabel("top-1 (%)")
    axes.set_ylim(0, 103)
    axes.set_yticks([0, 25, 50, 75, 100])


_PANELS = {"loss": _loss_panel, "top1": _top1_panel}
_TRAINING: dict[str, Any] = {"linewidth": 1.4, "linestyle": (0, (1, 1.6)), "marker": ""}


def _line(index: int, num_points: int = 1) -> dict[str, Any]:
    style = series_style(index)
    return {
        "color": style.color,
        "marker": style.marker,
        "linewidth": 2,
        "markersize": 6,
        "markevery": -(-num_points // MAX_MARKERS) or 1,
        "clip_on": False,
    }


def _finish(axes: Any, *, is_last: bool) -> None:
    axes.set_facecolor("none")
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.tick_params(color=LINE, labelcolor=MUTED, labelsize=11, left=False)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.yaxis.label.set_color(INK)
    axes.margins(x=0.04)
    if is_last:
        axes.set_xlabel("epoch", color=INK)


_ABLATION_WIDTH = 620
_ABLATION_ROW_HEIGHT = 26
_ABLATION_MARGIN = 96
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
        height = _ABLATION_MARGIN + _ABLATION_ROW_HEIGHT * len(variants)
        figure = new_figure(_ABLATION_WIDTH, height, layout="constrained")
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
            handles=_ablation_legend(with_chance=num_classes is not None),
            loc="outside upper left",
            ncols=3,
            frameon=False,
            fontsize=11,
        )
        return figure


def _ablation_legend(*, with_chance: bool) -> list[Line2D]:
    entries = [
        Line2D([], [], color=SERIES[0], marker="s", markersize=7, label="mean, one deviation"),
        Line2D([], [], color=SERIES[1], marker="o", markersize=5, linestyle="", label="a seed"),
    ]
    if with_chance:
        dotted = (0, (1, 2))
        entries.append(Line2D([], [], color=MUTED, linestyle=dotted, linewidth=1.2, label="chance"))
    return entries
