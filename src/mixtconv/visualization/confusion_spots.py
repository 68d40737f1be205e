"""What a page says of the cells of a confusion matrix."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from mixtconv.visualization.confusion import row_shares
from mixtconv.visualization.hover_page import Spot
from mixtconv.visualization.number_text import percent


def confusion_spots(
    figure: Figure, counts: NDArray[Any], classes: Sequence[str], order: Sequence[int]
) -> tuple[Spot, ...]:
    """The cells that hold clips, with what was taken for what; a row is a group.

    Args:
        figure: what `confusion_matrix` drew of the other arguments.
        counts: (K, K) clips.
        classes: K names.
        order: permutation of the classes.
    """
    axes = figure.axes[0]
    height = float(figure.get_size_inches()[1] * figure.dpi)
    (left, bottom), (right, top) = axes.transAxes.transform([(0, 0), (1, 1)])
    half = (right - left) / len(order) / 2, (top - bottom) / len(order) / 2
    shares = row_shares(counts)
    spots = []
    for row, true in enumerate(order):
        for column, predicted in enumerate(order):
            if not counts[true, predicted]:
                continue
            taken = "recognised" if true == predicted else f"taken for {classes[predicted]}"
            share = percent(100 * shares[true, predicted], decimals=0)
            clips = f"{counts[true, predicted]} of {counts[true].sum()} clips, {share}"
            x = left + (2 * column + 1) * half[0]
            y = height - top + (2 * row + 1) * half[1]
            spots.append(Spot(x, y, *half, f"{classes[true]}\n{taken}\n{clips}", classes[true]))
    return tuple(spots)
