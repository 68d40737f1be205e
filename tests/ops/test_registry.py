"""Every named operation keeps one contract, whatever its kind."""

import copy

import pytest
import torch

from mixtconv.ops import (
    OPERATIONS,
    TemporalConv,
    TemporalShift,
    create_operation,
    fold_time,
    register_operation,
)

KINDS = ["mixtconv", "ks357dilated", "conv1d", "shift"]
KERNEL_SIZES = {
    "mixtconv": (1, 3, 5, 7),
    "ks3": (3,),
    "ks5": (5,),
    "ks7": (7,),
    "ks13": (1, 3),
    "ks135": (1, 3, 5),
    "ks1357": (1, 3, 5, 7),
    "ks357dilated": (3, 3, 3),
}

every_operation = pytest.mark.parametrize("name", sorted(OPERATIONS))
every_kind = pytest.mark.parametrize("name", KINDS)


@pytest.fixture(autouse=True, scope="module")
def fresh_compiler():
    yield
    torch._dynamo.reset()


def channels_last(x):
    frames = fold_time(x).contiguous(memory_format=torch.channels_last)
    return frames.unflatten(0, x.shape[:2])


@every_operation
@pytest.mark.parametrize("num_frames", [1, 2, 5])
@pytest.mark.parametrize("channels", [13, 16])
def test_the_shape_is_kept(randn, name, num_frames, channels):
    x = randn(2, num_frames, channels, 3, 4)
    y = create_operation(name, channels)(x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)


@pytest.mark.parametrize(("name", "kernel_sizes"), KERNEL_SIZES.items())
def test_a_name_has_the_kernel_sizes_of_its_row_in_the_ablation(name, kernel_sizes):
    layer = create_operation(name, 24)
    assert layer.kernel_sizes == kernel_sizes
    assert [weight.shape[1] for weight in layer.weights] == list(kernel_sizes)


def test_the_other_names():
    assert isinstance(create_operation("shift", 16), TemporalShift)
    assert isinstance(create_operation("conv1d", 16), TemporalConv)
    assert create_operation("ks357dilated", 16).dilations == (1, 2, 3)  # reaches of k = 3, 5, 7
    assert set(OPERATIONS) >= {*KERNEL_SIZES, "shift", "conv1d"}


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_channels_last_is_kept(randn, randomise, name):
    x = channels_last(randn(2, 5, 16, 3, 4)).requires_grad_()
    y = randomise(create_operation(name, 16))(x)
    assert fold_time(y).is_contiguous(memory_format=torch.channels_last)
    (grad,) = torch.autograd.grad(y.square().sum(), x)
    assert fold_time(grad).is_contiguous(memory_format=torch.channels_last)


@every_operation
def test_memory_layout_does_not_change_the_numbers(randn, randomise, name):
    layer = randomise(create_operation(name, 16))
    whole = randn(2, 5, 16, 6, 4)
    x = whole[:, :, :, ::2].contiguous()
    results = []
    for same in (
        x,
        channels_last(x),
        whole[:, :, :, ::2],
        x.transpose(0, 1).clone().transpose(0, 1),
    ):
        same.requires_grad_()
        layer.zero_grad()
        y = layer(same)
        grads = torch.autograd.grad(y.square().sum(), [same, *layer.parameters()])
        results.append([y.detach(), *grads])
    assert fold_time(results[0][0]).is_contiguous()
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-5, atol=1e-4)


@every_operation
@pytest.mark.parametrize("causal", [False, True])
def test_started_as_identity_it_is_the_identity(randn, name, causal):
    off = {"shift_fraction": 0.0} if name == "shift" else {"init": "identity"}
    x = randn(2, 5, 16, 3, 4)
    assert torch.equal(create_operation(name, 16, causal=causal, **off)(x), x)


@every_operation
@pytest.mark.parametrize("causal", [False, True])
def test_which_frames_see_a_frame(randn, randomise, name, causal):
    layer = randomise(create_operation(name, 16, causal=causal))
    x = randn(2, 9, 16, 2, 2)
    other = x.clone()
    other[1, 4] += 1.0
    changed = (layer(x) != layer(other)).flatten(2).any(2)  # (B, T)
    assert not changed[0].any()  # the other clip
    assert changed[1, 5]
    assert changed[1, 3] == (not causal)
    assert changed[1, :4].any() == (not causal)


@every_operation
def test_state_dict_round_trip(randn, randomise, name):
    layer, fresh = randomise(create_operation(name, 16)), create_operation(name, 16)
    fresh.load_state_dict(layer.state_dict())
    x = randn(1, 5, 16, 2, 2)
    assert torch.equal(fresh(x), layer(x))


@every_operation
def test_a_deep_copy_is_equal_and_apart(randn, randomise, name):
    layer = randomise(create_operation(name, 16))
    x = randn(1, 5, 16, 2, 2)
    twin, before = copy.deepcopy(layer), layer(x)
    assert torch.equal(twin(x), before)
    randomise(twin)
    assert torch.equal(layer(x), before)


@every_operation
def test_gradients_only_where_asked_for(randn, randomise, name):
    layer = randomise(create_operation(name, 16))
    x = randn(1, 5, 16, 2, 2)
    layer.requires_grad_(False)
    alone = x.clone().requires_grad_()
    layer(alone).square().sum().backward()
    assert alone.grad.abs().max() > 0
    assert all(parameter.grad is None for parameter in layer.parameters())

    layer.requires_grad_(True)
    if list(layer.parameters()):
        layer(x).square().sum().backward()
        for parameter in layer.parameters():
            assert (parameter.grad != 0).all()


@every_kind
def test_compiled_whole_it_gives_the_same_numbers(randn, randomise, name):
    layer = randomise(create_operation(name, 12))
    x = randn(1, 4, 12, 2, 2)
    results = []
    for call in (layer, torch.compile(layer, fullgraph=True, backend="aot_eager")):
        same = x.clone().requires_grad_()
        y = call(same)
        results.append([y, *torch.autograd.grad(y.square().sum(), [same, *layer.parameters()])])
    torch.testing.assert_close(results[1], results[0])


@every_kind
def test_exported_it_gives_the_same_numbers(randn, randomise, name):
    layer = randomise(create_operation(name, 12)).eval()
    program = torch.export.export(layer, (randn(1, 4, 12, 2, 2),))
    x = randn(1, 4, 12, 2, 2)
    torch.testing.assert_close(program.module()(x), layer(x))


def test_an_unknown_name_names_the_near_ones():
    with pytest.raises(ValueError, match=r"unknown operation 'mixconv'.*'mixtconv'"):
        create_operation("mixconv", 16)
    with pytest.raises(ValueError, match=r"unknown operation 'zzz'; known are .*mixtconv.*shift"):
        create_operation("zzz", 16)


def test_a_name_is_registered_once():
    with pytest.raises(ValueError, match="'shift' exists already"):
        register_operation("shift")(TemporalShift)
