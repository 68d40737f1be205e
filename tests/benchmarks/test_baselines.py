"""The baselines compute what the operations compute, so that only their speed differs."""

from functools import partial

import pytest
import torch
from torch import nn

from mixtconv.benchmarks.baselines import Conv1dMixTConv, CopyingShift, PublishedMixTConv
from mixtconv.benchmarks.model import RECOGNIZERS
from mixtconv.benchmarks.settings import Workload
from mixtconv.ops import MixTConv, TemporalShift, fold_time, unfold_time

FORMS = {
    "published": PublishedMixTConv,
    "without copies": partial(PublishedMixTConv, copies=False),
    "Conv1d": Conv1dMixTConv,
}


def _randomised(layer: MixTConv, baseline: nn.Module) -> None:
    """Give both the same weights, none of them zero or one."""
    generator = torch.Generator().manual_seed(0)
    pairs = zip(layer.parameters(), baseline.parameters(), strict=True)
    for own, other in pairs:
        with torch.no_grad():
            own.normal_(generator=generator)
            other.copy_(own.reshape(other.shape))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize(("num_frames", "channels"), [(8, 16), (2, 16), (5, 10)])
def test_a_formulation_has_the_results_and_gradients_of_the_operation(
    form, channels_last, num_frames, channels
):
    layer, baseline = MixTConv(channels), FORMS[form](channels)
    _randomised(layer, baseline)
    x = torch.randn(2, num_frames, channels, 4, 6)
    if channels_last:
        frames = fold_time(x).contiguous(memory_format=torch.channels_last)
        x = unfold_time(frames, num_frames)
    x.requires_grad_()
    y, y_baseline = layer(x), baseline(x)
    torch.testing.assert_close(y_baseline, y)
    seed = torch.randn_like(y)
    ours = torch.autograd.grad(y, (x, *layer.parameters()), seed)
    theirs = torch.autograd.grad(y_baseline, (x, *baseline.parameters()), seed)
    for own, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(other.reshape(own.shape), own, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
def test_a_formulation_starts_where_the_operation_starts(form):
    layer, baseline = MixTConv(32), FORMS[form](32)
    x = torch.randn(1, 8, 32, 2, 2)
    torch.testing.assert_close(baseline(x), layer(x))


@pytest.mark.parametrize("num_frames", [1, 2, 8])
def test_the_copying_shift_is_the_shift(num_frames):
    x = torch.randn(2, num_frames, 17, 3, 2)
    torch.testing.assert_close(CopyingShift()(x), TemporalShift()(x), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("baseline", "family"), [("MSTNet as published", "MSTNet"), ("TSM zero-filled", "TSM")]
)
def test_a_network_of_baselines_gives_the_logits_of_the_recognizer(baseline, family):
    workload = Workload(backbone="test_resnet", num_frames=3, image_size=32)
    logits = {}
    for name in (baseline, family, "TSN"):
        torch.manual_seed(0)
        model = RECOGNIZERS[name](workload).eval()
        clips = torch.randn(1, 3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
        with torch.no_grad():
            logits[name] = model(clips)
    torch.testing.assert_close(logits[baseline], logits[family], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(logits["TSN"], logits[family], rtol=1e-2)
