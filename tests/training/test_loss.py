"""Weights of classes, the weighted and the asymmetric loss, against plain loops."""

import math

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from mixtconv.training.loss import class_weights, multi_label_loss, weighted_cross_entropy

LABELS = [0, 0, 0, 0, 0, 2, 2, 3]


def test_weights_are_inverse_frequencies_and_1_on_average() -> None:
    weights = class_weights(np.bincount(LABELS, minlength=5).tolist())
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


TARGET = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.3]])


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("focus", [(0.0, 0.0, 0.0), (0.0, 4.0, 0.05), (1.0, 2.0, 0.2)])
def test_the_loss_of_several_labels_is_that_of_the_paper(
    focus: tuple[float, float, float], smoothing: float
) -> None:
    """Equations 4 to 6 of arXiv 2009.14119, with the weight of a label that holds."""
    positive, negative, margin = focus
    logits = 3 * torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    weights = [0.5, 2.0, 1.0]
    total = 0.0
    for row in range(3):
        for column in range(3):
            score = 1 / (1 + math.exp(-float(logits[row, column])))
            shifted = max(score - margin, 0)
            target = float(TARGET[row, column]) * (1 - smoothing) + smoothing / 2
            holds = (1 - score) ** positive * math.log(score)
            not_so = shifted**negative * math.log(1 - shifted)
            total -= target * weights[column] * holds + (1 - target) * not_so
    loss = multi_label_loss(
        logits,
        TARGET,
        torch.tensor(weights),
        label_smoothing=smoothing,
        gamma_positive=positive,
        gamma_negative=negative,
        margin=margin,
    )
    assert loss.item() == pytest.approx(total / 3, rel=1e-4)


def test_without_focus_it_is_binary_cross_entropy_and_large_logits_do_no_harm() -> None:
    logits = torch.tensor([[200.0, -200.0, 0.5], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]])
    logits.requires_grad_()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(logits, TARGET, reduction="sum")
    loss = multi_label_loss(logits, TARGET)
    assert loss.item() == pytest.approx(expected.item() / 3)
    focused = multi_label_loss(logits, TARGET, gamma_positive=1.0, gamma_negative=4.0, margin=0.05)
    (loss + focused).backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
