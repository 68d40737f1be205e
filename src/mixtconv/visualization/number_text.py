"""Numbers as the report writes them."""

import math
from collections.abc import Sequence

from mixtconv._names import NOT_MEASURED

_PREFIXES = (("G", 1e9), ("M", 1e6), ("k", 1e3))


def percent(value: float, *, decimals: int = 1) -> str:
    """A percentage.

    >>> percent(97.53).split(), percent(float("nan"))
    (['97.5', '%'], '–')
    """
    if not math.isfinite(value):
        return NOT_MEASURED
    return f"{value:.{decimals}f}\N{NO-BREAK SPACE}%"


def number(value: float, *, decimals: int) -> str:
    """A number with fixed decimals.

    >>> number(0.1234, decimals=2)
    '0.12'
    """
    return f"{value:.{decimals}f}" if math.isfinite(value) else NOT_MEASURED


def in_common_unit(values: Sequence[float]) -> tuple[str, list[str]]:
    """Write counts in one unit and with as many decimals: the prefix of the unit, the numbers.

    >>> in_common_unit([32_700_000_000, 33_179_000_000])
    ('G', ['32.70', '33.18'])
    """
    largest = max(values, default=0)
    prefix, unit = next((pair for pair in _PREFIXES if largest >= pair[1]), ("", 1.0))
    decimals = 0 if not prefix else 1 if largest >= 100 * unit else 2
    return prefix, [f"{value / unit:.{decimals}f}" for value in values]


def joined(parts: Sequence[str]) -> str:
    """A list in a sentence.

    >>> joined(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)
