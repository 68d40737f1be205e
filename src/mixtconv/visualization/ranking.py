"""Predictions in the order of how sure the model was."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class RankedPrediction:
    """What a model takes one video for."""

    index: int
    """The video's place."""
    label: int
    """Its class."""
    predicted: int
    """The class that the model gives it."""
    score: float
    """Probability of the predicted class."""
    true_score: float
    """Probability of the video's class."""

    @property
    def is_right(self) -> bool:
        return self.label == self.predicted


def rank_predictions(
    probabilities: Tensor, labels: Tensor, readable: Tensor | None = None
) -> list[RankedPrediction]:
    """All predictions, the surest first; videos that could not be read are left out.

    Args:
        probabilities: (N, K).
        labels: int64 (N,).
        readable: bool (N,), by default all.

    >>> ranked = rank_predictions(torch.tensor([[0.6, 0.4], [0.1, 0.9]]), torch.tensor([0, 0]))
    >>> [(item.index, item.is_right, round(item.score, 1)) for item in ranked]
    [(1, False, 0.9), (0, True, 0.6)]
    """
    best = probabilities.max(dim=1)
    own = probabilities.gather(1, labels[:, None])[:, 0]
    return [
        RankedPrediction(
            index,
            int(labels[index]),
            int(best.indices[index]),
            float(best.values[index]),
            float(own[index]),
        )
        for index in torch.argsort(best.values, descending=True, stable=True).tolist()
        if readable is None or readable[index]
    ]
