"""Weights of classes and the weighted loss, against plain loops."""

import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from mixtconv.training.loss import class_weights, weighted_cross_entropy

LABELS = [0, 0, 0, 0, 0, 2, 2, 3]


def test_weights_are_inverse_frequencies_and_1_on_average() -> None:
    weights = class_weights(LABELS, 5)
    expected = compute_class_weight("balanced", classes=np.array([0, 2, 3]), y=LABELS)
    np.testing.assert_allclose(weights[[0, 2, 3]], expected, rtol=1e-6)
    assert weights[[1, 4]].tolist() == [0, 0]
    assert weights[LABELS].mean().item() == pytest.approx(1)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("is_mixed", [False, True])
def test_the_loss_of_a_sample_is_multiplied_by_the_weight_of_its_label(
    smoothing: float, is_mixed: bool
) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 4, generator=generator)
    labels = torch.tensor([0, 2, 2, 1, 3, 0])
    shares = torch.zeros(6, 4)
    for row, label in enumerate(labels.tolist()):
        shares[row, label] += 0.7 if is_mixed else 1.0
        shares[row, 3] += 0.3 if is_mixed else 0.0
    weights = torch.tensor([0.5, 1.0, 2.0, 4.0])
    total = 0.0
    for row in range(6):
        scale = math.log(sum(math.exp(value) for value in logits[row].tolist()))
        loss = weight = 0.0
        for label in range(4):
            share = float(shares[row, label])
            loss -= ((1 - smoothing) * share + smoothing / 4) * (float(logits[row, label]) - scale)
            weight += share * float(weights[label])
        total += weight * loss
    found = weighted_cross_entropy(
        logits, shares if is_mixed else labels, weights, label_smoothing=smoothing
    )
    assert found.item() == pytest.approx(total / 6, rel=1e-5)


def test_a_batch_of_one_class_keeps_its_weight() -> None:
    logits, labels = torch.zeros(3, 2), torch.ones(3, dtype=torch.long)
    loss = weighted_cross_entropy(logits, labels, torch.tensor([1.0, 3.0]))
    assert loss.item() == pytest.approx(3 * math.log(2))
