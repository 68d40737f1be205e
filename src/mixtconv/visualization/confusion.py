"""Confusion matrices: counts of true against predicted classes, with confused classes side by side.

Of several labels a clip they are co-occurrences: clips with a true label that were given a label. A
clip may then be in several fields of a row, whose shares are of the clips with its true label
(`totals`) and not of the sum of the row.

Computed (`row_shares`, `confusion_order`, `top_confusions`), drawn (`confusion_matrix`), and
described cell by cell for an interactive page (`confusion_spots`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixtconv.visualization.inline_svg import Spot
from mixtconv.visualization.number_text import percent
from mixtconv.visualization.style import (
    INK,
    LINE,
    MUTED,
    ON_HEAT,
    axes_at,
    chart_style,
    heat_colors,
    new_figure,
    point_places,
    text_width,
)

AxisLabels = Literal["names", "numbers"]

MAX_NAMED_CLASSES = 40
MAX_NAME_LENGTH = 64
"""Names beyond these are replaced by numbers in a picture."""
MIN_CELL_WITH_VALUE = 22
GAMMA = 0.6
"""A cell's opacity is its share to this power, so that a single clip can be seen too."""
LIGHT_TEXT_FROM = 0.62
"""Share from which a cell is so dark that its value is written in white."""


@dataclass(frozen=True)
class Confusion:
    """Clips of one class that were taken for one other."""

    true_class: int
    predicted_class: int
    count: int
    share: float
    """Of the clips of the true class, 0 to 1."""


def row_shares(counts: NDArray[Any], totals: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """Shares of each row's sum; a row without clips is all zeros: (K, K) -> (K, K).

    Args:
        counts: (K, K) clips.
        totals: (K,), clips that each row is a share of; by default the sums of the rows.

    >>> row_shares(np.array([[3, 1], [0, 0]])).tolist()
    [[0.75, 0.25], [0.0, 0.0]]
    """
    counts = np.asarray(counts, dtype=np.float64)
    totals = counts.sum(axis=1) if totals is None else totals
    return counts / np.maximum(totals[:, None], 1)


def confusion_order(counts: NDArray[Any]) -> list[int]:
    """Order the classes so that confused ones are neighbours.

    The greedy chain: of all pairs, the most confused one that can still become neighbours does
    (both are ends of different chains), until no confused pair is left. Chains follow each other
    by their first class; classes that nothing is confused with keep their place among them.

    >>> confusion_order(np.array([[8, 0, 2, 0], [0, 9, 0, 1], [4, 0, 6, 0], [0, 0, 0, 9]]))
    [0, 2, 1, 3]
    """
    shares = row_shares(counts)
    likeness = shares + shares.T
    first, second = np.triu_indices(len(likeness), k=1)
    strength = likeness[first, second]
    by_strength = np.argsort(-strength, kind="stable")
    chain_of: list[list[int]] = [[index] for index in range(len(likeness))]
    for pair in by_strength[strength[by_strength] > 0]:
        a, b = int(first[pair]), int(second[pair])
        left, right = chain_of[a], chain_of[b]
        if left is right or a not in (left[0], left[-1]) or b not in (right[0], right[-1]):
            continue
        left = left if left[-1] == a else left[::-1]
        joined = left + (right if right[0] == b else right[::-1])
        for index in joined:
            chain_of[index] = joined
    order: dict[int, None] = {}
    for chain in chain_of:
        forwards = chain[0] <= chain[-1]
        order.update(dict.fromkeys(chain if forwards else chain[::-1]))
    return list(order)


def top_confusions(
    counts: NDArray[Any], totals: NDArray[Any] | None = None, *, limit: int = 8
) -> list[Confusion]:
    """The confusions that concern the largest shares of their true class, largest first.

    >>> top_confusions(np.array([[8, 2], [1, 9]]), limit=1)
    [Confusion(true_class=0, predicted_class=1, count=2, share=0.2)]
    """
    shares = row_shares(counts, totals)
    np.fill_diagonal(shares, 0)
    found = [
        Confusion(int(row), int(column), int(counts[row, column]), float(shares[row, column]))
        for row, column in np.argwhere(shares > 0)
    ]
    return sorted(found, key=lambda item: (-item.share, -item.count))[:limit]


def names_fit(classes: Sequence[str]) -> bool:
    """Whether a picture can show the names of the classes in full."""
    return len(classes) <= MAX_NAMED_CLASSES and max(map(len, classes)) <= MAX_NAME_LENGTH


def confusion_matrix(
    counts: NDArray[Any],
    classes: Sequence[str],
    *,
    order: Sequence[int] | None = None,
    labels: AxisLabels = "names",
    totals: NDArray[Any] | None = None,
) -> Figure:
    """Draw a confusion matrix: rows are true classes, columns predicted ones.

    Args:
        counts: (K, K) clips.
        classes: K names.
        order: permutation of the classes, `confusion_order(counts)` by default.
        labels: `names` writes numbers and names beside the rows, and falls back to `numbers`,
            which only writes the place in the order, where `names_fit` says no.
        totals: as for `row_shares`, of several labels a clip.

    >>> matrix, scale = confusion_matrix(np.eye(2), ["jump", "run"]).axes
    >>> matrix.images[0].get_size()
    (2, 2)
    """
    order = confusion_order(counts) if order is None else list(order)
    shares = row_shares(counts, totals)[np.ix_(order, order)]
    names = [" ".join(classes[index].split()) for index in order]
    with chart_style():
        named = labels == "names" and names_fit(names)
        layout = _Layout.fit(names, named=named)
        figure = new_figure(layout.width, layout.height)
        axes = axes_at(figure, layout.left, layout.TOP, layout.side, layout.side)
        axes.imshow(heat_colors(shares**GAMMA))
        if len(names) <= MAX_NAMED_CLASSES:
            between = np.arange(len(names) - 1) + 0.5
            for draw in (axes.vlines, axes.hlines):
                draw(between, -0.5, len(names) - 0.5, color=LINE, linewidth=0.5)
        if layout.cell >= MIN_CELL_WITH_VALUE:
            _write_values(axes, shares)
        _label_axes(axes, names, layout, named=named)
        _draw_scale(figure, layout)
        return figure


@dataclass(frozen=True)
class _Layout:
    """Sizes of the picture's parts in pixels."""

    cell: float
    side: float
    left: float
    TOP = 40
    BOTTOM = 46
    RIGHT = 12
    SCALE = 165
    FONT = 10.5

    @classmethod
    def fit(cls, names: Sequence[str], *, named: bool) -> "_Layout":
        size = len(names)
        if named:
            cell = min(44.0, max(20.0, 400 / size))
            widest = max(text_width(f"{size} {name}", cls.FONT) for name in names)
            return cls(cell, cell * size, max(widest, 70) + 16)
        side = 308.0 if size <= MAX_NAMED_CLASSES else 600.0
        cell = min(70.0, side / size)
        return cls(cell, cell * size, 46)

    @property
    def width(self) -> float:
        return self.left + max(self.side, self.SCALE) + self.RIGHT

    @property
    def height(self) -> float:
        return self.TOP + self.side + self.BOTTOM


def _write_values(axes: Any, shares: NDArray[np.float64]) -> None:
    for row, column in np.argwhere(shares >= 0.005):
        share = shares[row, column]
        color = ON_HEAT if share >= LIGHT_TEXT_FROM else INK
        middle = {"ha": "center", "va": "center_baseline"}
        axes.text(column, row, f"{100 * share:.0f}", color=color, size=9.5, **middle)


def _label_axes(axes: Any, names: Sequence[str], layout: _Layout, *, named: bool) -> None:
    size = len(names)
    pixel = 1 / layout.cell
    for index in _numbered(size, layout.cell, min_step=5 + 6.5 * len(str(size))):
        above = -0.5 - 5 * pixel
        axes.text(index, above, str(index + 1), ha="center", size=10, color=MUTED)
    for index in range(size) if named else _numbered(size, layout.cell, min_step=14):
        text = f"{index + 1} {names[index]}" if named else str(index + 1)
        beside = -0.5 - 6 * pixel
        axes.text(beside, index, text, ha="right", va="center_baseline", size=layout.FONT)
    title = -0.5 - 23 * pixel
    axes.text(-0.5, title, "predicted class →", size=10.5, color=MUTED)
    if named:
        corner = -0.5 - 6 * pixel
        axes.text(corner, title, "true class ↓", ha="right", size=10.5, color=MUTED)
    else:
        turned = {"rotation": 90, "rotation_mode": "anchor"}
        beside = -0.5 - 32 * pixel
        axes.text(beside, size - 0.5, "← true class", size=10.5, color=MUTED, **turned)


def _numbered(size: int, cell: float, *, min_step: float) -> list[int]:
    """The classes whose number is written, so that each number has so many pixels."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, size) if step * cell >= min_step)
    return [index for index in range(size) if (index + 1) % step == 0]


def _draw_scale(figure: Figure, layout: _Layout) -> None:
    """The legend of the colours, below the matrix."""
    width = min(120, layout.side)
    axes = axes_at(figure, layout.left, layout.height - 32, width, 9)
    axes.imshow(heat_colors(np.linspace(0, 1, 64)[None] ** GAMMA))
    below = 0.5 + 13 / 9
    axes.text(-0.5, below, "0", size=10, color=MUTED)
    axes.text(63.5, below, "100 % of the row", ha="center", size=10, color=MUTED)


def confusion_spots(
    figure: Figure,
    counts: NDArray[Any],
    classes: Sequence[str],
    order: Sequence[int],
    totals: NDArray[Any] | None = None,
) -> tuple[Spot, ...]:
    """The cells that hold clips, with what was taken for what; a row is a group.

    Args:
        figure: what `confusion_matrix` drew of the other arguments.
        counts: (K, K) clips.
        classes: K names.
        order: permutation of the classes.
        totals: as for `row_shares`, of several labels a clip.
    """
    shares = row_shares(counts, totals)
    of_row = counts.sum(axis=1) if totals is None else totals
    verb = "taken for" if totals is None else "given"
    filled = np.argwhere(counts[np.ix_(order, order)])  # (N, 2), row and column
    centre, corner = point_places(figure, 0, np.array([[0, 0], [0.5, 0.5]]))
    half_width, half_height = corner - centre
    spots = []
    for cell, (x, y) in zip(filled, point_places(figure, 0, filled[:, ::-1]), strict=True):
        true, predicted = order[cell[0]], order[cell[1]]
        taken = "recognized" if true == predicted else f"{verb} {classes[predicted]}"
        share = percent(100 * shares[true, predicted], decimals=0)
        clips = f"{counts[true, predicted]} of {of_row[true]} clips, {share}"
        text = f"{classes[true]}\n{taken}\n{clips}"
        spots.append(Spot(x, y, half_width, half_height, text, classes[true]))
    return tuple(spots)
