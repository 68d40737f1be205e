"""Legends of many names: in columns as wide as the names need, read from top to bottom."""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from mixtconv.visualization.palette import INK, chart_style
from mixtconv.visualization.text_width import text_width, wrapped

MARGIN = 12
LEGEND_ROW, LEGEND_FONT = 17, 11
MAX_NAME_WIDTH = 390
"""Longer names go on in a second line."""


@dataclass(frozen=True)
class Legend:
    """Where the entries of a legend stand, in pixels from the upper left corner of the figure."""

    entries: list[tuple[list[str], float, float]]
    """Of each the lines of its text, left, and top."""
    height: float


def lay_out_legend(
    names: Sequence[str], *, width: float, top: float, mark_width: float = 0
) -> Legend:
    """Lay out a legend.

    Args:
        names: one an entry.
        width: of the figure.
        top: where the legend begins.
        mark_width: room for a mark before each name.

    >>> legend = lay_out_legend(["jump", "run", "wave"], width=1000, top=0)
    >>> len({left for _, left, _ in legend.entries}), legend.height
    (3, 17)
    """
    room = min(MAX_NAME_WIDTH, width - 2 * MARGIN - mark_width - 4)
    texts = [wrapped(name, LEGEND_FONT, width=room) for name in names]
    widest = (
        mark_width + 14 + max(text_width(line, LEGEND_FONT) for lines in texts for line in lines)
    )
    columns = max(1, min(len(names), int((width - 2 * MARGIN + 10) / widest)))
    lines_in_all = sum(map(len, texts))
    entries, column, line, most = [], 0, 0, 0
    for lines in texts:
        if line and line + len(lines) > -(-lines_in_all // columns) and column < columns - 1:
            column, line = column + 1, 0
        entries.append((lines, MARGIN + column * widest, top + line * LEGEND_ROW))
        line += len(lines)
        most = max(most, line)
    return Legend(entries, most * LEGEND_ROW)


def add_legend_below(figure: Figure, names: Sequence[str], *, min_width: float = 0) -> None:
    """Enlarge a figure by a legend of names below everything that it shows.

    Args:
        figure: is changed.
        names: one an entry.
        min_width: the figure is widened to it, to the right.
    """
    old_width, old_height = figure.get_size_inches() * figure.dpi
    width = max(old_width, min_width)
    legend = lay_out_legend(names, width=width, top=old_height + MARGIN)
    height = old_height + legend.height + 2 * MARGIN
    for axes in figure.axes:
        box = axes.get_position()
        axes.set_position(
            (
                box.x0 * old_width / width,
                1 - (1 - box.y0) * old_height / height,
                box.width * old_width / width,
                box.height * old_height / height,
            )
        )
    figure.set_size_inches(width / figure.dpi, height / figure.dpi)
    with chart_style():
        for lines, left, top in legend.entries:
            for number, line in enumerate(lines):
                y = 1 - (top + 12 + number * LEGEND_ROW) / height
                figure.text(left / width, y, line, size=LEGEND_FONT, color=INK, va="baseline")
