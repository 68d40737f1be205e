"""A network rewritten for an engine gives what it gave, in plain torch."""

import copy

import pytest
import torch
from torch import fx, nn

from mixtconv.exporting.clip_graph import rewrite
from mixtconv.exporting.clip_layout import (
    LAYOUTS,
    FromVolume,
    LayoutName,
    Stack,
    StackedFilter,
    ToVolume,
    VolumeFilter,
)
from mixtconv.exporting.network import clip_network, streaming_network
from mixtconv.exporting.token_filter import TokenFilter
from mixtconv.models import VideoClassifier, create_model

MODELS = [
    ("tsn_test_resnet", {}),
    ("tsm_test_resnet", {}),
    ("mstnet_test_resnet", {}),
    ("mstnet_test_resnet", {"causal": True, "position": "inner"}),
    ("ks357dilated_test_resnet", {}),
    ("conv1d_test_resnet", {}),
    ("mstnet_mobilenetv2_100", {}),
    ("mstnet_test_convnext", {}),
    ("mstnet_resnet50", {"image_size": 48}),  # a stride of 2 on maps of odd height
    ("trn_test_resnet", {}),
    ("tsm_nl_resnet18", {}),
    ("mstvit_test_vit", {}),
    ("mstvit_test_vit", {"causal": True}),
    (
        "mstvit_levit_conv_128s",
        {"image_size": 224},
    ),  # keys and values as feature maps, among convolutions
]


def _model(name: str, **options: object) -> VideoClassifier:
    """With weights that no step leaves as they are."""
    torch.manual_seed(0)
    settings = {"num_frames": 4, "image_size": 64, **options}
    model = create_model(name, 5, **settings).eval()
    for key, parameter in model.named_parameters():
        if parameter.ndim == 1 or "temporal" in key:
            parameter.data += 0.1 * torch.randn_like(parameter)
    return model


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("name", "options"), MODELS)
def test_logits_are_the_same_for_any_batch(name: str, options: dict, layout: LayoutName) -> None:
    model = _model(name, **options)
    network = clip_network(model, layout=layout).network
    for batch in (1, 3):
        video = torch.rand(batch, 4, 3, model.spec.image_size, model.spec.image_size)
        with torch.inference_mode():
            expected = model(video)
            torch.testing.assert_close(network(video), expected, rtol=1e-4, atol=1e-4)


def _changes(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if isinstance(m, Stack | ToVolume)]


def test_in_bottlenecks_a_third_is_moved_of_what_the_temporal_operations_see() -> None:
    model = _model("mstnet_resnet50")
    network = rewrite(model.backbone, "stacked", torch.rand(4, 3, 64, 64))
    moved, filtered = [], []
    for change in _changes(network):
        change.register_forward_pre_hook(lambda _, inputs: moved.append(inputs[0].numel()))
    for module in network.modules():
        if isinstance(module, StackedFilter):
            module.register_forward_pre_hook(lambda _, inputs: filtered.append(inputs[0].numel()))
    network(torch.rand(4, 3, 64, 64))
    assert len(filtered) == 16
    assert sum(moved) < 2 * sum(filtered) / 3  # there and back would be twice what they see


def test_a_network_of_convolutions_is_volumes_from_the_first_to_the_last() -> None:
    model = _model("mstnet_resnet18")
    network = rewrite(model.backbone, "volume", torch.rand(4, 3, 64, 64))
    assert [type(change) for change in _changes(network)] == [ToVolume, FromVolume]
    assert sum(isinstance(m, VolumeFilter) for m in network.modules()) == 8
    assert not any(isinstance(m, nn.Conv2d | nn.BatchNorm2d) for m in network.modules())


class _Untraceable(nn.Module):
    """Control flow that depends on the input, around a network with temporal operations."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x) if x.sum() > -1e9 else x


@pytest.mark.parametrize("layout", LAYOUTS)
def test_of_a_network_that_cannot_be_traced_the_operations_alone_change(
    layout: LayoutName,
) -> None:
    model = _model("mstnet_test_resnet")
    frames = torch.rand(8, 3, 64, 64)
    with torch.inference_mode():
        expected = model.backbone(frames)
        network = rewrite(_Untraceable(model.backbone), layout, frames[:4])
        torch.testing.assert_close(network(frames), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "size", "is_traced", "num_channels"),
    [("mstvit_test_vit", 64, False, 64), ("mstvit_vit_tiny_patch16_224", 32, True, 192)],
)
def test_the_queries_of_an_attention_are_projected_apart_and_not_filtered(
    name: str, size: int, is_traced: bool, num_channels: int
) -> None:
    model = _model(name, image_size=size)
    frames = torch.rand(8, 3, size, size)
    expected = model.backbone(frames)
    num_blocks = len(model.backbone.blocks)
    network = rewrite(model.backbone, "volume", frames[:4])
    assert isinstance(network, fx.GraphModule) == is_traced
    filters = [module for module in network.modules() if isinstance(module, TokenFilter)]
    assert len(filters) == num_blocks
    assert {module.weight.shape for module in filters} == {(2 * num_channels, 1, 7, 1)}
    assert not _changes(network)
    torch.testing.assert_close(network(frames), expected, rtol=1e-4, atol=1e-4)


def test_keys_and_values_of_a_stream_have_one_past_for_each_kernel_size() -> None:
    model = _model("mstvit_vit_tiny_patch16_224", image_size=32, causal=True)
    about = streaming_network(model, layout="ring").description
    blocks, tokens, channels = 12, 1 + 2 * 2, 2 * 192 // 4
    shapes = [(1, depth * tokens, channels) for depth in (2, 4, 6)]
    assert [state.shape for state in about.states or ()] == blocks * shapes


@pytest.mark.parametrize("name", ["mstnet_test_resnet", "mstvit_test_vit", "adapter_test_vit"])
@pytest.mark.parametrize("causal", [False, True])
@torch.no_grad()
def test_edges_of_a_clip_are_rewritten_too(name: str, causal: bool) -> None:
    torch.manual_seed(0)
    settings = {"num_frames": 4, "image_size": 48, "causal": causal, "edges": "replicate"}
    model = create_model(name, num_classes=3, **settings).eval()
    for parameter in model.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    frames = torch.rand(8, 3, 48, 48)
    expected = model.backbone(frames)
    for layout in LAYOUTS:
        network = rewrite(copy.deepcopy(model.backbone), layout, frames[:4])
        assert torch.allclose(network(frames), expected, atol=1e-4, rtol=1e-4), layout


def test_an_exported_stream_begins_with_zeros() -> None:
    settings = {"num_frames": 2, "image_size": 48, "causal": True, "edges": "replicate"}
    model = create_model("mstvit_test_vit", num_classes=3, **settings).eval()
    with pytest.raises(ValueError, match=r"edges 'replicate': export clips, or .* --edges zeros"):
        streaming_network(model)
