"""A causal recognizer made of a centred one."""

import numpy as np
import pytest
import torch
from torch import nn

from mixtconv.models import create_model, load_model, optimize_for_inference, save_model
from mixtconv.models.streaming import StreamingClassifier
from mixtconv.models.systems.causal import causal_kernel, make_causal
from mixtconv.models.wrappers.temporal_wrapper import temporal_wrappers


def test_a_kernel_keeps_its_past_and_gives_its_future_to_the_present() -> None:
    for size in (1, 3, 5, 7):
        kernel, frames = torch.randn(size), torch.randn(20)
        causal, reach = causal_kernel(kernel).numpy(), size // 2
        for t in range(10, 20):
            seen = [
                frames[min(t, t + tap - reach)] for tap in range(size)
            ]  # the future stands still
            expected = sum(float(w) * float(x) for w, x in zip(kernel, seen, strict=True))
            met = frames[t - size + 1 : t + 1].numpy()
            np.testing.assert_allclose((causal * met).sum(), expected, atol=1e-5)


@pytest.mark.parametrize("family", ["mstnet", "ks5", "ks357dilated", "conv1d", "tsm"])
def test_on_a_scene_that_stands_still_nothing_changes(family: str) -> None:
    torch.manual_seed(0)
    centred = create_model(f"{family}_test_resnet", num_classes=5, num_frames=41, image_size=32)
    for site in temporal_wrappers(centred.eval().backbone):
        for parameter in site.temporal.parameters():
            nn.init.normal_(parameter, mean=0.2, std=0.2)
    causal = make_causal(centred)
    still = torch.randn(1, 1, 3, 32, 32).expand(1, 41, 3, 32, 32)
    with torch.inference_mode():
        expected = centred.forward_frames(still)[:, 20]  # far from both ends
        got = causal.forward_frames(still)[:, -1]
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4)
    StreamingClassifier(causal)


def test_it_is_saved_as_causal(tmp_path) -> None:
    causal = make_causal(create_model("mstnet_test_resnet", num_classes=5))
    save_model(causal, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.spec.causal
    assert all(site.temporal.causal for site in temporal_wrappers(loaded.backbone))


def test_what_cannot_be_converted_is_refused() -> None:
    centred = create_model("mstnet_test_resnet", num_classes=5)
    for model, says in (
        (create_model("mstnet_test_resnet", num_classes=5, causal=True), "causal already"),
        (create_model("tsn_test_resnet", num_classes=5), "no temporal operation"),
        (optimize_for_inference(centred), "optimize_for_inference"),
    ):
        with pytest.raises(ValueError, match=says):
            make_causal(model)
