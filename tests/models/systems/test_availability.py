"""Which names can be made is told from a table: here networks are made and compared with it.

Run as a script, it compares all architectures of timm, in about half an hour:

    python tests/models/systems/test_availability.py ["*vit*"]
"""

import sys
from typing import get_args

import pytest
import timm
import torch
from torch import nn

from mixtconv.models import create_model, list_models
from mixtconv.models.backbone import create_backbone
from mixtconv.models.insertion import LEAST_SHARE
from mixtconv.models.structure.attention_sites import (
    AttentionSite,
    find_attention_sites,
    give_own_bias,
    has_attention,
)
from mixtconv.models.structure.network_trace import trace_network
from mixtconv.models.structure.residual_branches import reached_share, residual_sites
from mixtconv.models.structure.spatial_blocks import spatial_sites
from mixtconv.models.structure.token_blocks import TokenBlock, adapt_stream, find_token_blocks
from mixtconv.models.systems import availability, factory
from mixtconv.models.systems.availability import Need, offers
from mixtconv.models.systems.registry import SYSTEMS, SYSTEMS_2D
from mixtconv.models.wrappers.time_attention import insert_time_attention

SMALL_FIRST = ("test_", "atto", "femto", "pico", "nano", "xxt", "xxs", "xs", "tiny", "_s", "18")
OTHERS = (  # the patterns of names, and names that they must not take
    *("levit_128s", "levit_conv_128s", "vit_base_mci_224", "vit_tiny_r_s16_p8_224"),
    *("lcnet_035", "mobilenetv1_100", "mobileone_s0", "mobileone_s1", "repvgg_a0"),
    *("test_efficientnet", "efficientnet_b0", "caformer_s18", "convformer_s18", "hgnet_tiny"),
    *("hgnetv2_b0", "mobilenetv4_conv_small_035", "mobilevit_xxs", "mobilevitv2_050"),
    "qwen3_vit_88m_enc",
)


def smallest_of(module: str) -> str:
    def size(name: str) -> tuple[int, int, str]:
        marks = [place for place, mark in enumerate(SMALL_FIRST) if mark in name]
        return (min(marks, default=len(SMALL_FIRST)), len(name), name)

    names = [name for name in timm.list_models(module=module) if not name.endswith("_enc")]
    return min(names, key=size)


def truth(name: str) -> dict[str, bool]:
    """What an architecture offers, by running it once, where possible without its weights."""
    size = timm.get_pretrained_cfg(name).input_size[1]
    has_steps = name.startswith("sequencer")  # an LSTM, which is slow where there are no values
    with torch.device("cpu" if has_steps else "meta"):
        network = create_backbone(name, image_size=size)
        trace = trace_network(network, size, None)
    pooled = len(trace.outputs[""]) == 2
    sites = residual_sites(trace, "head")
    has_places = pooled and (
        bool(sites) or reached_share(trace, spatial_sites(trace)) >= LEAST_SHARE
    )
    stages = {site.stage for site in sites}
    attentions: list[AttentionSite] = []
    blocks: list[TokenBlock] = []
    if has_attention(network):
        give_own_bias(network)
        attentions = find_attention_sites(network, image_size=size)
        blocks = find_token_blocks(network, image_size=size)
    fit = [block for block in blocks if takes_adapter(network, block)]
    over_time = bool(blocks)
    try:
        insert_time_attention(network, blocks, num_frames=5)
    except ValueError:
        over_time = False
    return {
        "features": pooled,
        "places": has_places or (pooled and bool(blocks)),
        "stages": pooled and len(stages) >= 3,
        "attention": pooled and bool(attentions),
        "blocks": pooled and bool(fit),
        "time": pooled and over_time,
    }


def takes_adapter(network: nn.Module, block: TokenBlock) -> bool:
    try:
        adapt_stream(network.get_submodule(block.name), block, {"attention": nn.Identity()})
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("name", sorted({*map(smallest_of, timm.list_modules()), *OTHERS}))
def test_the_table_says_what_making_the_network_shows(name: str) -> None:
    assert {need: offers(name, need) for need in get_args(Need)} == truth(name)


@pytest.mark.parametrize("backbone", ["lcnet_035", "test_vit", "repvgg_a0", "test_resnet"])
@pytest.mark.parametrize("family", ["tsn", "mstnet", "tsm_nl", "mstvit", "adapter", "aim"])
def test_what_is_told_is_what_can_be_made(family: str, backbone: str) -> None:
    size = timm.get_pretrained_cfg(backbone).input_size[1]
    with torch.device("meta"):
        if factory.can_be_made(family, backbone):
            create_model(f"{family}_{backbone}", 2, num_frames=1, image_size=size)
        else:
            with pytest.raises(
                ValueError, match=r"found no (residual branch|attention|block)|0 stages"
            ):
                create_model(f"{family}_{backbone}", 2, num_frames=1, image_size=size)


def test_every_module_and_pattern_of_the_table_is_of_timm() -> None:
    for offered, without in availability._TABLE.values():
        for modules, patterns in (offered or ((), ()), *without):
            assert set(modules) <= set(timm.list_modules())
            assert all(timm.list_models(pattern) for pattern in patterns)


def test_a_name_that_cannot_be_made_is_not_listed() -> None:
    names = set(list_models())
    assert names >= {"mstnet_lcnet_100", "tsn_test_vit", "trn_vgg11", "tsm_nl_resnet50", *SYSTEMS}
    assert names >= {"mstnet_test_vit", "mstvit_test_vit", "adapter_test_vit", "aim_test_vit"}
    assert not names & {"mstvit_vgg11", "tsm_nl_vgg11", "tsn_qwen3_vit_88m_enc", "aim_hiera_tiny"}
    with pytest.raises(ValueError, match="0 stages of residual blocks"):
        create_model("tsm_nl_lcnet_035", 2, image_size=32)


def test_with_published_weights_names_have_their_tags() -> None:
    names = list_models("*resnet18*", pretrained=True)
    assert {"mstnet_resnet18.a1_in1k", "tsn_resnet18.fb_ssl_yfcc100m_ft_in1k"} <= set(names)
    assert "mstnet_resnet18" not in names
    for name in names[::40]:
        config = timm.get_pretrained_cfg(factory.split_name(name)[1])
        assert config.hf_hub_id
    assert list_models("mstnet_convnext_tiny.dinov3*", pretrained=True) == [
        "mstnet_convnext_tiny.dinov3_lvd1689m"
    ]
    assert set(list_models("*_*", pretrained=True)) & {*SYSTEMS} == {
        "i3d_resnet50",
        "i3d_nl_resnet50",
        "i3d_nl_gcn_resnet50",
    }


@pytest.mark.parametrize("name", SYSTEMS)
def test_weights_of_a_system_are_those_of_its_backbone(name: str, monkeypatch) -> None:
    asked = []

    def refuse(backbone: str):
        asked.append(backbone)
        raise ValueError("no connection")

    monkeypatch.setattr("mixtconv.models.backbone.find_imagenet_weights", refuse)
    with torch.device("meta"), pytest.raises(ValueError, match="no connection"):
        create_model(name, 2, pretrained=True)
    assert asked == [SYSTEMS_2D[name]]


if __name__ == "__main__":
    for each in timm.list_models(sys.argv[1] if len(sys.argv) > 1 else ""):
        told = {need: offers(each, need) for need in get_args(Need)}
        if told != (found := truth(each)):
            sys.stdout.write(f"{each}: the table has {told}, running it shows {found}\n")
