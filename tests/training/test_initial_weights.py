"""What a run starts from: ImageNet weights, those of a file, or random ones."""

import logging
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from mixtconv.models import ModelSpec, create_model, save_model
from mixtconv.training.initial_weights import make_initial_model
from mixtconv.training.settings import TrainingSettings

MakeSettings = Callable[..., TrainingSettings]


def test_fine_tuning_keeps_everything_but_the_last_layer_where_classes_differ(
    tiny_settings: MakeSettings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pretrained = create_model(
        "mstnet_test_resnet", classes=["a", "b", "c"], num_frames=4, image_size=32
    )
    save_model(pretrained, tmp_path / "pretrained.safetensors")
    settings = tiny_settings(weights=str(tmp_path / "pretrained.safetensors"))
    with caplog.at_level(logging.INFO):
        initial = make_initial_model(settings, ("w", "x", "y", "z"))
    assert "other classes" in caplog.text
    state = initial.model.state_dict()
    for name, value in pretrained.state_dict().items():
        if name.startswith("head."):
            assert state[name].shape != value.shape
        else:
            assert torch.equal(state[name], value)
    same = make_initial_model(settings, ("a", "b", "c"))
    assert torch.equal(same.model.head.weight, pretrained.head.weight)
    with pytest.raises(ValueError, match="do not fit tsn_test_resnet"):
        make_initial_model(replace(settings, model="tsn_test_resnet"), ("a", "b"))


def test_a_file_of_2d_weights_is_loaded_into_the_backbone(
    tiny_settings: MakeSettings, tmp_path: Path
) -> None:
    backbone = create_model("tsn_test_resnet", 2).backbone
    torch.save({"state_dict": backbone.state_dict()}, tmp_path / "2d.pth")
    initial = make_initial_model(tiny_settings(weights=str(tmp_path / "2d.pth")), ("a", "b"))
    loaded = initial.model.backbone.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in backbone.state_dict().items())


def test_every_setting_that_a_spec_has_reaches_the_model(tiny_settings: MakeSettings) -> None:
    changes = {
        "num_frames": 2,
        "image_size": 48,
        "sampling": "dense",
        "frame_stride": 3,
        "modality": "rgbdiff",
        "position": "inner",
        "stages": [0, 1],
        "block_step": 2,
        "causal": True,
        "shift_fraction": 0.25,
        "dropout": 0.1,
    }
    head = {"feature_head": "blocks", "feature_stage": 2, "less_mean": True}
    tokens = {
        "edges": "replicate",
        "adapter_width": 0.25,
        "adapter_places": "mlp",
        "temporal_position": True,
        "average_before_norm": True,
        "time_adapters": 2,
    }
    shared = {field.name for field in fields(ModelSpec)} & set(vars(tiny_settings()))
    assert shared == {*changes, *head, *tokens}
    spec = make_initial_model(tiny_settings(**changes), ("a", "b")).model.spec
    assert {name: getattr(spec, name) for name in changes} == changes | {"stages": (0, 1)}
    spec = make_initial_model(tiny_settings(**head), ("a", "b")).model.spec
    assert {name: getattr(spec, name) for name in head} == head
    settings = tiny_settings(model="adapter_test_vit", **tokens)
    spec = make_initial_model(settings, ("a", "b")).model.spec
    assert {name: getattr(spec, name) for name in tokens} == tokens


def test_without_imagenet_weights_auto_says_so_and_starts_from_chance(
    tiny_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from mixtconv.models import published_weights as weights

    def offline(*args, **kwargs):
        raise OSError("no network in tests")

    monkeypatch.setattr(weights.huggingface_hub, "get_session", offline)
    monkeypatch.setattr(
        weights.huggingface_hub, "try_to_load_from_cache", lambda *args, **kwargs: None
    )
    initial = make_initial_model(tiny_settings(weights="auto"), ("a", "b"))
    assert initial.weights == "random"
    assert "cannot fetch the ImageNet weights of test_resnet" in caplog.text
    assert "--weights FILE" in caplog.text
    with pytest.raises(ValueError, match="cannot fetch the ImageNet weights of test_resnet"):
        make_initial_model(tiny_settings(weights="imagenet"), ("a", "b"))


def test_a_network_without_published_weights_trains_from_nothing(
    tiny_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    model = "mstnet_small_resnet10"
    initial = make_initial_model(tiny_settings(model=model, weights="auto"), ("a", "b"))
    assert initial.weights == "random"
    assert "training from nothing: there are no ImageNet weights" in caplog.text
    assert all(record.levelname != "WARNING" for record in caplog.records)
    with pytest.raises(ValueError, match="there are no ImageNet weights of small_resnet10"):
        make_initial_model(tiny_settings(model=model, weights="imagenet"), ("a", "b"))
