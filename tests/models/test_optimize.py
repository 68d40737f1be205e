"""A recognizer optimised for inference says what the recognizer says."""

import copy
import logging
import pickle
from collections.abc import Callable, Iterator
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from torch import Tensor, nn

from mixtconv.models import create_model, insert_temporal, optimize_for_inference, save_model
from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.folded_filter import FoldedTemporalFilter
from mixtconv.models.fused_conv import FusedConv2d, fusion_fault, fusion_in_use

NAMES = [
    "mstnet_resnet18",
    "mstnet_resnet50",
    "tsn_resnet50",
    "tsm_resnet18",
    "ks357dilated_resnet18",
    "conv1d_resnet18",
    "mstnet_mobilenetv2_100",
    "mstnet_mobilenetv3_small_100",
    "mstnet_efficientnet_b0",
    "mstnet_seresnet50",
    "mstnet_res2net50_26w_4s",
    "mstnet_convnext_atto",
    "mstnet_regnetx_002",
    "mstnet_ghostnet_100",
    "mstnet_tf_efficientnet_lite0",
    "mstnet_tf_mixnet_s",
    "mstnet_lcnet_035",
    "mstnet_repvgg_a0",
]


def _trained(name: str, **options: object) -> VideoClassifier:
    """A recognizer whose normalisations and taps have moved from where they start."""
    torch.manual_seed(0)
    model = create_model(name, num_classes=7, num_frames=4, **options).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5)
            nn.init.uniform_(module.weight, 0.8, 1.2)
            nn.init.normal_(module.bias, std=0.1)
        for weight in getattr(module, "weights", []):
            nn.init.normal_(weight, mean=0.3, std=0.5)
    return model


def _difference(one: Tensor, other: Tensor) -> float:
    return ((one - other).abs().max() / other.abs().max()).item()


@pytest.fixture
def video() -> Tensor:
    return torch.randn(2, 4, 3, 64, 64, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NAMES)
def test_logits_are_the_same(name: str, video: Tensor) -> None:
    model = _trained(name)
    fast = optimize_for_inference(model)
    with torch.inference_mode():
        expected = model(video)
        assert _difference(fast(video), expected) < 1e-4
        assert _difference(fast(video), expected) < 1e-4, "the second clip sees the first"
        frames = model.forward_frames(video)
        assert _difference(fast.forward_frames(video), frames) < 1e-4


def test_logits_are_the_same_with_gradients_under_autocast_and_in_double(video: Tensor) -> None:
    model = _trained("mstnet_resnet18")
    fast = optimize_for_inference(model)
    asked = video.clone().requires_grad_()
    fast(asked).sum().backward()
    assert asked.grad is not None and asked.grad.abs().sum() > 0
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        assert _difference(fast(video).float(), model(video).float()) < 0.05
    with torch.no_grad():
        wide = optimize_for_inference(copy.deepcopy(model).double())
        assert _difference(wide(video.double()), model.double()(video.double())) < 1e-6


def test_every_norm_of_a_resnet_is_folded_and_every_sum_fused() -> None:
    fast = optimize_for_inference(_trained("mstnet_resnet50"))
    kinds = [type(module) for module in fast.modules()]
    assert nn.BatchNorm2d not in kinds and nn.ReLU not in [
        type(module) for name, module in fast.named_modules() if not name.endswith("activation")
    ]
    convs = [module for module in fast.modules() if isinstance(module, FusedConv2d)]
    assert len(convs) == 53
    assert sum(conv.overwrites for conv in convs) == 16
    assert kinds.count(FoldedTemporalFilter) == 16


def test_groups_of_one_tap_are_folded_into_the_next_convolution() -> None:
    fast = optimize_for_inference(_trained("mstnet_resnet18"))
    for module in fast.modules():
        if isinstance(module, FoldedTemporalFilter):
            assert (module.weights[: module.groups.channels[0]] == 1).all()
            assert not (module.weights[module.groups.channels[0] :] == 1).all()


def test_the_given_recognizer_is_left_as_it_was(video: Tensor) -> None:
    model = _trained("mstnet_resnet18").train()
    before = copy.deepcopy(model.state_dict())
    optimize_for_inference(model)
    assert model.training and all(parameter.requires_grad for parameter in model.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_the_number_of_frames_can_change(video: Tensor) -> None:
    model = _trained("mstnet_resnet18")
    fast = optimize_for_inference(model)
    longer = torch.cat([video, video.flip(1)], dim=1)
    for recognizer in (model, fast):
        recognizer.set_num_frames(8)
    with torch.inference_mode():
        assert _difference(fast(longer), model(longer)) < 1e-4


def test_a_copy_and_a_pickle_work_as_well(video: Tensor) -> None:
    fast = optimize_for_inference(_trained("mstnet_resnet18"))
    with torch.inference_mode():
        expected = fast(video)
        for twin in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
            assert _difference(twin(video), expected) < 1e-6


def test_two_threads_do_not_write_over_each_other(video: Tensor) -> None:
    fast = optimize_for_inference(_trained("mstnet_resnet18"))
    videos = [video, video.flip(0) * 0.5]
    with torch.inference_mode():
        expected = [fast(clip) for clip in videos]
    results: dict[int, list[Tensor]] = {0: [], 1: []}

    def run(number: int) -> None:
        with torch.inference_mode():
            results[number] = [fast(videos[number]) for _ in range(5)]

    threads = [Thread(target=run, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, logits in results.items():
        assert len(logits) == 5
        assert all(_difference(one, expected[number]) < 1e-6 for one in logits)


def test_an_operation_before_a_module_without_convolutions_keeps_its_logits(video: Tensor) -> None:
    model = _trained("tsn_resnet18")
    insert_temporal(model.backbone, num_frames=4, at=["layer2.0.bn1", "layer4.0"])
    with torch.inference_mode():
        expected = model.eval()(video)
        assert _difference(optimize_for_inference(model)(video), expected) < 1e-4


def test_it_cannot_be_saved_and_the_error_says_what_can(tmp_path) -> None:
    fast = optimize_for_inference(_trained("mstnet_resnet18"))
    with pytest.raises(ValueError, match="save the one that it was made from"):
        save_model(fast, tmp_path / "model.safetensors")


def test_a_network_that_cannot_be_followed_keeps_its_logits(
    video: Tensor, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(self: nn.Module, x: Tensor) -> Tensor:
        if x.mean() > 1e9:  # depends on the values
            return x
        return self.forward_head(self.forward_features(x))

    monkeypatch.setattr(timm.models.resnet.ResNet, "forward", forward)
    model = _trained("mstnet_resnet18")
    fast = optimize_for_inference(model)
    assert "cannot be followed" in caplog.text
    with torch.inference_mode():
        assert _difference(fast(video), model(video)) < 1e-4


CPU = torch.device("cpu")
ONEDNN = torch.ops.mkldnn


def _without(name: str) -> Any:
    """Stands for `torch.ops.mkldnn` of a torch that lacks one of the operators."""
    names = {"_convolution_pointwise", "_convolution_pointwise_"} - {name}
    return SimpleNamespace(**{kept: getattr(ONEDNN, kept) for kept in names})


def test_of_a_transformer_nothing_is_lost_and_nothing_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = create_model("mstvit_test_vit", 5, num_frames=4, image_size=64).eval()
    video = torch.randn(2, 4, 3, 64, 64)
    caplog.clear()  # of what was said of the model
    with torch.inference_mode(), caplog.at_level(logging.INFO):
        fast = optimize_for_inference(model)
        torch.testing.assert_close(fast(video), model(video), rtol=1e-5, atol=1e-5)
    assert not caplog.records
    assert sum(isinstance(module, FoldedTemporalFilter) for module in fast.modules()) == 6


class _Changed:
    """Stands for an operator whose result or arguments another version of torch has changed."""

    def __init__(self, operator: Any, change: Callable[..., Any]) -> None:
        self._operator, self._change = operator, change

    def __call__(self, *args: Any) -> Tensor:
        return self._change(self._operator, *args)

    def binary(self, *args: Any) -> Tensor:
        return self._change(self._operator.binary, *args)


def _with_another(name: str, change: Callable[..., Any]) -> Any:
    operators = _without(name)
    setattr(operators, name, _Changed(getattr(ONEDNN, name), change))
    return operators


def _scaled(operator: Any, *args: Any) -> Tensor:
    return operator(*args) * 1.01


def _geometry_swapped(operator: Any, *args: Any) -> Tensor:
    """Stride before padding, as other convolutions of torch have it."""
    place = next(index for index, value in enumerate(args) if isinstance(value, list))
    return operator(*args[:place], args[place + 1], args[place], *args[place + 2 :])


def _one_more_argument(operator: Any, *args: Any) -> Tensor:
    raise TypeError("missing 1 required positional argument: 'alpha'")


@pytest.fixture
def _probed_anew() -> Iterator[None]:
    fusion_fault.cache_clear()
    yield
    fusion_fault.cache_clear()


@pytest.mark.usefixtures("_probed_anew")
@pytest.mark.parametrize(
    "operators",
    [
        SimpleNamespace(),
        _without("_convolution_pointwise"),
        _without("_convolution_pointwise_"),
        _with_another("_convolution_pointwise", _scaled),
        _with_another("_convolution_pointwise_", _scaled),
        _with_another("_convolution_pointwise", _geometry_swapped),
        _with_another("_convolution_pointwise_", _one_more_argument),
    ],
)
def test_a_torch_with_other_operators_predicts_the_same(
    operators: Any, video: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.ops, "mkldnn", operators)
    model = _trained("mstnet_resnet18")
    fast = optimize_for_inference(model)
    with torch.inference_mode():
        assert _difference(fast(video), model(video)) < 1e-4
    assert fusion_in_use(CPU).startswith("plain torch, which is slower (torch ")
    assert "\n" not in fusion_in_use(CPU)


@pytest.mark.usefixtures("_probed_anew")
def test_a_torch_without_packing_predicts_the_same(
    video: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.ops, "aten", SimpleNamespace())
    assert fusion_in_use(CPU).startswith("plain torch, which is slower")
    monkeypatch.undo()  # the network itself needs others of these; the answer is remembered
    model = _trained("mstnet_resnet18")
    with torch.inference_mode():
        assert _difference(optimize_for_inference(model)(video), model(video)) < 1e-4


@pytest.mark.usefixtures("_probed_anew")
def test_the_operators_of_this_torch_are_used_and_trying_them_draws_no_random_numbers() -> None:
    before = torch.random.get_rng_state()
    assert fusion_in_use(CPU) == "oneDNN, fused"
    assert torch.equal(torch.random.get_rng_state(), before)


class _ResidualBlock(nn.Module):
    def __init__(self, activation: nn.Module) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        return self.activation(self.conv2(x.relu()) + x)


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6, nn.SiLU, nn.Hardswish, nn.GELU])
def test_any_activation_may_follow_a_sum(activation: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model = create_model("tsn_resnet18", num_classes=3, num_frames=4)
    model.backbone = nn.Sequential(
        nn.Conv2d(3, 8, 1), _ResidualBlock(activation()), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    model.head = nn.Linear(8, 3)
    clips = 5 * torch.randn(2, 4, 3, 16, 16)
    with torch.inference_mode():
        fast = optimize_for_inference(model.eval())
        assert any(isinstance(module, FusedConv2d) for module in fast.modules())
        assert _difference(fast(clips), model(clips)) < 1e-4
