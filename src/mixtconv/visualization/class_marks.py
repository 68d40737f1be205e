"""How the points of a class are drawn: colour, marker, and whether the marker is filled.

The colours are six of those of Okabe and Ito, "Color Universal Design" (2008), which stay apart for
all kinds of colour blindness; black and yellow are left out, which a dark or a light page swallows.
With more classes than colours the markers tell them apart, with more than there are pairs, whether
they are filled.
"""

from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.markers import MarkerStyle
from matplotlib.path import Path
from matplotlib.transforms import Affine2D

MARK_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "<", "*", ">", "p", "h", "d", "8", "H")
_PERIOD = 30
"""Classes after which colours and markers, taken in turn, would both begin anew."""
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
