"""What each architecture of timm offers a recognizer, as a table: a name is told without a network.

The table follows from running the networks (`residual_branches.py`, `spatial_blocks.py`,
`attention_sites.py`, `token_blocks.py`); a test runs a member of every module of timm and compares.
"""

from functools import cache
from itertools import chain
from typing import Literal

import timm

Need = Literal["features", "places", "stages", "attention", "blocks", "time"]
"""What a family takes of a backbone: pooled features; as well

- places for a temporal operation, in residual branches, blocks of convolutions or of tokens;
- for non-local blocks, three stages of residual branches;
- layers of keys and values;
- blocks of tokens with a residual stream, for adapters;
- such blocks whose attentions take any number of tokens, to run them over time."""

_Set = tuple[tuple[str, ...], tuple[str, ...]]
"""Modules of timm, and patterns of names in others."""

_UNPOOLED: _Set = ((), ("*_enc",))
_TIME: _Set = (
    (
        *("cait", "crossvit", "deepseek_vit", "deit", "eva", "naflexvit", "pit", "qwen3_vit"),
        *("vision_transformer", "vision_transformer_hybrid", "vitamin", "xcit"),
    ),
    ("caformer_*", "mobilevit_*", "vit_srelpos_*"),
)
_BLOCKS: _Set = (
    (
        *("beit", "coat", "convit", "efficientformer", "gcvit", "hiera", "hieradet_sam2"),
        *("mvitv2", "nest", "pvt_v2", "swin_transformer", "swin_transformer_v2"),
        *("swin_transformer_v2_cr", "tnt", "twins", "vision_transformer_relpos"),
        *("vision_transformer_sam", "volo", *_TIME[0]),
    ),
    ("maxvit_*", "maxxvit*", "test_maxvit", "mobilevit_*"),
)
_ATTENTION: _Set = (
    (
        *("byoanet", "cpubone", "csatv2", "davit", "edgenext", "efficientformer_v2"),
        *("efficientvit_mit", "efficientvit_msra", "gemma4_vit", "levit"),
        *("maxxvit", "mobilenetv5", "mobilevit", "nextvit", "shvit", "tiny_vit", "visformer"),
        *_BLOCKS[0],
    ),
    (
        "caformer_*",
        "fastvit_[!st]*",
        "fastvit_sa*",
        "lowformer_[!e]*",
        "mobilenetv4_hybrid*",
        "resnet*_clip*",
    ),
)
_NOT_BLOCKS: _Set = ((), ("vit_*_18x2_*", "vit_*_xp_*"))
_NO_PLACES: _Set = (("gemma4_vit", "mlp_mixer", "sequencer"), ("levit_[!c]*",))
_BLOCKS_ONLY: _Set = (
    (
        *("densenet", "inception_resnet_v2", "inception_v3", "inception_v4", "lcnetv2"),
        *("mambaout", "pvt_v2", "rdnet", "selecsls", "vgg", "vovnet", "xcit"),
    ),
    ("lcnet_*", "mobilenetv1_*", "mobileone_s0", "repvgg_*", "test_efficientnet*"),
)
_FEW_STAGES: _Set = (
    (
        *("coat", "dpn", "nasnet", "pnasnet", "rexnet", "tiny_vit", "twins", "vitamin"),
        *("xception", "xception_aligned"),
    ),
    (
        *("caformer_*", "hgnet_tiny", "hgnet_small", "hgnetv2_b[0-4]", "mobilenetv4_conv_small*"),
        "mobilevit_*s",
    ),
)
_NO_BRANCHES: _Set = (
    (
        *("beit", "cait", "convit", "crossvit", "deepseek_vit", "deit", "eva", "gemma4_vit"),
        *("hiera", "hieradet_sam2", "mlp_mixer", "mvitv2", "naflexvit", "nest", "pit"),
        *("qwen3_vit", "sequencer", "swin_transformer", "swin_transformer_v2"),
        *("swin_transformer_v2_cr", "tnt", "vision_transformer", "vision_transformer_relpos"),
        *("vision_transformer_sam", "volo"),
    ),
    ("levit_[!c]*", "vit_base_mci_224", "vit_tiny_r_s16_p8_*"),
)

_TABLE: dict[Need, tuple[_Set | None, tuple[_Set, ...]]] = {
    "features": (None, (_UNPOOLED,)),
    "places": (None, (_UNPOOLED, _NO_PLACES)),
    "stages": (None, (_UNPOOLED, _NO_BRANCHES, _BLOCKS_ONLY, _FEW_STAGES)),
    "attention": (_ATTENTION, (_UNPOOLED,)),
    "blocks": (_BLOCKS, (_UNPOOLED, _NOT_BLOCKS)),
    "time": (_TIME, (_UNPOOLED, _NOT_BLOCKS)),
}
"""What offers it, all of timm if None, and what of that does not."""


def offers(backbone: str, need: Need) -> bool:
    """Whether a backbone of timm has what a family takes.

    Args:
        backbone: its name, with or without a tag of weights.
        need: what the family takes.

    >>> offers("vgg16", "places"), offers("vgg16", "attention"), offers("test_vit", "attention")
    (True, False, True)
    """
    return backbone.partition(".")[0] in _offering(need)


@cache
def _offering(need: Need) -> frozenset[str]:
    offered, without = _TABLE[need]
    names = frozenset(timm.list_models()) if offered is None else _names(offered)
    return names.difference(*map(_names, without))


def _names(of: _Set) -> frozenset[str]:
    """The names of timm that a set has."""
    modules, patterns = of
    names = [timm.list_models(module=module) for module in modules]
    names += [timm.list_models(pattern) for pattern in patterns]
    return frozenset(chain.from_iterable(names))
