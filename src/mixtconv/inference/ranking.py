"""From logits to ranked labels."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Prediction:
    """A class and how sure the model is of it."""

    label: str
    """The name of the class."""
    score: float
    """Softmax of the averaged logits, 0 to 1."""


def ranked(logits: npt.ArrayLike, classes: Sequence[str], top_k: int) -> list[Prediction]:
    """The best classes, best first.

    Args:
        logits: (K,), an array or a tensor.
        classes: K names.
        top_k: how many, at most.

    Raises:
        ValueError: none is asked for.

    >>> [best] = ranked([0.0, 5.0, 1.0], ["wave", "jump", "run"], top_k=1)
    >>> best.label, round(best.score, 2)
    ('jump', 0.98)
    """
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; give at least 1")
    values = np.asarray(logits, dtype=np.float64)  # (K,)
    exponentials = np.exp(values - values.max())
    scores = exponentials / exponentials.sum()
    best = np.argsort(-scores, kind="stable")[:top_k]
    return [Prediction(classes[index], float(scores[index])) for index in best]
