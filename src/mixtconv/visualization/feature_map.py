"""Maps of features: a point a clip, a mark a class, several models side by side.

The colours of the marks are six of those of Okabe and Ito, "Color Universal Design" (2008), which
stay distinct for all kinds of colour blindness; black and yellow are left out, which are invisible
on a dark or a light page. Beyond six classes markers differ as well, and beyond all pairs of both
hollow markers follow.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from mixtconv.visualization.number_text import percent
from mixtconv.visualization.style import (
    INK,
    LEGEND_FONT,
    LEGEND_ROW,
    MUTED,
    PAGE,
    Legend,
    axes_at,
    chart_style,
    lay_out_legend,
    new_figure,
    text_width,
    wrapped,
)

MARK_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*", ">", "p", "h", "d", "8", "H")
_PERIOD = 30
"""Classes after which colours and markers, both taken in turn, would repeat as pairs."""
NUM_MARKS = 2 * len(MARK_COLORS) * len(MARKERS)


@dataclass(frozen=True)
class ClassMark:
    """The look of one class."""

    color: str
    marker: str
    filled: bool


def class_mark(index: int) -> ClassMark:
    """The mark of a class: the first 180 all differ, of the first 15 the markers already do.

    >>> class_mark(0), class_mark(6).color == class_mark(0).color
    (ClassMark(color='#0072b2', marker='o', filled=True), True)
    """
    pair, hollow = index % (NUM_MARKS // 2), index // (NUM_MARKS // 2) % 2
    color = MARK_COLORS[pair % len(MARK_COLORS)]
    marker = MARKERS[(pair + pair // _PERIOD) % len(MARKERS)]
    return ClassMark(color, marker, filled=not hollow)


def mark_svg(index: int) -> Markup:
    """The mark of a class as a small picture inside a page, hidden from screen readers.

    >>> str(mark_svg(1))[:40]
    '<svg class="mark" viewBox="-1 -1 2 2" ar'
    """
    mark = class_mark(index)
    style = MarkerStyle(mark.marker)
    outline = style.get_path().transformed(style.get_transform())
    outline = outline.transformed(_fitting(outline))
    fill = mark.color if mark.filled else "none"
    return Markup(
        '<svg class="mark" viewBox="-1 -1 2 2" aria-hidden="true">'
        '<path d="{}" fill="{}" stroke="{}" stroke-width="0.2"/></svg>'
    ).format(_path_data(outline), fill, mark.color)


def _fitting(outline: Path) -> Affine2D:
    """Scale an outline to reach 0.85 to every side, and turn it as pictures count: y downwards."""
    box = outline.get_extents()
    scale = 1.7 / max(box.width, box.height)
    return Affine2D().translate(*(-box.get_points().mean(axis=0))).scale(scale, -scale)


def _path_data(outline: Path) -> str:
    """An outline as the `d` of an SVG path."""
    parts = []
    for vertices, code in outline.iter_segments():
        letter = _PATH_LETTERS[Path.code_type(code)]
        parts.append(letter + " ".join(f"{value:.2f}" for value in vertices if letter != "Z"))
    return "".join(parts)


_PATH_LETTERS = {
    Path.MOVETO: "M",
    Path.LINETO: "L",
    Path.CURVE3: "Q",
    Path.CURVE4: "C",
    Path.CLOSEPOLY: "Z",
}


GAP, MARGIN, HEADER = 24, 12, 50
PANEL, LARGE_PANEL, LARGE_SINGLE = 440, 640, 900
"""Side of a map in pixels: with few classes, with many, and with many for one model alone."""
MANY_CLASSES = 40
LABEL_FONT = 9.5
POINT_AREAS = ((300, 36), (1000, 22), (math.inf, 12))
"""(Largest number of clips, area of a point in square pixels)."""


@dataclass(frozen=True)
class FeatureMap:
    """The clips of one model on a plane."""

    name: str
    """The model's name."""
    points: NDArray[Any]
    """(N, 2), clips in the same order for all models."""
    accuracy: float
    """Neighbourhood accuracy of the features, in percent; NaN where it is not defined."""
    map_accuracy: float
    """Neighbourhood accuracy of the points."""


def feature_maps(
    maps: Sequence[FeatureMap], labels: NDArray[Any], classes: Sequence[str]
) -> Figure:
    """Draw the maps side by side, with one legend of the classes below.

    With more classes than markers a class's number is written before its name, and on the map
    where it does not cover another number.

    Args:
        maps: one a model.
        labels: (N,) the classes of the clips.
        classes: names; the legend lists those with clips.

    >>> points = np.array([[0.0, 0.0], [1.0, 1.0]])
    >>> figure = feature_maps([FeatureMap("TSN", points, 50.0, 50.0)], np.array([0, 1]), ["a", "b"])
    >>> len(figure.axes)
    2
    """
    shown = np.unique(labels).tolist()
    numbered = are_numbered(classes)
    names = [f"{label + 1} {classes[label]}" if numbered else classes[label] for label in shown]
    with chart_style():
        side = PANEL
        if len(shown) > MANY_CLASSES:
            side = LARGE_PANEL if len(maps) > 1 else LARGE_SINGLE
        width = 2 * MARGIN + len(maps) * side + (len(maps) - 1) * GAP
        top = HEADER + side + 18
        legend = lay_out_legend(names, width=width, top=top, mark_width=20)
        height = top + legend.height + MARGIN
        figure = new_figure(width, height)
        for index, item in enumerate(maps):
            axes = axes_at(figure, MARGIN + index * (side + GAP), HEADER, side, side)
            _draw_points(axes, item.points, labels, numbered=numbered)
            for line, (text, size, color) in enumerate(_header(item, side)):
                up = 1 + (HEADER - 18 - 20 * line) / side
                axes.text(0, up, text, transform=axes.transAxes, size=size, color=color)
        _draw_legend(figure, legend, shown)
        return figure


def feature_map(points: NDArray[Any], labels: NDArray[Any], *, numbered: bool) -> Figure:
    """Draw the map of one model alone, for a page that writes name and legend itself.

    Args:
        points: (N, 2).
        labels: (N,) the classes of the clips.
        numbered: write the numbers of the classes, from 1, on the map.

    >>> len(feature_map(np.eye(2), np.array([0, 1]), numbered=False).axes)
    1
    """
    with chart_style():
        side = LARGE_PANEL if len(np.unique(labels)) > MANY_CLASSES else PANEL
        figure = new_figure(side, side)
        axes = axes_at(figure, 1, 1, side - 2, side - 2)  # the frame's line is inside the figure
        _draw_points(axes, points, labels, numbered=numbered)
        return figure


def are_numbered(classes: Sequence[str]) -> bool:
    """Whether classes need numbers on a map, as there are more than markers."""
    return len(classes) > len(MARKERS)


def _header(item: FeatureMap, side: float) -> list[tuple[str, float, str]]:
    """Lines above a panel: text, size, colour."""
    name = wrapped(item.name, 14, width=side)
    numbers = (
        f"neighbourhood accuracy {percent(item.accuracy)} of the features, "
        f"{percent(item.map_accuracy)} of the map"
    )
    return [(name[0], 14, INK), (numbers, 10.5, MUTED)]


def _draw_points(axes: Any, points: NDArray[Any], labels: NDArray[Any], *, numbered: bool) -> None:
    low, high = points.min(axis=0), points.max(axis=0)
    half = max(float((high - low).max()), 1e-9) * 0.54
    centre = (low + high) / 2
    axes.set_xlim(centre[0] - half, centre[0] + half)
    axes.set_ylim(centre[1] - half, centre[1] + half)
    area = next(area for clips, area in POINT_AREAS if len(points) <= clips)
    for label in np.unique(labels).tolist():
        _scatter(axes, points[labels == label], label, s=area, linewidths=0.9, alpha=0.85)
    if numbered:
        _number_classes(axes, points, labels)


def _scatter(axes: Any, places: NDArray[Any], label: int, **options: Any) -> None:
    """Draw the mark of a class at places (N, 2)."""
    mark = class_mark(label)
    face = mark.color if mark.filled else "none"
    axes.scatter(*places.T, marker=mark.marker, c=face, edgecolors=mark.color, **options)


def _number_classes(axes: Any, points: NDArray[Any], labels: NDArray[Any]) -> None:
    """Write each class's number on its most central clip where it covers no other number."""
    pixels = axes.transData.transform(points)  # (N, 2)
    low, high = axes.transAxes.transform([(0, 0), (1, 1)])
    taken = np.empty((0, 4))  # left, bottom, right, top
    for label in np.unique(labels).tolist():
        clips = np.flatnonzero(labels == label)
        from_middle = np.linalg.norm(pixels[clips] - np.median(pixels[clips], axis=0), axis=1)
        text = str(label + 1)
        half = np.array([text_width(text, LABEL_FONT) / 2 + 1, LABEL_FONT / 2 + 1])
        for clip in clips[from_middle.argsort(kind="stable")]:
            box = np.concatenate([pixels[clip] - half, pixels[clip] + half])
            inside = (box[:2] > low).all() and (box[2:] < high).all()
            apart = (taken[:, :2] >= box[2:]).any(axis=1) | (taken[:, 2:] <= box[:2]).any(axis=1)
            if inside and apart.all():
                taken = np.vstack([taken, box])
                axes.text(*points[clip], text, size=LABEL_FONT, zorder=3, bbox=_PLATE,
                          ha="center", va="center_baseline")  # fmt: skip
                break


_PLATE = {"boxstyle": "square,pad=0.05", "fc": PAGE, "ec": "none", "alpha": 0.75}
"""Background of a number, which keeps it legible among the points."""


def _draw_legend(figure: Figure, legend: Legend, shown: Sequence[int]) -> None:
    width, height = figure.get_size_inches() * figure.dpi
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, width), ylim=(height, 0))
    axes.axis("off")
    for (lines, left, top), label in zip(legend.entries, shown, strict=True):
        _scatter(axes, np.array([[left + 7, top + 8]]), label, s=46, linewidths=1.1)
        for number, line in enumerate(lines):
            axes.text(left + 20, top + 12 + number * LEGEND_ROW, line, size=LEGEND_FONT)
