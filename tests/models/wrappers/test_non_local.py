"""Non-local blocks against plain loops, and their way into 2D networks."""

import numpy as np
import pytest
import timm
import torch
import torchvision
from torch import nn

from mixtconv.models import create_model, insert_non_local, insert_temporal, set_num_frames
from mixtconv.models.wrappers.non_local import NonLocalBlock, NonLocalFrames


def _random(block: nn.Module) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    for parameter in block.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator)
    return block.eval()


def _pooled(x: np.ndarray) -> np.ndarray:
    """The largest of each 2x2 in space: (C, T, H, W) -> (C, T, H / 2, W / 2)."""
    C, T, H, W = x.shape
    return x.reshape(C, T, H // 2, 2, W // 2, 2).max(axis=(3, 5))


def _by_loops(block: NonLocalBlock, x: np.ndarray, form: str) -> np.ndarray:
    state = {key: value.numpy() for key, value in block.state_dict().items()}

    def conv(name: str, x: np.ndarray) -> np.ndarray:
        weight, bias = state[f"{name}.weight"][:, :, 0, 0, 0], state[f"{name}.bias"]
        return np.einsum("oc,cthw->othw", weight, x) + bias[:, None, None, None]

    theta = conv("theta", x)
    if form == "original":
        phi, g = conv("phi", _pooled(x)), conv("g", _pooled(x))
    else:
        phi, g = _pooled(conv("phi", x)), _pooled(conv("g", x))
    phi, g = (y.reshape(len(y), -1) for y in (phi, g))
    gathered = np.zeros_like(theta)
    for place in np.ndindex(*theta.shape[1:]):
        products = np.array([theta[(slice(None), *place)] @ phi[:, j] for j in range(phi.shape[1])])
        if form == "original":
            products = products / np.sqrt(len(phi))
        weights = np.exp(products - products.max())
        weights /= weights.sum()
        for j, weight in enumerate(weights):
            gathered[(slice(None), *place)] += weight * g[:, j]
    y = conv("out", gathered)
    scale = state["norm.weight"] / np.sqrt(state["norm.running_var"] + 1e-5)
    offset = state["norm.bias"] - scale * state["norm.running_mean"]
    return x + scale[:, None, None, None] * y + offset[:, None, None, None]


@pytest.mark.parametrize("form", ["original", "tsm"])
def test_a_block_is_what_loops_over_all_pairs_say(form) -> None:
    block = _random(NonLocalBlock(6, form=form))
    x = torch.randn(2, 6, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        got = block(x).numpy()
    for clip in range(2):
        np.testing.assert_allclose(
            got[clip], _by_loops(block, x[clip].numpy(), form), rtol=1e-3, atol=1e-3
        )


def test_it_begins_as_if_it_were_not_there() -> None:
    x = torch.randn(1, 6, 2, 5, 3)
    assert torch.equal(NonLocalBlock(6)(x), x)
    network = timm.create_model("test_resnet", num_classes=0).eval()
    frames = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        before = network(frames)
        insert_non_local(network, num_frames=2, image_size=32)
        torch.testing.assert_close(network(frames), before)


def test_it_goes_where_tsm_puts_it_and_names_stay() -> None:
    with torch.device("meta"):
        network = torchvision.models.resnet50()
        names = set(network.state_dict())
        insert_non_local(network, num_frames=2, image_size=64)
        insert_temporal(network, "ks3", num_frames=2, image_size=64)
    wrapped = [n for n, m in network.named_modules() if isinstance(m, NonLocalFrames)]
    assert [name.removesuffix(".non_local") for name in wrapped] == [
        "layer2.0",
        "layer2.2",
        "layer3.0",
        "layer3.2",
        "layer3.4",
    ]
    assert names <= set(network.state_dict())
    assert "layer2.0.non_local.block.theta.weight" in network.state_dict()
    assert "layer2.0.conv1.temporal.weights.0" in network.state_dict()
    fresh = torchvision.models.resnet50()
    insert_non_local(fresh, num_frames=2, image_size=64)
    fresh.load_state_dict(fresh.state_dict())


def test_frames_come_back_in_their_order() -> None:
    block = _random(NonLocalBlock(4))
    frames = torch.randn(6, 4, 3, 3)  # two clips of three frames
    with torch.no_grad():
        got = NonLocalFrames(block, num_frames=3)(frames)
        for clip in range(2):
            own = [frames[3 * clip + t] for t in range(3)]
            expected = block(torch.stack(own, dim=1)[None])[0]  # (C, T, H, W)
            for t in range(3):
                torch.testing.assert_close(got[3 * clip + t], expected[:, t])


def test_frames_of_a_clip_see_each_other_and_no_other_clip() -> None:
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=0).eval()
    insert_non_local(network, num_frames=2, after=["layer3"], image_size=32)
    _random(next(m for m in network.modules() if isinstance(m, NonLocalBlock)))
    network.double()  # what one frame adds to another may be small
    frames = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    changed = frames.clone()
    changed[1] += 1
    with torch.no_grad():
        differs = (network(frames) - network(changed)).abs().amax(dim=1) > 1e-12
    assert differs.tolist() == [True, True, False, False]
    set_num_frames(network, 4)
    with torch.no_grad():
        differs = (network(frames) - network(changed)).abs().amax(dim=1) > 1e-12
    assert differs.all()


def test_what_cannot_be_done_is_refused() -> None:
    network = timm.create_model("test_resnet", num_classes=0)
    with pytest.raises(ValueError, match="unknown module of the network 'layer9'; did you mean"):
        insert_non_local(network, num_frames=2, after=["layer9"], image_size=32)
    with pytest.raises(ValueError, match="gives no feature map"):
        insert_non_local(network, num_frames=2, after=["global_pool"], image_size=32)
    with pytest.raises(ValueError, match="num_frames is 0"):
        insert_non_local(network, num_frames=0)
    with pytest.raises(ValueError, match="form is 'mine'; allowed are 'original' and 'tsm'"):
        NonLocalBlock(4, form="mine")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="0 stages of residual blocks"):
        insert_non_local(nn.Conv2d(3, 4, 3), num_frames=2, image_size=32)
    insert_non_local(network, num_frames=2, image_size=32)
    with pytest.raises(ValueError, match="has non-local blocks already"):
        insert_non_local(network, num_frames=2, image_size=32)


def test_tsm_with_non_local_blocks_takes_another_length() -> None:
    model = create_model("tsm_nl_test_resnet", 3, num_frames=2, image_size=32).eval()
    model.set_num_frames(3)
    assert model(torch.zeros(1, 3, 3, 32, 32)).shape == (1, 3)
