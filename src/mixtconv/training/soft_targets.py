"""Losses that compare the scores, or the features, of a student with those of its teachers.

"Distilling the Knowledge in a Neural Network" (arXiv 1503.02531): logits of both are divided by a
temperature before the softmax, and the divergence is multiplied by its square, so that gradients
keep their size. "FitNets" (arXiv 1412.6550) also compares features, through a linear layer.
Different here: of the features only the direction counts, so that the factor of this loss means the
same for teachers whose features are large or small; and of several labels a video the loss is the
binary cross entropy of each with the teacher's probability.
"""

import torch.nn.functional as F
from torch import Tensor


def soften(logits: Tensor, temperature: float, *, several: bool = False) -> Tensor:
    """Probabilities of logits (..., K) over a temperature; of several labels each for itself.

    >>> import torch
    >>> soften(torch.tensor([[2.0, 0.0]]), 2.0)
    tensor([[0.7311, 0.2689]])
    """
    scaled = logits / temperature
    return scaled.sigmoid() if several else scaled.softmax(dim=-1)


def soft_loss(
    logits: Tensor, target: Tensor, temperature: float, *, several: bool = False
) -> Tensor:
    """How far a student is from probabilities, the mean over the batch.

    Kullback and Leibler's divergence; of several labels the binary cross entropy, summed over the
    labels. Times the square of the temperature. With the mean of the probabilities of several
    teachers its gradient is the mean of those of each.

    Args:
        logits: of the student, (B, K).
        target: `soften` of the teacher's, (B, K).
        temperature: that of the target.
        several: whether a video may have several labels.

    >>> import torch
    >>> bool(soft_loss(torch.zeros(2, 3), torch.full((2, 3), 1 / 3), 4.0) < 1e-6)
    True
    """
    scaled = logits / temperature
    if several:
        losses = F.binary_cross_entropy_with_logits(scaled, target, reduction="none").sum(dim=1)
    else:
        losses = F.kl_div(scaled.log_softmax(dim=1), target, reduction="none").sum(dim=1)
    return losses.mean() * temperature**2


def feature_loss(features: Tensor, wanted: Tensor) -> Tensor:
    """Squared distance of the directions of two features, the mean over the batch: 0 to 4.

    Args:
        features: of the student, as wide as the teacher's, (B, D).
        wanted: of the teacher, (B, D).

    >>> import torch
    >>> feature_loss(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.5, 0.0]]))
    tensor(0.)
    """
    difference = F.normalize(features, dim=1) - F.normalize(wanted, dim=1)
    return difference.square().sum(dim=1).mean()
