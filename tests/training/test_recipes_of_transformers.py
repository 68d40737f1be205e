"""Recipes of transformers: adapters in CLIP, trained as their authors train them.

What is compared with the recipes was read in the authors' code; the files say what differs.
"""

import math
import re
from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import pytest
import timm
import torch

from mixtconv.models import VideoClassifier, create_model
from mixtconv.models.frozen_trunk import freeze_trunk
from mixtconv.training.initial_weights import model_settings
from mixtconv.training.optimizer import make_optimizer, make_schedule
from mixtconv.training.recipes import list_recipes, load_recipe

NAMES = list_recipes("*_vit_*")


@dataclass(frozen=True)
class Row:
    """A published way of training adapters, as its authors' code has it."""

    rate: float
    """Of the whole step."""
    clips: int
    decay: float
    epochs: int
    warmup: float
    mirrored: bool
    places: dict[str, int]
    """Adapters of a block -> channels of a token for one of the adapter's."""
    shape_changes: tuple[float, float] = (0, 0)
    """Expected number of operations of RandAugment, and their strength as a fraction of the most.
    """
    erasing: float = 0
    smoothing: float = 0
    random_area: bool = True
    """Whether crops have 0.08 to 1 of the area of the frame."""


_AROUND = {"attn.before": 4, "attn.after": 4, "mlp.before": 4, "mlp.after": 4}
_OVER_TIME = {"adapter": 4, "attn.adapter": 4, "mlp.adapter": 4}
_TWICE_OVER_TIME = {**_OVER_TIME, "adapter_in": 4}
ROWS = {
    ("stadapter", "something_v2"): Row(
        1e-3, 4 * 64, 1e-2, 50, 2, False, {"adapter_attention": 2, "adapter_mlp": 2}, (4 / 2, 0.7)
    ),
    ("stadapter", "kinetics400"): Row(
        1e-3 * 192 / 256, 3 * 64, 1e-2, 12, 2, True, {"adapter_mlp": 2}, random_area=False
    ),
    ("aim", "something_v2"): Row(
        3e-4, 64, 0.05, 50, 2.5, False, _TWICE_OVER_TIME, (4, 7 / 30), erasing=0.25, smoothing=0.1
    ),
    ("aim", "kinetics400"): Row(3e-4, 64, 0.05, 30, 2.5, True, _OVER_TIME),
    ("zeroi2v", "something_v2"): Row(
        3e-4, 64, 0.05, 50, 2.5, True, _AROUND, (4 / 2, 0.7), erasing=0.25, smoothing=0.1
    ),
    ("zeroi2v", "kinetics400"): Row(3e-4, 64, 0.05, 40, 2.5, True, _AROUND, (4 / 2, 0.7)),
}
FOLLOWS = {"adapter": "stadapter", "mstvit": "zeroi2v"}
"""Our families -> those whose hyperparameters they take."""


def _row(name: str) -> Row:
    family, _, _ = name.partition("_")
    dataset = "kinetics400" if "kinetics400" in name else "something_v2"
    row = ROWS[FOLLOWS.get(family, family), dataset]
    return replace(row, places={}) if family == "mstvit" else row


@cache
def _small(name: str) -> VideoClassifier:
    """What a recipe trains, in a small transformer for small clips."""
    settings = load_recipe(name).settings(root="/data", num_frames=2, image_size=32)
    model = create_model(f"{name.partition('_')[0]}_test_vit", 3, **model_settings(settings))
    freeze_trunk(model)
    return model


@pytest.fixture(scope="module")
def image_model() -> torch.nn.Module:
    """The small transformer as timm makes it."""
    return timm.create_model("test_vit", num_classes=0, img_size=32)


def _as_in_timm(name: str) -> str:
    """A name inside a recognizer without the wrappers around timm's modules."""
    return re.sub(r"\.module\b", "", name.removeprefix("backbone."))


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_of_a_transformer_trains_as_published(
    name: str, image_model: torch.nn.Module
) -> None:
    """The rates and decays that the optimiser really gets: one rate, for what was put in."""
    settings = load_recipe(name).settings(root="/data", weights="none")
    row = _row(name)
    assert (settings.train, settings.clips_per_step) == ("temporal", row.clips)
    model = _small(name)
    optimizer = make_optimizer(model, settings)
    assert isinstance(optimizer, torch.optim.AdamW)
    found = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    frozen = image_model.state_dict().keys()
    for key, parameter in model.named_parameters():
        if _as_in_timm(key) in frozen:
            assert id(parameter) not in found, key
        else:
            decay = 0 if key.endswith("bias") else row.decay
            assert found[id(parameter)] == pytest.approx((row.rate, decay), rel=1e-5), key
    assert settings.clip_gradient == 0
    assert (settings.mixup, settings.cutmix, settings.drop_path, settings.ema) == (0, 0, 0, 0)
    assert (settings.dropout, settings.label_smoothing) == (0.5, row.smoothing)


@pytest.mark.parametrize("name", NAMES)
def test_the_rate_of_a_transformer_rises_and_falls_as_published(name: str) -> None:
    settings = load_recipe(name).settings(root="/data", weights="none")
    row, steps = _row(name), 4
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make_schedule(optimizer, settings, steps_per_epoch=steps)
    rates = []
    for _ in range(row.epochs * steps):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    assert settings.epochs == row.epochs
    num_rising = round(row.warmup * steps)
    assert rates[:num_rising] == pytest.approx(
        [(step + 1) / (num_rising + 1) for step in range(num_rising)]
    )
    falling = len(rates) - num_rising
    assert rates[num_rising:] == pytest.approx(
        [(1 + math.cos(math.pi * step / falling)) / 2 for step in range(falling)]
    )
    assert schedule.get_last_lr()[0] == pytest.approx(0)


@pytest.mark.parametrize("name", NAMES)
def test_a_transformer_sees_clips_changed_as_published(name: str) -> None:
    settings = load_recipe(name).settings(root="/data", weights="none")
    row = _row(name)
    assert settings.flip == row.mirrored
    strength = (settings.rand_magnitude or 0) / 10
    assert (settings.rand_augment, strength) == pytest.approx(row.shape_changes)
    assert settings.random_erasing == row.erasing
    assert (settings.color_jitter, settings.rotate, settings.time_jitter) == (0, 0, 0)
    assert (settings.crop_places, settings.repeated_augmentation) == ("anywhere", 1)
    sides = settings.crop_scales
    if not row.random_area:  # 224 of a short side of 1 to 1.15 times as much
        middle = (1 + 1 / 1.15) / 2
        assert sides == pytest.approx([1, middle, 1 / 1.15], abs=0.006)
        return
    # of a frame of 16:9, whose largest square has 9/16 of it; as many crops of any part of the area
    least, count = 0.08 * 16 / 9, len(sides)
    areas = [1 - (1 - least) * number / (count - 1) for number in range(count)]
    assert [side**2 for side in sides] == pytest.approx(areas, abs=0.01)
    ratios = [low / high for high, low in pairwise(sides)]
    assert min(ratios) == pytest.approx(3 / 4, abs=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_a_transformer_has_the_published_adapters(name: str, image_model: torch.nn.Module) -> None:
    family = name.partition("_")[0]
    model, row = _small(name), _row(name)
    channels = image_model.num_features
    found = Counter(
        (_as_in_timm(key), module.out_features)
        for key, module in model.named_modules()
        if key.endswith(".down")
    )
    expected = {
        (f"blocks.{block}.{place}.down", channels // ratio)
        for block in range(len(image_model.blocks))
        for place, ratio in row.places.items()
    }
    assert set(found) == expected and set(found.values()) <= {1}
    spec = model.spec
    assert spec.temporal_position == (family in ("aim", "zeroi2v"))
    assert spec.average_before_norm == (family == "stadapter")
    assert spec.edges == ("replicate" if family == "zeroi2v" else "zeros")
    assert spec.position == ("kv" if family in ("zeroi2v", "mstvit") else "head")
