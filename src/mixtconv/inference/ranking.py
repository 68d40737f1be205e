"""From logits to ranked labels."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Prediction:
    """A class and how sure the model is of it."""

    label: str
    """The name of the class."""
    score: float
    """Softmax of the averaged logits, 0 to 1."""


def ranked(logits: Tensor, classes: Sequence[str], top_k: int) -> list[Prediction]:
    """The best classes, best first.

    Args:
        logits: (K,).
        classes: K names.
        top_k: how many, at most.

    Raises:
        ValueError: none is asked for.

    >>> import torch
    >>> [best] = ranked(torch.tensor([0.0, 5.0, 1.0]), ["wave", "jump", "run"], top_k=1)
    >>> best.label, round(best.score, 2)
    ('jump', 0.98)
    """
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; give at least 1")
    best = logits.softmax(dim=0).topk(min(top_k, len(logits)))
    return [
        Prediction(classes[index], score)
        for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
    ]
