"""How `mixtconv stream` says what it sees, while it sees it."""

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mixtconv.inference.stream_session import SeenFrame

SECONDS_BETWEEN_LINES = 1.0
"""A line for people is printed at a new label, and as often as this."""


class _Lines:
    """For people: a line at each change of the label and each second."""

    def __init__(self) -> None:
        self._label: str | None = None
        self._seconds = 0.0

    def __call__(self, seen: "SeenFrame") -> None:
        best = seen.labels.predictions[0]
        waited = abs(seen.seconds - self._seconds)
        if self._label is None:
            _write(f"{'seconds':>10}  {'frame':>8}  {'dropped':>8}  label")
        elif best.label == self._label and waited < SECONDS_BETWEEN_LINES:
            return
        self._label, self._seconds = best.label, seen.seconds
        ranking = ", ".join(f"{each.label} {each.score:.2f}" for each in seen.labels.predictions)
        _write(f"{seen.seconds:10.2f}  {seen.number:8}  {seen.num_dropped:8}  {ranking}")


def _json_line(seen: "SeenFrame") -> None:
    _write(json.dumps(seen.to_dict()))


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()  # whoever reads a pipe wants it now


PRINTERS: dict[str, Callable[[], Callable[["SeenFrame"], None]]] = {
    "table": _Lines,
    "json": lambda: _json_line,
}
"""Format -> what makes a printer of frames."""
