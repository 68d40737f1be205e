"""The recipe: who decays, who learns faster, and how the rate runs."""

import math
from collections import Counter
from typing import Literal

import pytest
import torch
from torch import nn

from mixtconv.models import create_model
from mixtconv.training.module import freeze_batch_norm
from mixtconv.training.optimizer import KINDS, make_optimizer, make_schedule, parameter_kinds
from mixtconv.training.settings import TrainingSettings


@pytest.fixture
def model() -> nn.Module:
    return create_model("mstnet_test_resnet", 3, num_frames=4, image_size=32)


def test_every_parameter_is_in_one_group_by_its_kind(model: nn.Module) -> None:
    kinds = parameter_kinds(model)
    assert len(kinds) == len(list(model.parameters()))
    groups = make_optimizer(model, TrainingSettings("x")).param_groups
    counts = Counter(kinds.values())
    assert [len(group["params"]) for group in groups] == [counts[kind] for kind in KINDS]
    modules = dict(model.named_modules())
    for name, parameter in model.named_parameters():
        owner, _, own = name.rpartition(".")
        if isinstance(modules[owner], nn.BatchNorm2d):
            expected = "norm"
        else:
            expected = "bias" if own == "bias" else "weight"
        assert kinds[parameter] == expected, name


def _groups(model: nn.Module, clips_per_step: int = 64, **settings: object) -> list[tuple]:
    optimizer = make_optimizer(model, TrainingSettings("x", batch_size=clips_per_step, **settings))
    return [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups]


def test_sgd_is_the_recipe_of_tsn(model: nn.Module) -> None:
    """Biases at twice the rate; neither they nor normalisation decay."""
    assert _groups(model, optimizer="sgd") == [(0.01, 5e-4), (0.02, 0.0), (0.01, 0.0)]


def test_adamw_has_one_rate(model: nn.Module) -> None:
    assert _groups(model) == [(2e-3, 0.05), (2e-3, 0.0), (2e-3, 0.0)]


@pytest.mark.parametrize(
    ("optimizer", "clips", "factor"),
    [("sgd", 8, 1 / 8), ("sgd", 64, 1), ("sgd", 256, 4),
     ("adamw", 4, 1 / 4), ("adamw", 64, 1), ("adamw", 256, 2)],
)  # fmt: skip
def test_the_rate_grows_with_the_clips_of_a_step(
    model: nn.Module, optimizer: Literal["sgd", "adamw"], clips: int, factor: float
) -> None:
    """Linearly with sgd, by the square root with adamw."""
    changes = {"optimizer": optimizer, "lr": 0.1}
    assert _groups(model, clips, **changes)[0][0] == pytest.approx(0.1 * factor)
    assert _groups(model, clips, **changes, scale_lr=False)[0][0] == 0.1


def test_the_last_layer_and_the_first_convolution_may_learn_faster(model: nn.Module) -> None:
    """As in TSM: five times, and its bias ten times."""
    settings = TrainingSettings(
        "x", batch_size=64, optimizer="sgd", head_lr_factor=5, first_layer_lr_factor=3
    )
    optimizer = make_optimizer(model, settings)
    rates = {
        id(parameter): group["lr"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    first = next(name for name, each in model.named_modules() if isinstance(each, nn.Conv2d))
    for name, parameter in model.named_parameters():
        owner, _, own = name.rpartition(".")
        factor = {"head": 5, first: 3}.get(owner, 1)
        is_norm = isinstance(model.get_submodule(owner), nn.BatchNorm2d)
        expected = 0.01 * factor * (2 if own == "bias" and not is_norm else 1)
        assert rates[id(parameter)] == pytest.approx(expected), name
    assert optimizer.param_groups[0]["lr"] == 0.01  # the one that is reported


def test_what_is_frozen_is_left_to_no_optimiser(model: nn.Module) -> None:
    freeze_batch_norm(model)
    optimizer = make_optimizer(model, TrainingSettings("x"))
    held = sum(len(group["params"]) for group in optimizer.param_groups)
    norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm2d)]
    assert held == len(list(model.parameters())) - 2 * (len(norms) - 1)


def _rates(num_steps: int, steps_per_epoch: int, **settings: object) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make_schedule(
        optimizer, TrainingSettings("x", **settings), steps_per_epoch=steps_per_epoch
    )
    rates = []
    for _ in range(num_steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def test_the_rate_rises_and_then_falls_as_a_cosine() -> None:
    rates = _rates(40, 4, epochs=10, warmup_epochs=2.0)
    assert rates[:8] == pytest.approx([(step + 1) / 9 for step in range(8)])
    expected = [0.5 * (1 + math.cos(math.pi * (step - 8) / 32)) for step in range(8, 40)]
    assert rates[8:] == pytest.approx(expected)


def test_the_rate_may_rise_within_a_part_of_an_epoch() -> None:
    rates = _rates(8, 4, epochs=2, warmup_epochs=0.5)  # two of four steps
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    expected = [0.5 * (1 + math.cos(math.pi * (step - 2) / 6)) for step in range(2, 8)]
    assert rates[2:] == pytest.approx(expected)


def test_the_step_schedule_divides_by_ten_at_each_milestone() -> None:
    rates = _rates(20, 2, epochs=10, warmup_epochs=0.0, schedule="step", milestones=[4.0, 8.0])
    assert rates == pytest.approx([1.0] * 8 + [0.1] * 8 + [0.01] * 4)
    default = _rates(20, 2, epochs=10, warmup_epochs=0.0, schedule="step")
    assert default == pytest.approx(rates)  # 40 % and 80 % of the epochs


def test_the_constant_schedule_stays() -> None:
    assert set(_rates(10, 2, epochs=5, warmup_epochs=0.0, schedule="constant")) == {1.0}
