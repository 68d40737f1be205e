"""Line charts of scores: learning curves, and the variants of an ablation with their seeds."""

import math
from collections.abc import Sequence
from typing import Any, Literal

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mixtconv.evaluation.spread import spread
from mixtconv.visualization.results import ModelResult
from mixtconv.visualization.style import (
    INK,
    MUTED,
    SERIES,
    chart_style,
    new_figure,
    series_style,
)

Panel = Literal["loss", "top1", "map"]

_SCORES: dict[Panel, tuple[str, str]] = {
    "top1": ("top1", "top-1 (%)"),
    "map": ("mean_average_precision", "mAP (%)"),
}
"""Panel of a score -> the field of its points, and its title."""

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
            _draw_panel(axes, panel, results)
        rows[-1].set_xlabel("epoch")
        if legend:
            figure.legend(
                handles=legend,
                loc="outside upper left",
                ncols=columns,
                handlelength=2.2,
                columnspacing=1.2,
                borderpad=0.2,
            )
        return figure


def _curve_legend(results: Sequence[ModelResult], *, with_training: bool) -> list[Line2D]:
    drawn = [(index, result) for index, result in enumerate(results) if result.curve]
    entries = [Line2D([], [], label=result.name, **_line(index)) for index, result in drawn]
    if entries and with_training:
        entries.append(Line2D([], [], label="train", color=MUTED, **_TRAINING))
    return entries


def _draw_panel(axes: Any, panel: Panel, results: Sequence[ModelResult]) -> None:
    for index, result in enumerate(results):
        epochs = [point.epoch for point in result.curve]
        line = _line(index, len(epochs))
        if panel == "loss":
            axes.plot(epochs, [point.train_loss for point in result.curve], **line | _TRAINING)
            axes.plot(epochs, [point.val_loss for point in result.curve], **line)
        else:
            values = [getattr(point, _SCORES[panel][0]) for point in result.curve]
            axes.plot(epochs, values, **line)
    if panel == "loss":
        axes.set(ylabel="loss", ylim=(0, None))
    else:
        axes.set(ylabel=_SCORES[panel][1], ylim=(0, 103), yticks=[0, 25, 50, 75, 100])
    axes.grid(axis="y")
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.margins(x=0.04)


_TRAINING: dict[str, Any] = {"linewidth": 1.4, "linestyle": (0, (1, 1.6)), "marker": ""}


def _line(index: int, num_points: int = 1) -> dict[str, Any]:
    return {
        **series_style(index),
        "linewidth": 2,
        "markersize": 6,
        "markevery": -(-num_points // MAX_MARKERS) or 1,
        "clip_on": False,
    }


_ABLATION_WIDTH = 620
_ABLATION_ROW_HEIGHT = 26
_ABLATION_MARGIN = 96
"""Height of the legend above the lines, and of the axis below them with its label."""


def ablation_chart(
    variants: Sequence[tuple[str, Sequence[float]]], *, num_classes: int | None = None
) -> Figure:
    """Draw top-1 by variant: a dot is a seed, the square the mean, the bar one deviation each way.

    Args:
        variants: name and top-1 in percent of every seed, from the top line down.
        num_classes: where given, a dotted line shows what guessing scores.

    >>> figure = ablation_chart([("TSN", (40.0, 42.0))])
    >>> figure.axes[0].get_xlabel()
    'top-1 (%)'
    """
    rows = range(len(variants))
    spreads = [spread(scores) for _, scores in variants]
    with chart_style():
        height = _ABLATION_MARGIN + _ABLATION_ROW_HEIGHT * len(variants)
        figure = new_figure(_ABLATION_WIDTH, height, layout="constrained")
        axes = figure.subplots()
        mean = axes.errorbar(
            [item.mean for item in spreads],
            rows,
            xerr=[math.nan if item.std is None else item.std for item in spreads],
            linestyle="",
            marker="s",
            markersize=7,
            color=SERIES[0],
            elinewidth=2,
            capsize=5,
            label="mean, one deviation",
        )
        (seeds,) = axes.plot(
            [score for _, scores in variants for score in scores],
            [row for row in rows for _ in variants[row][1]],
            linestyle="",
            marker="o",
            markersize=5,
            color=SERIES[1],
            alpha=0.75,
            zorder=3,
            label="a seed",
        )
        handles: list[Any] = [mean, seeds]
        if num_classes is not None:
            chance, dotted = 100 / num_classes, (0, (1, 2))
            handles.append(
                axes.axvline(chance, color=MUTED, linestyle=dotted, linewidth=1.2, label="chance")
            )
        axes.set_yticks(rows, [name for name, _ in variants])
        axes.tick_params(labelcolor=INK, labelsize=12)
        axes.set(xlabel="top-1 (%)", ylim=(len(variants) - 0.4, -0.6))
        axes.grid(axis="x")
        axes.margins(x=0.06)
        figure.legend(handles=handles, loc="outside upper left", ncols=3)
        return figure
