"""A network with temporal operations as a module: copies, files, names, precision, clip length."""

import copy
import io

import pytest
import timm
import torch
from torch import nn

from mixtconv.models.insertion import insert_temporal, set_num_frames
from mixtconv.models.wrappers.temporal_wrapper import temporal_wrappers


def build(architecture):
    torch.manual_seed(0)
    network = timm.create_model(architecture, num_classes=0)
    for module in network.modules():  # no branch begins at zero, which would hide the operation
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
    return network.eval()


@pytest.fixture(scope="module")
def resnet():
    return build("test_resnet")


def temporal(plain, num_frames=4, **options):
    return insert_temporal(copy.deepcopy(plain), num_frames=num_frames, image_size=32, **options)


def randomised(network):
    generator = torch.Generator().manual_seed(1)
    for site in temporal_wrappers(network):
        for parameter in site.temporal.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator)
    return network


def images(count):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def test_a_deep_copy_is_equal_and_apart(resnet):
    network = randomised(temporal(resnet))
    frames = images(4)
    expected = network(frames)
    twin = copy.deepcopy(network)
    assert torch.equal(twin(frames), expected)
    for tensor in twin.state_dict().values():
        tensor.zero_()
    assert torch.equal(network(frames), expected)
    twin.load_state_dict(network.state_dict())
    assert torch.equal(twin(frames), expected)


@torch.no_grad()
def test_state_dict_goes_through_a_file(resnet):
    network, fresh = randomised(temporal(resnet)), temporal(build("test_resnet"))
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    fresh.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(fresh(images(4)), network(images(4)))


@torch.no_grad()
def test_the_whole_network_can_be_pickled(resnet):
    network = randomised(temporal(resnet))
    file = io.BytesIO()
    torch.save(network, file)
    file.seek(0)
    again = torch.load(file, weights_only=False)
    assert torch.equal(again(images(4)), network(images(4)))
    assert list(again.state_dict()) == list(network.state_dict())


def test_names_hold_inside_a_larger_module(resnet):
    model = nn.ModuleDict({"backbone": temporal(resnet)})
    state = model.state_dict()
    assert {key.removeprefix("backbone.") for key in state} >= set(resnet.state_dict())
    model.load_state_dict(state)


def test_the_wrapped_modules_attributes_are_reached_through_the_wrapper(resnet):
    network = temporal(resnet)
    wrapped, conv = network.layer1[0].conv1, resnet.layer1[0].conv1
    assert torch.equal(wrapped.weight, conv.weight)
    assert wrapped.weight is wrapped.module.weight
    assert (wrapped.kernel_size, wrapped.stride) == (conv.kernel_size, conv.stride)
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = wrapped.nothing_like_it


@torch.no_grad()
def test_set_num_frames(resnet):
    network = randomised(temporal(resnet, num_frames=4))
    frames = images(12)
    with pytest.raises(ValueError, match="6 frames is not a whole number of clips of 4"):
        network(frames[:6])
    set_num_frames(network, 6)
    assert {site.num_frames for site in temporal_wrappers(network)} == {6}
    torch.testing.assert_close(network(frames)[:6], network(frames[:6]))
    expected = randomised(temporal(resnet, num_frames=6))(frames)
    assert torch.equal(network(frames), expected)


def test_set_num_frames_refuses_what_insertion_refuses(resnet):
    with pytest.raises(ValueError, match="num_frames is 0"):
        set_num_frames(temporal(resnet), 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@torch.no_grad()
def test_a_network_in_another_precision_stays_in_it(resnet, dtype):
    network = temporal(copy.deepcopy(resnet).to(dtype))
    assert network(images(4).to(dtype)).dtype == dtype


@pytest.mark.parametrize("architecture", ["test_resnet", "convnext_atto"])
@torch.no_grad()
def test_compiled_it_gives_the_same(architecture):
    network = randomised(temporal(build(architecture), stages=[0]))
    frames = images(4)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    expected = network(frames)
    atol = 1e-3 * float(expected.abs().max())
    torch.testing.assert_close(compiled(frames), expected, rtol=0, atol=atol)
    torch._dynamo.reset()


def test_a_second_insertion_is_refused(resnet):
    network = temporal(resnet, stages=[0])
    before = list(network.state_dict())
    with pytest.raises(ValueError, match="has temporal operations already"):
        insert_temporal(network, num_frames=4, stages=[1], image_size=32)
    assert list(network.state_dict()) == before
