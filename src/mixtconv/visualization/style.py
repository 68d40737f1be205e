"""What all charts share: colours that follow the page's light or dark mode, text widths, legends.

A chart is drawn in the colours of a light page. In a page, `inline_svg` replaces each of them by
the variable of the same role, which `report.css` gives a value for either mode. Colours are
distinguishable for the colour-blind, and never carry a meaning alone: every model has a marker too.

Legends are laid out here and not by matplotlib, whose legend neither wraps a long class name nor
gives the figure the height that many names need.
"""

import unicodedata
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from mixtconv._names import visible

INK = "#20252d"
MUTED = "#596270"
LINE = "#cfd4db"
PAGE = "#fcfcfb"
"""Background of the page, behind text."""
ON_HEAT = "#fefefe"
"""Text on a full cell of a heat map, in both modes."""
SERIES = ("#1261a8", "#bf4a0a", "#0d776a", "#7a3fa3", "#80620a", "#b0286c")

CSS_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    PAGE: "--page",
    **{color: f"--series-{index}" for index, color in enumerate(SERIES)},
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X")

HEAT = (34, 98, 173)
"""Positive values in a heat map. How far from zero is the opacity, so that 0 is the page itself."""
HEAT_NEGATIVE = (214, 96, 13)

PIXELS_PER_INCH = 72
"""A chart's unit: one point of the figure is one pixel of the page."""

_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 12,
    "text.color": INK,
    "text.parse_math": False,
    "text.usetex": False,
    "axes.unicode_minus": True,
    "axes.facecolor": "none",
    "axes.edgecolor": LINE,
    "axes.spines.left": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.labelcolor": INK,
    "xtick.color": LINE,
    "xtick.labelcolor": MUTED,
    "xtick.labelsize": 11,
    "ytick.left": False,
    "ytick.labelcolor": MUTED,
    "ytick.labelsize": 11,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "legend.frameon": False,
    "legend.fontsize": 11,
    "image.interpolation": "none",
    "image.aspect": "auto",
    "svg.fonttype": "none",
    "svg.hashsalt": "mixtconv",
    "svg.image_inline": True,
    "path.simplify": True,
}


def series_style(index: int) -> dict[str, str]:
    """Colour and marker of the model at a position of the report, different for the first 42."""
    return {"color": SERIES[index % len(SERIES)], "marker": MARKERS[index % len(MARKERS)]}


def chart_style() -> AbstractContextManager[None]:
    """Matplotlib settings for drawing and writing a chart, instead of the user's own."""
    return matplotlib.rc_context(_STYLE)


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """A figure of so many pixels of the page."""
    size = (width / PIXELS_PER_INCH, height / PIXELS_PER_INCH)
    return Figure(figsize=size, dpi=PIXELS_PER_INCH, facecolor="white", **options)


def axes_at(
    figure: Figure, left: float, top: float, width: float, height: float, *, frame: str = LINE
) -> Any:
    """Empty axes in a frame of a colour, at a place in pixels from the figure's upper left."""
    whole_width, whole_height = figure.get_size_inches() * figure.dpi
    bottom = 1 - (top + height) / whole_height
    axes = figure.add_axes((left / whole_width, bottom, width / whole_width, height / whole_height))
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set(color=frame, visible=True)
    return axes


def point_places(figure: Figure, index: int, points: NDArray[Any]) -> NDArray[np.float64]:
    """Where points of the axes at an index are drawn: (N, 2) pixels from the upper left corner."""
    places = figure.axes[index].transData.transform(points)
    height = float(figure.get_size_inches()[1] * figure.dpi)
    return np.column_stack([places[:, 0], height - places[:, 1]])


def heat_colors(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Colours of values in -1 to 1, as opacity of one hue for each sign.

    >>> heat_colors(np.array([[0.0, 1.0, -0.5]])).shape
    (1, 3, 4)
    """
    clipped = np.clip(np.nan_to_num(values), -1, 1)
    colors = np.where((clipped < 0)[..., None], HEAT_NEGATIVE, HEAT)
    alpha = np.round(255 * np.abs(clipped))[..., None]
    return np.concatenate([colors, alpha], axis=-1).astype(np.uint8)


def text_width(text: str, size: float) -> float:
    """Upper bound of a text's width in pixels, with hinting or in the page's font.

    >>> text_width("wide", 12) > text_width("will", 12) > 0
    True
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        font = FontProperties(size=size)
        width: float = text_to_path.get_text_width_height_descent(
            visible(text), font, ismath=False
        )[0]
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    return 1.05 * width + 0.5 * size * wide  # the replacement for a missing glyph is half as wide


def wrapped(text: str, size: float, *, width: float) -> list[str]:
    """Break a text into lines of at most so many pixels, inside a word where it must be.

    >>> wrapped("Pushing something", 12, width=70)
    ['Pushing', 'something']
    """
    lines = [""]
    for word in text.split() or [""]:
        joined = f"{lines[-1]} {word}".strip()
        if text_width(joined, size) <= width:
            lines[-1] = joined
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and text_width(lines[-1] + letter, size) > width:
                lines.append("")
            lines[-1] += letter
    return lines


MARGIN = 12
LEGEND_ROW, LEGEND_FONT = 17, 11
MAX_NAME_WIDTH = 390
"""In pixels; longer names are wrapped."""


@dataclass(frozen=True)
class Legend:
    """Positions of the entries of a legend, in pixels from the upper left corner of the figure."""

    entries: list[tuple[list[str], float, float]]
    """Lines of text, left and top of each entry."""
    height: float


def lay_out_legend(
    names: Sequence[str], *, width: float, top: float, mark_width: float = 0
) -> Legend:
    """Lay out a legend in columns as wide as the names need, read from top to bottom.

    Args:
        names: one an entry.
        width: of the figure.
        top: where the legend begins.
        mark_width: width of the mark before each name.

    >>> legend = lay_out_legend(["jump", "run", "wave"], width=1000, top=0)
    >>> len({left for _, left, _ in legend.entries}), legend.height
    (3, 17)
    """
    name_width = min(MAX_NAME_WIDTH, width - 2 * MARGIN - mark_width - 4)
    texts = [wrapped(name, LEGEND_FONT, width=name_width) for name in names]
    widest = (
        mark_width + 14 + max(text_width(line, LEGEND_FONT) for lines in texts for line in lines)
    )
    columns = max(1, min(len(names), int((width - 2 * MARGIN + 10) / widest)))
    lines_per_column = -(-sum(map(len, texts)) // columns)
    entries, column, line, num_rows = [], 0, 0, 0
    for lines in texts:
        if line and line + len(lines) > lines_per_column and column < columns - 1:
            column, line = column + 1, 0
        entries.append((lines, MARGIN + column * widest, top + line * LEGEND_ROW))
        line += len(lines)
        num_rows = max(num_rows, line)
    return Legend(entries, num_rows * LEGEND_ROW)


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
    # what is drawn keeps its size and its distance from the upper left corner
    shrink = Affine2D().translate(0, -1).scale(old_width / width, old_height / height)
    shrink.translate(0, 1)
    for axes in figure.axes:
        axes.set_position(axes.get_position().transformed(shrink))
    figure.set_size_inches(width / figure.dpi, height / figure.dpi)
    with chart_style():
        for lines, left, top in legend.entries:
            for number, line in enumerate(lines):
                y = 1 - (top + 12 + number * LEGEND_ROW) / height
                figure.text(left / width, y, line, size=LEGEND_FONT)
