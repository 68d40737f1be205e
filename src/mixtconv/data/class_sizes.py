"""Which classes have too few held-out videos to judge a recognizer by them.

The share of a class's videos that is recognised is an estimate; Wilson's interval says how far off
it may be ("Probable inference, the law of succession, and statistical inference", 1927). Half its
width is largest where half of the videos are recognised, and then depends on their number alone.
"""

import math
from collections.abc import Mapping

from mixtconv._names import count_of, first_few

DEVIATIONS = 1.96
"""Standard deviations of a normal distribution that 95 % are within."""

WIDEST = 0.2
"""Half of the widest interval by which a class is judged, as a share of its videos."""

LEAST_VIDEOS = math.ceil(DEVIATIONS**2 * (1 / (4 * WIDEST**2) - 1))
"""Held-out videos of a class from which on the interval is never wider than that: 21."""


def wilson_interval(share: float, number: float, *, z: float = DEVIATIONS) -> tuple[float, float]:
    """Wilson's interval of a share that was measured on a number of cases; within 0 to 1.

    Unlike the plain formula it does not call a score of 100 % of five cases certain.

    >>> low, high = wilson_interval(1.0, 5)
    >>> round(low, 2), high
    (0.57, 1.0)
    """
    centre = (share + z**2 / (2 * number)) / (1 + z**2 / number)
    half = (
        z / (1 + z**2 / number) * math.sqrt(share * (1 - share) / number + z**2 / (4 * number**2))
    )
    return max(centre - half, 0.0), min(centre + half, 1.0)


def too_small(numbers: Mapping[str, int]) -> tuple[str, ...]:
    """The classes with too few held-out videos to judge, of those that have any; fewest first.

    >>> too_small({"jump": 30, "run": 20, "wave": 3, "clap": 0})
    ('wave', 'run')
    """
    small = [name for name, number in numbers.items() if 0 < number < LEAST_VIDEOS]
    return tuple(sorted(small, key=numbers.__getitem__))


def size_notes(numbers: Mapping[str, int]) -> tuple[str, ...]:
    """A sentence for the user about the classes that are too small to judge, if any are.

    Args:
        numbers: held-out videos of each class.
    """
    small = too_small(numbers)
    if not small:
        return ()
    listed = first_few([f"{name!r} ({numbers[name]})" for name in small])
    return (
        f"{count_of(len(small), 'class')} too small to judge: {listed}; with fewer than "
        f"{LEAST_VIDEOS} held-out videos what is recognised of a class may be off by more than "
        f"{100 * WIDEST:.0f} %",
    )
