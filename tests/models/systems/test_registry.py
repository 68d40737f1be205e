"""The systems of the comparison: one contract for all, exact parameters, how they are named."""

from pathlib import Path

import pytest
import torch

from mixtconv.evaluation.complexity import abstract_model, complexity, complexity_by_stage
from mixtconv.models import (
    create_model,
    list_models,
    load_model,
    optimize_for_inference,
    save_model,
)
from mixtconv.models.systems.factory import split_name
from mixtconv.models.systems.registry import SYSTEMS

SYSTEMS_TRIED = {
    "mstnet_bninception": 4,
    "tsm_nl_test_resnet": 4,
    "trn_test_resnet": 4,
    "trn_bninception": 4,
    "trn_twostream_test_resnet": 4,
    "i3d_resnet50": 4,
    "i3d_nl_gcn_resnet50": 4,
    "eco_8": 8,
}
"""Name -> frames; those of 16 and 92 frames are made of the same parts."""


@pytest.mark.parametrize("name", SYSTEMS_TRIED)
def test_every_system_meets_the_contract(name: str, tmp_path: Path) -> None:
    """Shapes, gradients, training, save and load, memory format, faster inference."""
    torch.manual_seed(0)
    num_frames = SYSTEMS_TRIED[name]
    model = create_model(name, classes=["a", "b", "c"], num_frames=num_frames, image_size=32)
    assert name in list_models(name)
    channels = model.spec.snippet.in_channels
    clips = torch.randn(2, num_frames, channels, 32, 32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    losses = []
    for _ in range(4):
        loss = torch.nn.functional.cross_entropy(model(clips), torch.tensor([0, 2]))
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(parameter.grad is not None for parameter in model.parameters())
    assert losses[-1] < losses[0]

    model.eval()
    with torch.no_grad():
        logits = model(clips)
        assert logits.shape == (2, 3)
        torch.testing.assert_close(model.forward_frames(clips).mean(dim=1), logits)
        torch.testing.assert_close(model(clips[1:])[0], logits[1], atol=1e-4, rtol=1e-3)
        save_model(model, tmp_path / "model.safetensors")
        loaded = load_model(tmp_path / "model.safetensors")
        assert torch.equal(loaded(clips), logits)
        assert loaded.spec == model.spec
        scale = logits.abs().max()
        fast = optimize_for_inference(model)
        torch.testing.assert_close(fast(clips) / scale, logits / scale, atol=1e-4, rtol=1e-3)
        model.to(memory_format=torch.channels_last)
        torch.testing.assert_close(model(clips) / scale, logits / scale, atol=1e-4, rtol=1e-3)


# Parameters at 400 and at 174 classes, by adding up the layers of the recipes.
PARAMETERS = {
    "tsn_bninception": (10_680_240, 10_448_590),
    "trn_bninception": (13_547_792, 13_141_218),
    "trn_twostream_bninception": (27_117_536, 26_304_388),
    "i3d_resnet50": (28_043_472, 27_580_398),
    "i3d_nl_resnet50": (35_401_936, 34_938_862),
    "i3d_nl_gcn_resnet50": (38_924_496, 38_692_846),
    "eco_8": (47_502_128, 47_154_766),
    "eco_16": (47_502_128, 47_154_766),
    "eco_en_lite_92": (150_015_424, 149_551_672),
    "tsn_resnet50": (24_327_632, 23_864_558),
    "mstnet_resnet50": (24_380_112, 23_917_038),
    "tsm_nl_resnet50": (31_686_096, 31_223_022),
    "conv1d_resnet50": (72_115_664, 71_652_590),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters_to_the_last_one(name: str) -> None:
    for num_classes, expected in zip((400, 174), PARAMETERS[name], strict=True):
        model = abstract_model(name, num_classes, image_size=64)
        assert sum(parameter.numel() for parameter in model.parameters()) == expected


@pytest.mark.parametrize("name", ["trn_twostream_bninception", "i3d_nl_gcn_resnet50", "eco_8"])
def test_stages_add_up_to_the_whole(name: str) -> None:
    model = abstract_model(name, 400, image_size=64)
    whole, stages = complexity(model), complexity_by_stage(model)
    assert sum(stage.params for stage in stages) == whole.params
    assert sum(stage.macs for stage in stages) == whole.macs
    assert all(stage.params >= 0 and stage.macs >= 0 for stage in stages)
    assert len({stage.name for stage in stages}) == len(stages) > 5


def test_products_of_attention_are_counted_and_told_apart() -> None:
    """By hand: at 32x32, layer2 and layer3 have maps of 4x4 and 2x2, and half of the frames."""
    T, image = 4, 32
    cost = complexity(abstract_model("i3d_nl_resnet50", 3, num_frames=T, image_size=image))
    plain = complexity(abstract_model("i3d_resnet50", 3, num_frames=T, image_size=image))
    products = weights = 0
    for channels, side, blocks in ((512, 4, 2), (1024, 2, 3)):
        places, inner = T // 2 * side * side, channels // 2
        pooled = places // 4
        products += blocks * 2 * places * pooled * inner
        weights += blocks * 2 * channels * inner * (places + pooled)
    assert cost.attention_macs == products
    assert cost.macs - plain.macs == products + weights
    assert cost.macs_without_attention == plain.macs + weights


def test_names_of_families_are_told_apart() -> None:
    assert split_name("trn_twostream_resnet18") == ("trn_twostream", "resnet18")
    assert split_name("trn_resnet18") == ("trn", "resnet18")
    assert split_name("tsm_nl_resnet18") == ("tsm_nl", "resnet18")
    assert split_name("tsm_nf_resnet50") == ("tsm", "nf_resnet50")
    assert set(SYSTEMS) <= set(list_models())
    with pytest.raises(ValueError, match="unknown model 'eco_9'; did you mean 'eco_8'"):
        create_model("eco_9", 3)


def test_channels_last_is_meant_for_3d_convolutions_too() -> None:
    model = create_model("eco_8", 3, image_size=32).to(memory_format=torch.channels_last)
    flat = model.backbone.frames.network.conv1_7x7_s2.weight
    deep = model.backbone.volume.res3a_2.weight
    assert flat.is_contiguous(memory_format=torch.channels_last)
    assert deep.is_contiguous(memory_format=torch.channels_last_3d)
    assert all(parameter.is_leaf for parameter in model.parameters())
