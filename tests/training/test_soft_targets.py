"""Losses of distillation against NumPy; one mixture for clips of every size."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mixtconv.models import ModelSpec
from mixtconv.training.loss import ClipLoss
from mixtconv.training.mixed_clips import Mixture, mix_clips
from mixtconv.training.settings import TrainingSettings
from mixtconv.training.soft_targets import feature_loss, soft_loss, soften

MakeSettings = Callable[..., TrainingSettings]


def _softmax(values: np.ndarray) -> np.ndarray:
    powers = np.exp(values - values.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [1.0, 3.5])
def test_the_loss_of_one_label_is_the_divergence_by_hand(temperature: float) -> None:
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 5, 7)) * 3
    p, q = _softmax(teacher / temperature), _softmax(student / temperature)
    wanted = temperature**2 * (p * np.log(p / q)).sum(axis=1).mean()
    target = soften(torch.from_numpy(teacher), temperature)
    found = soft_loss(torch.from_numpy(student), target, temperature)
    assert float(found) == pytest.approx(wanted, rel=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_the_loss_of_several_labels_is_the_binary_cross_entropy_by_hand(temperature: float) -> None:
    rng = np.random.default_rng(1)
    student, teacher = rng.normal(size=(2, 4, 3))
    p, q = (1 / (1 + np.exp(-each / temperature)) for each in (teacher, student))
    each = -(p * np.log(q) + (1 - p) * np.log(1 - q))
    target = soften(torch.from_numpy(teacher), temperature, several=True)
    found = soft_loss(torch.from_numpy(student), target, temperature, several=True)
    assert float(found) == pytest.approx(temperature**2 * each.sum(axis=1).mean(), rel=1e-9)


def test_the_gradient_towards_a_mean_is_the_mean_of_gradients() -> None:
    """Which makes a second student one more teacher."""
    torch.manual_seed(0)
    logits = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    targets = [soften(torch.randn(4, 5, dtype=torch.float64), 2.0) for _ in range(3)]
    together = soft_loss(logits, torch.stack(targets).mean(dim=0), 2.0)
    each = torch.stack([soft_loss(logits, target, 2.0) for target in targets]).mean()
    one, other = (torch.autograd.grad(loss, logits)[0] for loss in (together, each))
    torch.testing.assert_close(one, other)


def test_features_are_compared_by_their_direction() -> None:
    rng = np.random.default_rng(2)
    one, other = rng.normal(size=(2, 6, 8))
    cosines = (one * other).sum(axis=1)
    cosines /= np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    found = feature_loss(torch.from_numpy(one * 7), torch.from_numpy(other))
    assert float(found) == pytest.approx((2 - 2 * cosines).mean())


SPEC = ModelSpec("tsn_test_resnet", ("a", "b", "c"), num_frames=2, image_size=32)


@pytest.mark.parametrize("mix", [{"mixup": 0.5}, {"cutmix": 1.0}, {"mixup": 0.4, "cutmix": 0.8}])
def test_clips_of_another_size_are_mixed_alike(
    tiny_settings: MakeSettings, mix: dict[str, Any]
) -> None:
    loss = ClipLoss(tiny_settings(**mix), (), SPEC)
    coarse = torch.rand(4, 2, 3, 16, 16)
    student, teacher = (
        F.interpolate(coarse.flatten(0, 1), (size, size)).unflatten(0, (4, 2)) for size in (32, 64)
    )
    labels = torch.tensor([0, 1, 2, 0])
    changed = 0
    for seed in range(6):
        torch.manual_seed(seed)
        alone, wanted = loss.mixed(student, labels)
        after = torch.rand(1)
        torch.manual_seed(seed)
        mixed, target, mixture = mix_clips(loss, student, labels)
        assert torch.equal(mixed, alone) and torch.equal(target, wanted)
        assert torch.equal(torch.rand(1), after)  # nothing more is drawn
        torch.testing.assert_close(mixture.clips(student), mixed)
        shrunk = F.avg_pool2d(mixture.clips(teacher).flatten(0, 1), 2).unflatten(0, (4, 2))
        torch.testing.assert_close(shrunk, mixed)
        torch.testing.assert_close(mixture.targets(F.one_hot(labels, 3).float()), target)
        changed += not torch.equal(mixed, student)
    assert changed >= 3


def test_without_mixing_clips_stay_the_same(tiny_settings: MakeSettings) -> None:
    video, labels = torch.rand(2, 2, 3, 32, 32), torch.tensor([0, 1])
    mixed, target, mixture = mix_clips(ClipLoss(tiny_settings(), (), SPEC), video, labels)
    assert mixed is video and target is labels and mixture == Mixture()
    assert mixture.clips(video) is video and mixture.targets(labels) is labels
