"""JSON as RFC 8259 has it: null in place of a number that is not finite, which it cannot write."""

import json
import math
from typing import Any


def to_json(content: Any, *, indent: int | None = None) -> str:
    """Plain values as JSON.

    >>> to_json({"loss": float("nan"), "scores": [1.0, float("-inf")]})
    '{"loss": null, "scores": [1.0, null]}'
    """
    return json.dumps(_finite(content), indent=indent, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    if isinstance(content, float) and not math.isfinite(content):
        return None
    return content
