"""What each architecture of timm offers a recognizer, as a table: a name is told without a network.

The table follows from running the networks (`residual_branches.py`, `spatial_blocks.py`); a test
runs a member of every module of timm and compares.
"""

from functools import cache
from itertools import chain
from typing import Literal

import timm

Need = Literal["features", "places", "stages"]
"""What a family takes of a backbone: pooled features; places for a temporal operation as well; or,
for non-local blocks, also three stages of residual branches."""

_UNPOOLED = ((), ("*_enc",))
_NO_PLACES = (
    (
        *("beit", "cait", "convit", "crossvit", "deepseek_vit", "deit", "eva", "gemma4_vit"),
        *("hiera", "hieradet_sam2", "mlp_mixer", "mvitv2", "naflexvit", "nest", "pit"),
        *("qwen3_vit", "sequencer", "swin_transformer", "swin_transformer_v2"),
        *("swin_transformer_v2_cr", "tnt", "vision_transformer", "vision_transformer_relpos"),
        *("vision_transformer_sam", "volo"),
    ),
    ("levit_[!c]*", "vit_base_mci_224", "vit_tiny_r_s16_p8_*"),
)
_BLOCKS_ONLY = (
    (
        *("densenet", "inception_resnet_v2", "inception_v3", "inception_v4", "lcnetv2"),
        *("mambaout", "pvt_v2", "rdnet", "selecsls", "vgg", "vovnet", "xcit"),
    ),
    ("lcnet_*", "mobilenetv1_*", "mobileone_s0", "repvgg_*", "test_efficientnet*"),
)
_FEW_STAGES = (
    (
        *("coat", "dpn", "nasnet", "pnasnet", "rexnet", "tiny_vit", "twins", "vitamin"),
        *("xception", "xception_aligned"),
    ),
    (
        *("caformer_*", "hgnet_tiny", "hgnet_small", "hgnetv2_b[0-4]", "mobilenetv4_conv_small*"),
        "mobilevit_*s",
    ),
)
"""Modules of timm, and patterns of names in others."""

_LACKING: dict[Need, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = {
    "features": (_UNPOOLED,),
    "places": (_UNPOOLED, _NO_PLACES),
    "stages": (_UNPOOLED, _NO_PLACES, _BLOCKS_ONLY, _FEW_STAGES),
}


def offers(backbone: str, need: Need) -> bool:
    """Whether a backbone of timm has what a family takes.

    Args:
        backbone: its name, with or without a tag of weights.
        need: what the family takes.

    >>> offers("vgg16", "places"), offers("vgg16", "stages"), offers("test_vit", "places")
    (True, False, False)
    """
    return backbone.partition(".")[0] not in _lacking(need)


@cache
def _lacking(need: Need) -> frozenset[str]:
    names = [
        timm.list_models(pattern, module=module)
        for modules, patterns in _LACKING[need]
        for pattern, module in chain(
            (("", module) for module in modules), ((pattern, "") for pattern in patterns)
        )
    ]
    return frozenset(chain.from_iterable(names))
