"""Layers of timm's networks in training: rates by depth, activations computed again, drop path."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from timm.layers import DropPath
from timm.optim import param_groups_layer_decay
from torch import Tensor, nn

from mixtconv.models import VideoClassifier, create_model, load_model
from mixtconv.models.insertion import insert_temporal
from mixtconv.training.backbone_layers import (
    layer_lr_factors,
    norm_statistics,
)
from mixtconv.training.fit import train
from mixtconv.training.initial_weights import make_initial_model
from mixtconv.training.optimizer import make_optimizer
from mixtconv.training.settings import TrainingSettings

MakeSettings = Callable[..., TrainingSettings]


def _model(name: str, **settings: object) -> VideoClassifier:
    return create_model(name, 3, num_frames=4, image_size=32, **settings)


def _rates(model: nn.Module, **settings: object) -> dict[str, float]:
    """Learning rate of every parameter, by its name in the 2D network."""
    optimizer = make_optimizer(model, TrainingSettings("x", batch_size=64, **settings))
    rates = {
        parameter: group["lr"] for group in optimizer.param_groups for parameter in group["params"]
    }
    tensors = model.state_dict(keep_vars=True).items()
    return {name: rates[each] for name, each in tensors if isinstance(each, nn.Parameter)}


# layer decay


def test_each_layer_of_a_transformer_learns_more_slowly_than_the_one_above_it() -> None:
    """Six blocks: the head has no layer above it, block 5 has one, the patches have seven."""
    rates = _rates(create_model("tsn_test_vit", 3, image_size=160), lr=1.0, layer_decay=0.5)
    assert rates["head.weight"] == rates["head.bias"] == 1.0
    assert rates["backbone.norm.weight"] == 0.5
    for block in range(6):
        own = {rate for name, rate in rates.items() if name.startswith(f"backbone.blocks.{block}.")}
        assert own == {0.5 ** (6 - block)}
    for name in ("cls_token", "pos_embed", "patch_embed.proj.weight"):
        assert rates[f"backbone.{name}"] == 0.5**7


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "mobilenetv2_050"])
def test_the_layers_are_those_of_timm_and_temporal_parts_are_in_theirs(name: str) -> None:
    rates = _rates(_model(f"mstnet_{name}"), lr=1.0, layer_decay=0.8)
    whole = timm.create_model(name, num_classes=3)
    scales = {
        parameter: group["lr_scale"]
        for group in param_groups_layer_decay(whole, layer_decay=0.8)
        for parameter in group["params"]
    }
    last = whole.pretrained_cfg["classifier"]
    expected = {
        parameter_name: scales[parameter] for parameter_name, parameter in whole.named_parameters()
    }
    temporal = 0
    for own, rate in rates.items():
        plain = own.removeprefix("backbone.")
        if ".temporal." in plain:
            temporal += 1
            plain = plain[: plain.index(".temporal.")] + ".weight"
        elif own.startswith("head."):
            plain = plain.replace("head", last)
        assert rate == pytest.approx(expected[plain]), own
    assert temporal > 4 and len({round(rate, 6) for rate in rates.values()}) > 4


def test_layer_decay_multiplies_the_other_factors_of_a_rate() -> None:
    model = _model("mstnet_test_resnet")
    plain = _rates(model, optimizer="sgd", head_lr_factor=5, first_layer_lr_factor=3)
    factors = _rates(model, optimizer="adamw", lr=1.0, layer_decay=0.7)
    both = _rates(
        model, optimizer="sgd", head_lr_factor=5, first_layer_lr_factor=3, layer_decay=0.7
    )
    assert both == pytest.approx({name: plain[name] * factors[name] for name in plain})
    assert both["head.bias"] == pytest.approx(0.01 * 5 * 2)


def test_groups_have_one_order_that_begins_with_the_last_layer() -> None:
    """Checkpoints hold the state of the optimiser by it."""
    models = [_model("mstnet_test_resnet") for _ in range(2)]
    settings = TrainingSettings("x", batch_size=64, layer_decay=0.7)
    first, again = (make_optimizer(model, settings).param_groups for model in models)
    shapes = [
        [[tuple(each.shape) for each in g["params"]] for g in groups] for groups in (first, again)
    ]
    assert shapes[0] == shapes[1]
    assert first[0]["params"][0] is models[0].head.weight and first[0]["lr"] == 2e-3
    held = [parameter for group in first for parameter in group["params"]]
    assert len(held) == len(set(held)) == len(list(models[0].parameters()))
    decays = {group["weight_decay"] for group in first if group["params"][0].ndim > 1}
    assert decays == {0.05}


def test_both_streams_have_layers_and_so_has_a_stem_with_an_operation() -> None:
    streams = _model("trn_twostream_test_resnet")
    factors = layer_lr_factors(streams, 0.5)
    backbones = [getattr(holder, name) for holder, name in streams.networks()]
    assert len(backbones) == 2
    for backbone in backbones:
        assert {factors[parameter] for parameter in backbone.layer4.parameters()} == {0.5}
    network = timm.create_model("test_vit", num_classes=0)
    insert_temporal(network, "ks3", num_frames=2, at=["patch_embed.proj"], image_size=160)
    own = layer_lr_factors(network, 0.5)
    added = list(network.patch_embed.proj.temporal.parameters())
    assert added and {own[parameter] for parameter in added} == {0.5**7}


class Exact(nn.Module):
    """A network that names its parameters to the last letter when it tells its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(4, 4, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.high(self.low(x)).mean(dim=(2, 3))

    def group_matcher(self, coarse: bool = False) -> dict[str, str]:
        return {"stem": r"^low\.weight$", "blocks": r"^high\.weight$"}


def test_an_operation_is_in_the_layer_of_the_module_that_it_is_before() -> None:
    network = insert_temporal(Exact(), "ks3", num_frames=2, at=["low", "high"], image_size=8)
    factors = layer_lr_factors(network, 0.5)
    for module, factor in ((network.low, 0.25), (network.high, 0.5)):
        assert [factors[parameter] for parameter in module.parameters()] == [factor, factor]


# gradient checkpointing


def _gradients(model: VideoClassifier, video: Tensor) -> list[Tensor]:
    torch.manual_seed(3)
    loss = model(video).square().sum()
    before = [buffer.clone() for buffer in norm_statistics(model)]
    loss.backward()
    for buffer, value in zip(norm_statistics(model), before, strict=True):
        buffer.copy_(value)
    return [each.grad for each in model.parameters() if each.grad is not None]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("mstnet_test_resnet", {"position": "inner"}),
        ("mstnet_mobilenetv2_050", {"drop_path_rate": 0.5}),
        ("mstnet_test_convnext", {"drop_path_rate": 0.5}),
        ("tsm_nl_test_resnet", {}),
        ("trn_twostream_test_resnet", {}),
    ],
)
def test_gradients_are_the_same_with_checkpoints(name: str, settings: dict) -> None:
    """Bit for bit: what is random in a pass is repeated, temporal operations as well."""
    torch.manual_seed(0)
    model = _model(name, **settings).train()
    video = torch.randn(2, 4, model.spec.snippet.in_channels, 32, 32)
    again = copy.deepcopy(model)
    again.set_grad_checkpointing()
    calls: list[int] = []
    convolutions = [each for each in again.modules() if isinstance(each, nn.Conv2d)]
    for each in convolutions:
        each.register_forward_hook(lambda *args: calls.append(1))
    expected, found = _gradients(model, video), _gradients(again, video)
    assert len(calls) > 1.5 * len(convolutions)  # most of them ran twice
    assert len(expected) == len(found) > 20
    assert all(torch.equal(*pair) for pair in zip(expected, found, strict=True))
    for one, other in zip(model.buffers(), again.buffers(), strict=True):
        assert torch.equal(one, other)


def test_a_run_with_checkpoints_ends_with_the_same_weights_and_may_be_resumed_without(
    tiny_settings: MakeSettings,
) -> None:
    """Also the statistics of batch normalisation, which sees each batch twice."""
    plain = train(tiny_settings("plain", drop_path=0.3)).files.model
    settings = tiny_settings("again", drop_path=0.3, checkpoint_gradients=True)
    one, other = load_file(plain), load_file(train(settings).files.model)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert tiny_settings().changed_from(tiny_settings(checkpoint_gradients=True)) == []


# drop path


@pytest.mark.parametrize(("name", "count"), [("tsn_test_vit", 6), ("mstnet_test_resnet", 4)])
def test_branches_are_left_out_more_often_the_deeper_they_are(name: str, count: int) -> None:
    """Linearly, from never in the first block to the given rate in the last."""
    size = 160 if "vit" in name else 32
    model = create_model(name, 3, num_frames=4, image_size=size, drop_path_rate=0.3)
    found = sorted({each.drop_prob for each in model.modules() if isinstance(each, DropPath)})
    assert found == pytest.approx([0.3 * block / (count - 1) for block in range(1, count)])
    plain = create_model(name, 3, num_frames=4, image_size=size)
    plain.load_state_dict(model.state_dict())
    assert model.spec == plain.spec
    video = torch.randn(1, 4, 3, size, size)
    with torch.no_grad():
        assert torch.equal(model.eval()(video), plain.eval()(video))
        model.train()
        results = []
        for _ in range(2):
            torch.manual_seed(len(results))
            results.append(model(video))
    assert not torch.equal(*results)


def test_a_run_with_drop_path_is_another_and_its_file_says_nothing_of_it(
    tiny_settings: MakeSettings,
) -> None:
    plain = train(tiny_settings("plain", epochs=1)).files.model
    dropped = train(tiny_settings("dropped", epochs=1, drop_path=0.5)).files.model
    assert load_model(dropped).spec == load_model(plain).spec
    one, other = load_file(plain), load_file(dropped)
    assert one.keys() == other.keys()
    assert not all(torch.equal(one[name], other[name]) for name in one)


# what a backbone does not have


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"model": "tsn_dla34", "drop_path": 0.1},
            "dla34 has no drop path in timm: leave drop_path_rate out",
        ),
        ({"model": "i3d_resnet50", "drop_path": 0.1}, "i3d_resnet50 has no drop path"),
        (
            {"model": "tsn_dla34", "checkpoint_gradients": True},
            "tsn_dla34 has no gradient checkpointing",
        ),
        (
            {"model": "i3d_resnet50", "checkpoint_gradients": True},
            "i3d_resnet50 has no gradient checkp",
        ),
        ({"model": "tsn_poolformer_s12", "layer_decay": 0.7}, "poolformer_s12 does not tell its l"),
        (
            {"model": "i3d_resnet50", "layer_decay": 0.7},
            "--layer-decay is 0.7, and the backbone of",
        ),
    ],
)
def test_what_a_backbone_does_not_have_is_refused_in_one_line(
    tiny_settings: MakeSettings, changes: dict, says: str
) -> None:
    settings = tiny_settings(**changes)
    with torch.device("meta"), pytest.raises(ValueError, match=says) as error:
        make_initial_model(settings, ("a", "b"))
    assert "\n" not in str(error.value)
    assert not Path(settings.out).exists()
