"""ECO: what its two networks are given and give, by the recipe."""

import pytest
import torch
from torch import nn

from mixtconv.models import create_model
from mixtconv.models.systems.bn_inception import BLOCKS, BNInception
from mixtconv.models.systems.eco import Eco3d, EcoNetwork


def _alive(network: nn.Module, frames: torch.Tensor) -> nn.Module:
    """Let normalisation fit the frames: random layers by themselves fade what they are given."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()(frames)
    return network.eval()


def _trunk(network: BNInception, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The input of block 3c, and what its longest branch gives after the first 3x3."""
    x = network.stem(frames)
    x = network.run_block(BLOCKS[1], network.run_block(BLOCKS[0], x))
    y = x
    for name in ("reduce", "1"):
        conv = network.get_submodule(f"inception_3c_double_3x3_{name}")
        norm = network.get_submodule(f"inception_3c_double_3x3_{name}_bn")
        y = torch.relu(norm(conv(y)))
    return x, y


@pytest.mark.parametrize("lite", [False, True])
def test_it_is_the_two_networks_by_hand(lite: bool) -> None:
    torch.manual_seed(0)
    video = torch.randn(2, 4, 3, 64, 64)
    with torch.no_grad():
        frames_network = _alive(BNInception(0), video.flatten(0, 1))
        pooled = frames_network(video.flatten(0, 1)).view(2, 4, -1).mean(dim=1)
        _, early = _trunk(frames_network, video.flatten(0, 1))
        network = EcoNetwork(frames_network, lite=lite).eval()
        volume = network.volume(early.view(2, 4, 96, 8, 8).transpose(1, 2))
        got = network(video)
    expected = volume if lite else torch.cat([pooled, volume], dim=1)
    torch.testing.assert_close(got, expected)
    assert got.shape == (2, network.num_features)


def test_the_3d_part_normalises_sums_for_convolutions_alone() -> None:
    """The shortcut is the sum as it is; where the stride is 2, a convolution of the normalised."""
    torch.manual_seed(0)
    network = Eco3d().eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.normal_()
            module.weight.data.normal_()
    x = torch.randn(1, 96, 4, 4, 4)

    def active(norm: nn.Module, y: torch.Tensor) -> torch.Tensor:
        return torch.relu(norm(y))

    with torch.no_grad():
        total = network.res3a_2(x)
        normed = active(network.res3a_bn, total)
        for block in (network.res3b, network.res4a, network.res4b, network.res5a, network.res5b):
            inner = block.conv2(active(block.bn1, block.conv1(normed)))
            total = inner + (total if block.down is None else block.down(normed))
            normed = active(block.bn, total)
        assert normed.shape == (1, 512, 1, 1, 1)
        torch.testing.assert_close(network(x), normed.flatten(1))


def test_shapes_and_parameters_of_the_recipe() -> None:
    with torch.device("meta"):
        full, lite = EcoNetwork(BNInception(0)), EcoNetwork(BNInception(0), lite=True)
        early, late = full.frames(torch.zeros(4, 3, 224, 224))
        assert early.shape == (4, 96, 28, 28) and late is not None and late.shape == (4, 1024)
        early, late = lite.frames(torch.zeros(4, 3, 224, 224))
        assert early.shape == (4, 96, 28, 28) and late is None
    count = {name: sum(p.numel() for p in m.parameters()) for name, m in full.named_children()}
    assert count == {"frames": 10_270_240, "volume": 36_616_960 + 128}
    assert sum(p.numel() for p in lite.frames.parameters()) == 681_568


def test_one_length_of_clips_is_taken() -> None:
    with pytest.raises(ValueError, match="num_frames is 16; eco_8 takes clips of 8 frames"):
        create_model("eco_8", 3, num_frames=16)
    with pytest.raises(ValueError, match="num_frames is 8; eco_en_lite_92 takes clips of 92"):
        create_model("eco_en_lite_92", 3, num_frames=8)
    with torch.device("meta"):
        model = create_model("eco_16", 3, image_size=32)
    assert (model.num_frames, model.spec.sampling) == (16, "segment")
    with pytest.raises(ValueError, match="made for clips of 16 frames"):
        model.set_num_frames(8)
