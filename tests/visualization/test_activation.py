"""Class activation: against its closed form, and over whole clips."""

import pytest
import torch
from torch.nn import functional as F

from mixtconv import create_model
from mixtconv.visualization.activation import class_activation

T = 4


def _model(name: str, size: int = 64):
    torch.manual_seed(0)
    return create_model(name, num_classes=5, num_frames=T, image_size=size).eval()


def _clip(size: int = 64) -> torch.Tensor:
    return torch.randn(T, 3, size, size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("tsn_resnet18", "layer4"),
        ("mstnet_resnet18", "layer4"),
        ("mstnet_convnext_atto", "norm_pre"),
        ("tsm_efficientnet_b0", "bn2"),
    ],
)
def test_the_last_map_before_pooling_is_found_by_running_the_network(name: str, layer: str):
    found = class_activation(_model(name), _clip())
    assert found.module == layer and found.maps.shape == (T, 2, 2)


@pytest.mark.parametrize("name", ["tsn_resnet18", "mstnet_resnet18"])
def test_behind_average_pooling_it_is_the_weighted_map(name: str):
    model, clip = _model(name), _clip(96)
    maps = []
    model.backbone.layer4.register_forward_hook(lambda _, args, result: maps.append(result))
    with torch.no_grad():
        logits = model(clip[None])[0]
    expected = torch.zeros(T, 3, 3)
    for t in range(T):
        for c in range(512):
            expected[t] += model.head.weight[3, c].detach() * maps[0][t, c] / (T * 9)
    found = class_activation(model, clip, label=3)
    assert torch.allclose(found.maps, expected.relu(), atol=1e-6)
    assert torch.allclose(expected.sum(), logits[3] - model.head.bias[3].detach(), atol=1e-4)
    assert torch.allclose(found.logits, logits, atol=1e-5)


def test_networks_that_mix_time_are_seen_over_the_whole_clip():
    clip = _clip()
    changed = clip.clone()
    changed[-1] = 0
    for name, mixes in (("mstnet_resnet18", True), ("tsn_resnet18", False)):
        model = _model(name)
        first = class_activation(model, clip)
        after = class_activation(model, changed, label=first.label)
        assert first.maps[:-1].any()
        assert torch.allclose(first.maps[:-1], after.maps[:-1]) != mixes


def test_channels_may_come_last():
    model = create_model("tsn_swin_tiny_patch4_window7_224", num_classes=3, num_frames=2).eval()
    found = class_activation(model, torch.randn(2, 3, 224, 224))
    assert found.maps.shape == (2, 7, 7)
    logits = F.relu(found.logits - model.head.bias.detach())
    assert 0 < float(found.maps.sum()) >= float(logits[found.label]) - 1e-3


def test_the_model_is_left_as_it_was():
    model = _model("mstnet_resnet18")
    class_activation(model, _clip())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_of_a_transformer_it_is_on_the_patches_that_the_last_attention_takes():
    """The class token alone is read at the end, so later tokens of patches have no gradient."""
    model, clip = _model("mstvit_test_vit"), _clip()
    found = class_activation(model, clip, label=2)
    assert found.module == "blocks.5.norm1" and found.maps.shape == (T, 4, 4)
    kept = []
    model.backbone.blocks[5].norm1.register_forward_hook(lambda _, args, out: kept.append(out))
    logit = model(clip[None])[0, 2]
    (slopes,) = torch.autograd.grad(logit, kept[0])
    weights = slopes[:, 1:].mean(dim=(0, 1))  # the first token is that of the class
    for t in range(T):
        for row in range(4):
            for column in range(4):
                token = kept[0][t, 1 + 4 * row + column]
                expected = max(0.0, float(token.detach() @ weights))
                assert float(found.maps[t, row, column]) == pytest.approx(expected, abs=1e-6)
    assert found.maps.any()


@pytest.mark.parametrize("name", ["mstvit_test_vit2", "mstvit_test_vit3"])
def test_of_tokens_that_are_pooled_it_is_on_the_last(name: str):
    found = class_activation(_model(name), _clip())
    assert found.module == "norm" and found.maps.shape == (T, 4, 4) and found.maps.any()


def test_what_has_no_map_is_refused():
    alone = create_model("tsn_test_vit", num_classes=3, num_frames=2, image_size=16).eval()
    with pytest.raises(ValueError, match="no feature map of more than one place"):
        class_activation(alone, torch.randn(2, 3, 16, 16))
    with pytest.raises(ValueError, match="class 5 is not one"):
        class_activation(_model("tsn_resnet18"), _clip(), label=5)
