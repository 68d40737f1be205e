"""A step of training: gradients of several batches summed, and batch normalisation frozen."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from mixtconv.models import VideoClassifier, load_model
from mixtconv.training import fit
from mixtconv.training.fit import train
from mixtconv.training.initial_weights import InitialModel, make_initial_model
from mixtconv.training.module import BatchPlan, freeze_batch_norm
from mixtconv.training.settings import TrainingSettings

MakeSettings = Callable[..., TrainingSettings]


class _FixedNorm(nn.BatchNorm2d):
    """A batch normalisation that never looks at the batch."""

    def train(self, mode: bool = True) -> "_FixedNorm":
        return super().train(False)


def _fix_norms(model: VideoClassifier) -> VideoClassifier:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.__class__ = _FixedNorm
            module.train()
    return model


@pytest.fixture
def without_batch_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs begin with a model in which the clips of a batch do not see each other."""

    def make(settings: TrainingSettings, classes: tuple[str, ...]) -> InitialModel:
        initial = make_initial_model(settings, classes)
        return InitialModel(_fix_norms(initial.model), initial.weights)

    monkeypatch.setattr(fit, "make_initial_model", make)


@pytest.mark.parametrize("batch_sizes", [(8, 4, 2), (10, 5, 2), (6, 1, 6)])
def test_small_batches_summed_are_one_large_batch(
    batch_sizes: tuple[int, int, int],
    tiny_settings: MakeSettings,
    without_batch_statistics: None,
) -> None:
    """Twelve clips an epoch: the last step has fewer than the others, and perhaps its last batch.

    By sgd, since adamw makes much of the least difference.
    """
    large, small, accumulate = batch_sizes
    recipe = {"dropout": 0.0, "optimizer": "sgd", "lr": 0.05, "schedule": "constant"}
    one = train(tiny_settings("one", batch_size=large, **recipe))
    other = train(tiny_settings("other", batch_size=small, accumulate=accumulate, **recipe))
    for row, again in zip(one.epochs, other.epochs, strict=True):
        assert row.train_loss == pytest.approx(again.train_loss, rel=1e-4)
        assert row.learning_rate == pytest.approx(again.learning_rate)
    states = [_last_state(run.files.checkpoint) for run in (one, other)]
    assert states[0]["global_step"] == states[1]["global_step"] == 2 * -(-12 // large)
    start = make_initial_model(tiny_settings(), ("a", "b", "c", "d")).model.state_dict()
    for name, value in states[0]["state_dict"].items():
        if value.is_floating_point():
            torch.testing.assert_close(states[1]["state_dict"][name], value, rtol=1e-3, atol=2e-5)
    moved = states[0]["state_dict"]["model.head.weight"] - start["head.weight"]
    assert moved.abs().max() > 1e-2  # far beyond the tolerance


def _last_state(checkpoint: Path) -> dict:
    return torch.load(checkpoint, weights_only=True)


def test_shares_of_a_step_are_those_of_its_clips() -> None:
    for clips in range(1, 30):
        plan = BatchPlan(clips, batch_size=4, batches_per_step=3)
        sizes = [len(range(clips)[start : start + 4]) for start in range(0, clips, 4)]
        steps = [sizes[start : start + 3] for start in range(0, len(sizes), 3)]
        expected = [size / sum(step) for step in steps for size in step]
        assert [plan.share_of_step(index) for index in range(len(sizes))] == expected
        assert plan.steps_per_epoch == len(steps)


def test_batches_of_a_step_have_chance_of_their_own(
    tiny_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds: list[int] = []
    plain = torch.manual_seed

    def noted(seed: int) -> torch.Generator:
        seeds.append(int(seed))
        return plain(seed)

    monkeypatch.setattr(torch, "manual_seed", noted)
    train(tiny_settings(batch_size=2, accumulate=3))
    drawn = [seed for seed in seeds if seed]
    assert len(drawn) >= 12 and len(set(drawn)) == len(drawn)


# partial batch normalisation


def test_partial_bn_keeps_all_but_the_first(tiny_settings: MakeSettings) -> None:
    settings = tiny_settings(partial_bn=True)
    torch.manual_seed(0)
    start = make_initial_model(settings, ("a", "b", "c", "d")).model
    layers = [name for name, each in start.named_modules() if isinstance(each, nn.BatchNorm2d)]
    first, *others = layers
    trained = load_file(train(settings).files.model)
    before = start.state_dict()
    for layer in others:
        for part in ("weight", "bias", "running_mean", "running_var"):
            name = f"{layer}.{part}"
            assert torch.equal(trained[name], before[name]), name
    for part in ("weight", "bias", "running_mean", "running_var"):
        assert not torch.equal(trained[f"{first}.{part}"], before[f"{first}.{part}"]), part


def test_frozen_layers_normalise_by_what_they_know(tiny_settings: MakeSettings) -> None:
    result = train(tiny_settings(epochs=1))
    model = load_model(result.files.model).train()
    freeze_batch_norm(model)
    layers = [each for each in model.modules() if isinstance(each, nn.BatchNorm2d)]
    assert [layer.training for layer in layers] == [True] + [False] * (len(layers) - 1)
