"""BN-Inception: its layers by the published table, its published files, its temporal places."""

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from mixtconv.models import create_model, insert_temporal
from mixtconv.models.systems.bn_inception import BLOCKS, BNInception
from mixtconv.models.wrappers.temporal_wrapper import temporal_wrappers

# Block -> channels and side of what it gives, for a picture of 224 pixels.
PUBLISHED = {
    "inception_3a": (256, 28),
    "inception_3b": (320, 28),
    "inception_3c": (576, 14),
    "inception_4a": (576, 14),
    "inception_4b": (576, 14),
    "inception_4c": (608, 14),
    "inception_4d": (608, 14),
    "inception_4e": (1056, 7),
    "inception_5a": (1024, 7),
    "inception_5b": (1024, 7),
}


def test_every_block_gives_the_published_shape() -> None:
    with torch.device("meta"):
        network = BNInception(0)
        x = network.stem(torch.zeros(1, 3, 224, 224))
    assert x.shape == (1, 192, 28, 28)
    for block in BLOCKS:
        x = network.run_block(block, x)
        assert x.shape[1:] == (PUBLISHED[block.name][0], *2 * [PUBLISHED[block.name][1]])


def test_it_has_the_published_parameters() -> None:
    with torch.device("meta"):
        network = timm.create_model("bninception", num_classes=1000)
    assert sum(p.numel() for p in network.parameters()) == 11_295_240
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    biases = [m.bias for m in convolutions if m.bias is not None]
    assert len(biases) == len(convolutions) == 69
    assert sum(bias.numel() for bias in biases) == 10_016
    keys = set(network.state_dict())
    assert {
        "conv1_7x7_s2.weight",
        "conv2_3x3_reduce_bn.running_var",
        "inception_3a_1x1.weight",
        "inception_3c_double_3x3_2_bn.bias",
        "inception_4e_3x3_reduce.bias",
        "inception_5b_pool_proj.weight",
        "fc.weight",
    } <= keys


def test_a_published_file_loads_as_it_is(tmp_path: Path) -> None:
    """Its normalisation may be stored as (1, C), and its last layer be called otherwise."""
    published = BNInception(1000)
    state = {
        key.replace("fc.", "last_linear."): value[None] if "_bn." in key and value.ndim else value
        for key, value in published.state_dict().items()
    }
    torch.save(state, tmp_path / "bn.pth")
    model = create_model("tsn_bninception", 3, pretrained=tmp_path / "bn.pth")
    for key, value in model.backbone.state_dict().items():
        assert torch.equal(value, published.state_dict()[key]), key
    del state["inception_4c_3x3.weight"]
    torch.save(state, tmp_path / "part.pth")
    with pytest.raises(ValueError, match=r"inception_4c_3x3\.weight is missing"):
        create_model("tsn_bninception", 3, pretrained=tmp_path / "part.pth")


@pytest.mark.parametrize("modality", ["rgb", "rgbdiff", "flow", "rgbflow"])
def test_pixels_are_what_the_published_weights_expect(modality: str) -> None:
    """B, G, R of 0 to 255 less 104, 117, 128; flow less 128."""
    name = "trn_twostream_bninception" if modality == "rgbflow" else "tsn_bninception"
    model = create_model(name, 2, modality=modality, image_size=32, num_frames=2)
    read = {"rgb": 3, "rgbdiff": 18, "flow": 10, "rgbflow": 25}[modality]
    generator = torch.Generator().manual_seed(0)
    clip = torch.randint(0, 256, (1, 2, read, 4, 4), generator=generator, dtype=torch.uint8)
    got = model.normalize(clip)
    values = clip.float()
    picture = values[:, :, [2, 1, 0]] - torch.tensor([104.0, 117, 128]).view(3, 1, 1)
    if modality == "rgb":
        expected = picture
    elif modality == "flow":
        expected = values - 128
    elif modality == "rgbflow":
        flow = torch.cat([values[:, :, 5 * i + 3 : 5 * i + 5] for i in range(5)], dim=2)
        expected = torch.cat([picture, flow - 128], dim=2)
    else:
        pictures = [values[:, :, 3 * i : 3 * i + 3].flip(2) for i in range(6)]
        expected = torch.cat([pictures[i + 1] - pictures[i] for i in range(5)], dim=2)
    torch.testing.assert_close(got, expected, atol=1e-3, rtol=0)


def _alive(network: nn.Module, frames: torch.Tensor) -> nn.Module:
    """Let normalisation fit the frames: random layers by themselves fade what they are given."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    network.train()(frames)
    return network.eval()


def _shifted(x: torch.Tensor, num_frames: int) -> torch.Tensor:
    """The shift of one clip, frame by frame: an eighth from the next, an eighth from before."""
    fold = x.shape[1] // 8
    out = x.clone()
    for t in range(num_frames):
        out[t, :fold] = x[t + 1, :fold] if t + 1 < num_frames else 0
        out[t, fold : 2 * fold] = x[t - 1, fold : 2 * fold] if t else 0
    return out


def test_tsm_shifts_before_every_block_but_the_first() -> None:
    torch.manual_seed(0)
    frames = torch.randn(3, 3, 64, 64)
    with torch.no_grad():
        plain = _alive(BNInception(0), frames)
        x = plain.pool1_3x3_s2(plain.run_conv("conv1_7x7_s2", frames))
        x = plain.run_conv("conv2_3x3", plain.run_conv("conv2_3x3_reduce", _shifted(x, 3)))
        x = plain.pool2_3x3_s2(x)
        for block in BLOCKS:
            x = plain.run_block(block, _shifted(x, 3))
        expected = x.mean(dim=(2, 3))
        network = insert_temporal(plain, "shift", num_frames=3, image_size=32)
        torch.testing.assert_close(network(frames), expected)
    assert len(list(temporal_wrappers(network))) == 11


def test_stages_and_positions() -> None:
    def sites(**options: object) -> list[str]:
        network = insert_temporal(BNInception(0), "ks3", num_frames=2, image_size=32, **options)
        return [name for name, m in network.named_modules() if name and hasattr(m, "temporal")]

    assert sites(stages=[3]) == ["inception_5a_input", "inception_5b_input"]
    with pytest.raises(ValueError, match=r"stages are \[4\].*0 \(conv2\).*3 \(inception_5\)"):
        sites(stages=[4])
    with pytest.raises(ValueError, match="position 'inner' needs; use position 'head'"):
        sites(position="inner")


def test_an_image_whose_branches_do_not_meet_is_refused() -> None:
    with pytest.raises(ValueError, match="does not run on images of 112 pixels"):
        create_model("tsn_bninception", 2, image_size=112)
