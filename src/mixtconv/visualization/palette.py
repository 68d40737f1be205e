"""Colours and fonts of all charts, and how they follow the page's light or dark mode.

A chart is drawn in the colours of a light page. In a page, `inline_svg` replaces each of them by
the variable of the same role, which `report.css` gives a value for either mode. Colours can be told
apart by the colour-blind, and never carry a meaning alone: every model has a marker too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

INK = "#20252d"
MUTED = "#596270"
LINE = "#cfd4db"
PAGE = "#fcfcfb"
"""The page itself, for what lies under a text."""
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
    "svg.fonttype": "none",
    "svg.hashsalt": "mixtconv",
    "svg.image_inline": True,
    "path.simplify": True,
}


@dataclass(frozen=True)
class SeriesStyle:
    """How one model is drawn in every chart."""

    color: str
    marker: str


def series_style(index: int) -> SeriesStyle:
    """Style of the model at a position of the report: the first 42 differ from each other."""
    return SeriesStyle(SERIES[index % len(SERIES)], MARKERS[index % len(MARKERS)])


@contextmanager
def chart_style() -> Iterator[None]:
    """Settings under which a chart is made and written, whatever the user's own are."""
    with matplotlib.rc_context(_STYLE):
        yield


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """A figure of so many pixels of the page."""
    size = (width / PIXELS_PER_INCH, height / PIXELS_PER_INCH)
    return Figure(figsize=size, dpi=PIXELS_PER_INCH, facecolor="white", **options)


def heat_colors(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Colours of values in -1 to 1, as opacity of one hue for each sign.

    >>> heat_colors(np.array([[0.0, 1.0, -0.5]])).shape
    (1, 3, 4)
    """
    clipped = np.clip(np.nan_to_num(values), -1, 1)
    colors = np.where((clipped < 0)[..., None], HEAT_NEGATIVE, HEAT)
    alpha = np.round(255 * np.abs(clipped))[..., None]
    return np.concatenate([colors, alpha], axis=-1).astype(np.uint8)
