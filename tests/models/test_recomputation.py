"""What is computed again in the backward pass changes memory, and nothing else."""

import copy
import weakref

import pytest
import torch
from torch import nn

from mixtconv.models import create_model, insert_temporal
from mixtconv.models.wrappers import temporal_wrapper as wrapper_module
from mixtconv.models.wrappers.temporal_wrapper import TemporalWrapper, temporal_wrappers
from mixtconv.ops import MixTConv, TemporalShift


@pytest.mark.parametrize("make", [MixTConv, lambda channels: TemporalShift()])
def test_gradients_are_those_of_keeping_everything(make) -> None:
    torch.manual_seed(0)
    site = TemporalWrapper(make(16), nn.Conv2d(16, 8, 3, padding=1), 4, 16)
    results = []
    for keeps in (False, True):
        twin = copy.deepcopy(site)
        if keeps:
            twin.forward = lambda x, twin=twin: twin.module(twin._mix(x))
        x = torch.randn(8, 16, 5, 5, generator=torch.Generator().manual_seed(1)).requires_grad_()
        twin(x.relu()).square().sum().backward()
        results.append([x.grad, *[parameter.grad for parameter in twin.parameters()]])
    for one, other in zip(*results, strict=True):
        assert torch.equal(one, other)


def test_the_result_of_the_operation_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    kept_calls = []
    original = wrapper_module.recompute_in_backward

    def watch(result, compute, source):
        def count():
            kept_calls.append(1)
            return compute()

        return original(result, count, source)

    monkeypatch.setattr(wrapper_module, "recompute_in_backward", watch)
    model = create_model("mstnet_resnet18", num_classes=3, num_frames=2)
    model(torch.randn(1, 2, 3, 32, 32)).sum().backward()
    assert len(kept_calls) == 8, "once a block: its convolution did not keep its input"


def test_second_derivatives_pass_through_what_is_computed_again() -> None:
    torch.manual_seed(0)
    site = TemporalWrapper(MixTConv(4), nn.Conv2d(4, 2, 1), 3, 4).double()
    x = torch.randn(3, 4, 1, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(lambda x: site(x).pow(2), (x,))


def test_writing_over_the_input_is_refused_and_not_wrong() -> None:
    site = TemporalWrapper(TemporalShift(), nn.Conv2d(8, 2, 1), 2, 8)
    x = torch.randn(2, 8, 3, 3) * 1.0
    y = site(x)
    x.add_(1)
    with pytest.raises(RuntimeError, match="written to in place"):
        y.sum().backward()


def test_mixed_precision_trains() -> None:
    network = insert_temporal(create_model("tsn_resnet18", num_classes=3).backbone, num_frames=2)
    with torch.autocast("cpu", torch.bfloat16):
        loss = network(torch.randn(4, 3, 32, 32)).square().mean()
    loss.backward()
    for parameter in network.parameters():
        assert parameter.grad is None or parameter.grad.isfinite().all()


@pytest.mark.parametrize("settings", [{}, {"feature_head": "blocks"}])
def test_checkpointed_blocks_run_again_and_give_the_same_gradients(settings) -> None:
    torch.manual_seed(0)
    model = create_model("mstnet_test_convnext", 3, num_frames=2, image_size=32, **settings)
    clips = torch.randn(2, 2, 3, 32, 32)
    block = next(m for m in model.modules() if type(m).__name__ == "ConvNeXtBlock")
    block.register_forward_pre_hook(lambda *_: runs.append(1))
    gradients = []
    for enable, expected_runs in ((False, 1), (True, 2), (False, 1)):
        runs: list[int] = []
        model.set_grad_checkpointing(enable)
        model.zero_grad()
        model.dropout.eval()
        model(clips).square().sum().backward()
        assert len(runs) == expected_runs
        gradients.append([parameter.grad for parameter in model.parameters()])
    for one, other, third in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)
        assert torch.equal(one, third)


def test_checkpointed_blocks_keep_their_inputs_alone() -> None:
    """Also not what a place of the temporal operation inside a block reads."""
    model = create_model("mstnet_regnetx_002", 3, num_frames=2, image_size=32)
    model.set_grad_checkpointing()
    results = []
    for wrapper in temporal_wrappers(model.backbone):  # of a convolution with its normalisation
        wrapper.conv.register_forward_hook(
            lambda module, args, result: results.append(weakref.ref(result))
        )
    loss = model(torch.randn(1, 2, 3, 32, 32)).sum()
    assert len(results) == 13
    assert not any(result() is not None for result in results)
    loss.backward()


@pytest.mark.parametrize("name", ["i3d_resnet50", "eco_8"])
def test_what_has_no_checkpointing_refuses_it(name: str) -> None:
    with torch.device("meta"):
        model = create_model(name, 2)
    with pytest.raises(ValueError, match=f"{name} has no gradient checkpointing"):
        model.set_grad_checkpointing()
    model.set_grad_checkpointing(False)
