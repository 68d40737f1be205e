"""How the points of a class are drawn: colour, marker, and whether the marker is filled.

The colours are six of those of Okabe and Ito, "Color Universal Design" (2008), which stay apart for
all kinds of colour blindness; black and yellow are left out, which a dark or a light page swallows.
With more classes than colours the markers tell them apart, with more than there are pairs, whether
they are filled.
"""

from dataclasses import dataclass

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
