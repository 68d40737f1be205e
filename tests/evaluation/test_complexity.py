"""Counts of transformers, against the field's formulas."""

import pytest
import timm
from timm.layers import set_fused_attn

from mixtconv.evaluation.complexity import abstract_model, complexity, complexity_by_stage
from mixtconv.models import ModelSpec
from mixtconv.models.systems.factory import build_classifier


def _vit_base_macs(frames: int) -> tuple[int, int]:
    """Of ViT-B/16 at 224 pixels with 400 classes: all, and those of attention alone."""
    width, places, tokens = 768, 14 * 14, 14 * 14 + 1
    layers = 12 * 12 * width**2 * tokens  # q, k, v, projection, and the MLP of four times the width
    attention = 12 * 2 * tokens**2 * width  # of queries with keys, and of that with values
    embedding = places * 3 * 16 * 16 * width
    return frames * (layers + attention + embedding + 400 * width), frames * attention


def test_an_image_model_costs_what_its_formula_says() -> None:
    cost = complexity(abstract_model("tsn_vit_base_patch16_224", 400, num_frames=2))
    macs, attention = _vit_base_macs(2)
    assert (cost.macs, cost.attention_macs, cost.temporal_params) == (macs, attention, 0)
    assert round(macs / 2e9, 1) == 17.6
    assert cost.params == 86_567_656 - 600 * 769  # published with 1000 classes


def test_the_temporal_operation_is_counted_on_every_token() -> None:
    model = abstract_model("mstvit_vit_base_patch16_224", 400, num_frames=2)
    cost, stages = complexity(model), complexity_by_stage(model)
    taps = 12 * 2 * 768 // 4 * (1 + 3 + 5 + 7)  # of keys and values, a quarter of each size
    assert cost.temporal_params == taps
    assert cost.macs == _vit_base_macs(2)[0] + 2 * 197 * taps
    assert sum(stage.macs for stage in stages) == cost.macs
    assert all(stage.name for stage in stages)


@pytest.mark.parametrize("fused", [0, 2])
def test_attention_in_windows_is_counted_in_either_form(fused: int) -> None:
    set_fused_attn(bool(fused))
    try:
        network = timm.models.swin_transformer.SwinTransformer(
            img_size=32,
            patch_size=4,
            embed_dim=16,
            depths=(2,),
            num_heads=(2,),
            window_size=4,
            num_classes=0,
        )
    finally:
        set_fused_attn(True)
    spec = ModelSpec("tsn_swin", ("a", "b"), num_frames=3, image_size=32)
    cost = complexity(build_classifier(network, "tsn", spec))
    windows, places, width = 4, 16, 16
    assert cost.attention_macs == 3 * 2 * windows * 2 * places**2 * width
