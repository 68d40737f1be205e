"""Learning curves: loss and top-1 of every model, epoch by epoch."""

from collections.abc import Sequence
from typing import Any, Literal

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from mixtconv.visualization.palette import (
    INK,
    LINE,
    MUTED,
    chart_style,
    new_figure,
    series_style,
)
from mixtconv.visualization.report_data import ModelResult

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
        legend = _legend_entries(results, with_training="loss" in panels)
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


def _legend_entries(results: Sequence[ModelResult], *, with_training: bool) -> list[Line2D]:
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
