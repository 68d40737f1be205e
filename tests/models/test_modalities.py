"""Recognizers of differences and of flow: their first layer, and that all else works with it."""

from pathlib import Path

import pytest
import timm
import torch

from mixtconv.evaluation.complexity import complexity
from mixtconv.models import (
    create_model,
    insert_temporal,
    load_model,
    optimize_for_inference,
    save_model,
)
from mixtconv.models.backbone import create_backbone

CHANNELS = {"rgb": (3, 3), "rgbdiff": (18, 15), "motion": (3, 3), "flow": (10, 10)}
BACKBONES = ["test_resnet", "mobilenetv2_035", "test_convnext", "test_efficientnet"]


@pytest.mark.parametrize("modality", ["rgbdiff", "flow"])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_first_layer_is_the_average_of_rgb_repeated(
    modality: str, backbone: str, tmp_path: Path
) -> None:
    rgb = timm.create_model(backbone)
    torch.save(rgb.state_dict(), tmp_path / "rgb.pth")
    channels = CHANNELS[modality][1]
    made = create_model(
        f"tsn_{backbone}", 3, modality=modality, image_size=64, pretrained=tmp_path / "rgb.pth"
    )
    state, own = rgb.state_dict(), made.backbone.state_dict()
    differing = [key for key in own if own[key].shape != state[key].shape]
    assert len(differing) == 1
    (first,) = differing
    assert own[first].shape[1] == channels
    red, green, blue = state[first].unbind(dim=1)
    for channel in range(channels):
        torch.testing.assert_close(own[first][:, channel], (red + green + blue) / 3)
    for key in own:
        assert key == first or torch.equal(own[key], state[key]), key
    # Grey in all channels gives channels / 3 times what grey gives the RGB layer: not timm's way.
    theirs = timm.create_model(backbone, in_chans=channels)
    assert own[first].shape == theirs.state_dict()[first].shape


def test_random_weights_are_made_with_as_many_channels() -> None:
    torch.manual_seed(0)
    model = create_model("mstnet_test_resnet", 3, modality="flow", image_size=32)
    first = next(m for m in model.modules() if isinstance(m, torch.nn.Conv2d))
    assert first.in_channels == 10
    assert not torch.equal(first.weight[:, 0], first.weight[:, 1])


@pytest.mark.parametrize("modality", CHANNELS)
@pytest.mark.parametrize(
    "name", ["tsn_test_resnet", "mstnet_test_resnet", "tsm_mobilenetv2_035", "conv1d_test_convnext"]
)
def test_all_that_a_recognizer_does_works_with_its_channels(
    name: str, modality: str, tmp_path: Path
) -> None:
    model = create_model(name, 3, num_frames=4, image_size=64, modality=modality).eval()
    read, taken = CHANNELS[modality]
    generator = torch.Generator().manual_seed(0)
    clips = torch.randint(0, 256, (2, 4, read, 64, 64), generator=generator, dtype=torch.uint8)
    video = model.normalize(clips)
    assert video.shape == (2, 4, taken, 64, 64)
    with torch.no_grad():
        logits = model(video)
        assert logits.shape == (2, 3)
        fast = optimize_for_inference(model)
        torch.testing.assert_close(fast(fast.normalize(clips)), logits, atol=1e-4, rtol=1e-3)
        save_model(model, tmp_path / "model.safetensors")
        loaded = load_model(tmp_path / "model.safetensors")
        assert loaded.spec == model.spec
        assert torch.equal(loaded(loaded.normalize(clips)), logits)
        loaded.set_num_frames(2)
        assert loaded(video[:, :2]).shape == (2, 3)


def test_the_cost_is_that_of_rgb_and_the_wider_first_layer() -> None:
    costs = {
        modality: complexity(create_model("mstnet_resnet18", 5, modality=modality))
        for modality in CHANNELS
    }
    for modality, (_, channels) in CHANNELS.items():
        weights = 64 * 7 * 7 * (channels - 3)  # 64 filters of 7 x 7, at every second place
        assert costs[modality].params - costs["rgb"].params == weights
        assert costs[modality].macs - costs["rgb"].macs == 8 * 112 * 112 * weights


def test_flow_is_normalised_about_no_motion() -> None:
    """As TSN does for ResNet: less 0.5, over the mean of the deviations of R, G and B."""
    model = create_model("tsn_test_resnet", 2, modality="flow", std=(0.1, 0.2, 0.6))
    values = torch.tensor([0, 127, 255], dtype=torch.uint8).view(1, 1, 1, 1, 3)
    got = model.normalize(values.expand(1, 1, 10, 1, 3))[0, 0, 4, 0]
    torch.testing.assert_close(got, torch.tensor([-0.5, 127 / 255 - 0.5, 0.5]) / 0.3)
    turned = model.normalize((255 - values).expand(1, 1, 10, 1, 3))[0, 0, 4, 0]
    torch.testing.assert_close(turned, -got)


def test_equal_pictures_have_no_difference() -> None:
    model = create_model("tsn_test_resnet", 2, modality="rgbdiff")
    picture = torch.randint(0, 256, (1, 1, 3, 8, 8), dtype=torch.uint8)
    assert not model.normalize(picture.repeat(1, 1, 6, 1, 1)).any()


@pytest.mark.parametrize("modality", CHANNELS)
def test_clips_of_another_modality_are_refused(modality: str) -> None:
    model = create_model("tsn_test_resnet", 2, modality=modality)
    with pytest.raises(ValueError, match=f"got clips of 7 channels, of modality {modality} they"):
        model.normalize(torch.zeros(1, 8, 7, 32, 32))


def test_operations_go_into_a_network_of_other_channels() -> None:
    network = timm.create_model("test_resnet", num_classes=0, in_chans=10)
    with pytest.raises(ValueError, match=r"does not run on an image of shape \(1, 3,"):
        insert_temporal(network, num_frames=4, image_size=32)
    insert_temporal(network, num_frames=4, image_size=32, in_channels=10)
    assert network(torch.zeros(4, 10, 32, 32)).ndim == 2


def test_an_unfit_backbone_or_modality_is_refused() -> None:
    with pytest.raises(ValueError, match="modality is 'depth'; allowed are 'rgb', "):
        create_model("tsn_test_resnet", 2, modality="depth")
    assert create_backbone("test_resnet", in_channels=10) is not None
