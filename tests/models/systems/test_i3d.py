"""I3D: inflation by a video in which nothing moves, and the recipe's shapes."""

from pathlib import Path

import pytest
import timm
import torch

from mixtconv.models import create_model
from mixtconv.models.systems.i3d import I3D, NON_LOCAL_AFTER, inflate
from mixtconv.models.wrappers.non_local import NonLocalBlock


def _flat() -> torch.nn.Module:
    """The 2D ResNet-50, with a last stage that keeps its resolution, as that of I3D."""
    torch.manual_seed(0)
    network = timm.create_model("resnet50", num_classes=0, zero_init_last=False).eval()
    network.layer4[0].conv2.stride = network.layer4[0].downsample[0].stride = (1, 1)
    return network


def test_where_nothing_moves_it_gives_what_the_2d_network_gives() -> None:
    """Zeros stand for what lies outside of the clip, so its two ends differ and its middle not.

    They reach 2 frames from the first layer and 3 from the first stage, which are 3 after the
    pooling, and 2, 3 and 1 more from the other stages: 9 at either end of 20.
    """
    flat, network = _flat(), I3D().eval()
    missing = network.load_state_dict(inflate(flat.state_dict(), network), strict=False)
    assert missing.missing_keys == missing.unexpected_keys == []
    picture = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        expected = flat.forward_features(picture)
        got = network(picture[:, None].expand(-1, 40, -1, -1, -1))
    assert got.shape == (1, 2048, 20, 2, 2)
    scale = expected.abs().max()
    for frame in (9, 10):
        torch.testing.assert_close(got[:, :, frame] / scale, expected / scale, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(got[:, :, 0] / scale, expected / scale, atol=1e-3)


def test_a_file_of_2d_weights_is_inflated(tmp_path: Path) -> None:
    flat = timm.create_model("resnet50")
    torch.save(flat.state_dict(), tmp_path / "flat.pth")
    settings = {"num_frames": 4, "image_size": 32, "pretrained": tmp_path / "flat.pth"}
    state = create_model("i3d_nl_resnet50", 3, **settings).backbone.state_dict()
    first = state["conv1.weight"]
    assert first.shape == (64, 3, 5, 7, 7)
    for tap in range(5):
        torch.testing.assert_close(first[:, :, tap], flat.conv1.weight / 5)
    block = state["layer3.1.conv1.weight"]
    assert block.shape == (256, 1024, 1, 1, 1)
    assert torch.equal(block[:, :, 0], flat.layer3[1].conv1.weight)
    assert torch.equal(state["layer4.2.bn3.running_var"], flat.layer4[2].bn3.running_var)
    flow = create_model("i3d_resnet50", 3, modality="flow", **settings).backbone
    expected = flat.conv1.weight.mean(dim=1)[:, None, None].expand(-1, 10, 5, -1, -1) / 5
    torch.testing.assert_close(flow.conv1.weight, expected)


def test_the_recipe() -> None:
    """As the table of "Videos as Space-Time Region Graphs" has it, of 32 frames of 224 pixels."""
    with torch.device("meta"):
        network = I3D(non_local_after=NON_LOCAL_AFTER)
        assert network(torch.zeros(1, 32, 3, 224, 224)).shape == (1, 2048, 16, 14, 14)
    reach = {
        name: module.kernel_size[0]
        for name, module in network.named_modules()
        if name.endswith("conv1") and "." in name
    }
    kernels = {"layer1": "333", "layer2": "3131", "layer3": "313131", "layer4": "131"}
    for stage, expected in kernels.items():
        assert [reach[f"{stage}.{i}.conv1"] for i in range(len(expected))] == list(
            map(int, expected)
        )
    blocks = [n for n, m in network.named_modules() if isinstance(m, NonLocalBlock)]
    assert [name.removesuffix(".non_local") for name in blocks] == list(NON_LOCAL_AFTER)
    assert {m.pools_first for m in network.modules() if isinstance(m, NonLocalBlock)} == {True}


def test_its_clips_come_with_its_name() -> None:
    with torch.device("meta"):
        spec = create_model("i3d_resnet50", 3).spec
        assert (spec.num_frames, spec.sampling, spec.frame_stride) == (32, "dense", 2)
        other = create_model("i3d_resnet50", 3, num_frames=8, sampling="segment")
        assert (other.spec.num_frames, other.spec.sampling) == (8, "segment")
        other.set_num_frames(6)
        with pytest.raises(ValueError, match=r"num_frames is 7; i3d_resnet50 takes clips of a mul"):
            other.set_num_frames(7)
        with pytest.raises(ValueError, match="no temporal operation that causal=True could mean"):
            create_model("i3d_resnet50", 3, causal=True)
