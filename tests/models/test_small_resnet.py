"""The small network: its size, its stem, and that it is a backbone like timm's."""

import pytest
import timm
import torch

from mixtconv.models import create_model, list_models, load_model, save_model
from mixtconv.models.structure.residual_branches import find_residual_sites

NAME = "small_resnet10"
WIDTHS = (32, 64, 96, 160)


def count_weights(widths: tuple[int, ...]) -> int:
    """Parameters, layer by layer: convolutions without bias, a scale and a shift for each norm."""
    total = 7 * 7 * 3 * widths[0] + 2 * widths[0]
    before = widths[0]
    for width in widths:
        total += 9 * before * width + 9 * width * width + 4 * width
        if before != width:
            total += before * width + 2 * width
        before = width
    return total


def test_it_has_the_stated_layers() -> None:
    network = timm.create_model(NAME, num_classes=0)
    assert sum(each.numel() for each in network.parameters()) == count_weights(WIDTHS) < 1_000_000
    images = torch.zeros(1, 3, 64, 64)
    maps = timm.create_model(NAME, features_only=True)(images)
    stated = [(int(info["num_chs"]), int(info["reduction"])) for info in network.feature_info]
    assert stated == [(map_.shape[1], 64 // map_.shape[2]) for map_ in maps]
    assert [width for width, _ in stated] == [WIDTHS[0], *WIDTHS]
    assert stated[0][1] == 4
    with torch.no_grad():
        assert network(images).shape == (1, WIDTHS[-1])


@pytest.mark.parametrize("family", ["tsn", "tsm", "mstnet", "trn", "tsm_nl"])
def test_every_family_finds_its_branches(family: str, tmp_path) -> None:
    settings = {"num_frames": 4, "image_size": 64}
    model = create_model(f"{family}_{NAME}", 3, **settings).eval()
    assert f"{family}_{NAME}" in list_models("*small_resnet*")
    clip = torch.rand(1, 4, 3, 64, 64)
    logits = model(clip)
    save_model(model, tmp_path / "m.safetensors")
    torch.testing.assert_close(load_model(tmp_path / "m.safetensors")(clip), logits)


def test_there_are_four_branches_and_each_is_learned_at_once() -> None:
    network = timm.create_model(NAME, num_classes=0)
    stages = [site.stage for site in find_residual_sites(network, image_size=64)]
    assert stages == ["layer1", "layer2", "layer3", "layer4"]
    model = create_model("mstnet_small_resnet10", 3, num_frames=4, image_size=64)
    stages = (model.backbone.layer1, model.backbone.layer4)
    assert all(stage[0].bn2.weight.all() for stage in stages)


def test_there_are_no_published_weights() -> None:
    with pytest.raises(ValueError, match="there are no ImageNet weights of small_resnet10"):
        create_model("mstnet_small_resnet10", 3, pretrained=True)
