"""Small transformers of timm, at least one with every kind of attention.

They are timm's networks of fewer blocks and channels, for small images. Weights are random, also
those that would begin as zeros or ones, in double precision.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import timm
import torch
from timm.layers import AttentionPool2d, RotAttentionPool2d
from timm.models._efficientnet_builder import decode_arch_def
from timm.models.byobnet import ByoBlockCfg, ByobNet, ByoModelCfg
from timm.models.coat import CoaT
from timm.models.cpubone import CPUBone
from timm.models.csatv2 import CSATv2
from timm.models.davit import DaVit
from timm.models.deepseek_vit import DeepseekVitClassifier
from timm.models.edgenext import EdgeNeXt
from timm.models.efficientformer import EfficientFormer
from timm.models.efficientformer_v2 import EfficientFormerV2
from timm.models.efficientvit_mit import EfficientVit
from timm.models.efficientvit_msra import EfficientVitMsra
from timm.models.fastvit import FastVit
from timm.models.gcvit import GlobalContextVit
from timm.models.gemma4_vit import Gemma4VitClassifier
from timm.models.levit import Levit
from timm.models.lowformer import LowFormer
from timm.models.maxxvit import MaxxVit, MaxxVitCfg, MaxxVitTransformerCfg
from timm.models.metaformer import (
    Attention,
    LayerNorm2dNoBias,
    LayerNormNoBias,
    MetaFormer,
    SepConv,
)
from timm.models.mobilenetv5 import MobileNetV5
from timm.models.mvitv2 import MultiScaleVit, MultiScaleVitCfg
from timm.models.nest import Nest
from timm.models.nextvit import NextTransformerBlock
from timm.models.pit import PoolingVisionTransformer
from timm.models.pvt_v2 import PyramidVisionTransformerV2
from timm.models.qwen3_vit import Qwen3VitClassifier
from timm.models.shvit import SHViT
from timm.models.tiny_vit import TinyVit
from timm.models.visformer import Visformer
from timm.models.volo import VOLO
from torch import Tensor, nn


def _maxxvit(stages: str, **transformer: Any) -> MaxxVit:
    """Two stages of one block each, of a kind by its letter."""
    blocks = MaxxVitTransformerCfg(dim_head=8, **transformer)
    return MaxxVit(
        MaxxVitCfg(
            embed_dim=(16, 32),
            depths=(1, 1),
            block_type=tuple(stages),
            stem_width=8,
            transformer_cfg=blocks,
        ),
        64,
        num_classes=0,
    )


SIZES = {
    **dict.fromkeys(("vit-registers", "eva", "eva-split"), 42),
    **dict.fromkeys(("crossvit", "naflex", "pit"), 48),
    **{
        "deepseek": 84,
        "vit-sam": 96,
        "gemma4": 96,
        "efficientvit-mit": 128,
        "efficientformer": 224,
    },
}
"""Height and width of the image where they are not 64."""

PLAIN: dict[str, Any] = {"embed_dim": 32, "depth": 2, "num_heads": 2}
TWO_STAGES: dict[str, Any] = {"embed_dim": 16, "depths": (2, 2), "num_heads": (2, 2)}


def _named(name: str, **changes: Any) -> Callable[..., nn.Module]:
    return partial(timm.create_model, name, num_classes=0, **changes)


def _byob(block: ByoBlockCfg) -> Callable[..., nn.Module]:
    """A network of convolutions with a block that has attention."""
    first = ByoBlockCfg("bottle", d=1, c=32, s=2)
    config = ByoModelCfg(blocks=(first, block), stem_chs=16, stem_type="7x7")
    return partial(ByobNet, config, num_classes=0, img_size=64)


def _self_attention(kind: str, **options: Any) -> ByoBlockCfg:
    return ByoBlockCfg("self_attn", d=1, c=64, s=1, self_attn_layer=kind, self_attn_kwargs=options)


def _between(kind: Callable[..., nn.Module], *args: Any, **options: Any) -> nn.Module:
    """A module on feature maps of 32 channels, 8 x 8, whose result is pooled."""
    return nn.Sequential(nn.Conv2d(3, 32, 8, 8), kind(*args, **options), _Pooled())


def _mobilenetv5() -> nn.Module:
    stages = [
        ["uir_r1_a3_k5_s2_e2_c16"],
        ["mqa_r1_k3_h2_s2_d16_c16", "uir_r1_a0_k0_s1_e1_c16"],
        ["mqa_r1_k3_h2_s1_d16_c16", "uir_r1_a0_k0_s1_e1_c16"],
    ]
    return MobileNetV5(decode_arch_def(stages), num_classes=0, num_features=32)


class _Pooled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(2).mean(2) if x.ndim == 4 else x


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    # tokens in a row
    "vit": _named("vit_tiny_patch16_224", img_size=64, **PLAIN),
    "vit-map": _named("vit_base_patch16_siglip_224", img_size=64, **PLAIN),
    "vit-clip": _named("vit_base_patch16_clip_quickgelu_224", img_size=64, **PLAIN),
    "vit-registers": _named("vit_small_patch14_reg4_dinov2", img_size=42, **PLAIN),
    "vit-rope": _named("vit_pe_spatial_tiny_patch16_512", img_size=64, **PLAIN),
    "vit-grouped": _named("vit_base_patch16_sapiens2", img_size=64, **PLAIN, num_kv_heads=1),
    "vit-parallel": _named("vit_base_patch16_xp_224", img_size=64, **PLAIN),
    "vit-differential": _named("vit_dwee_patch16_reg1_gap_256", img_size=64, **PLAIN),
    "vit-relpos": _named("vit_relpos_small_patch16_224", img_size=64, **PLAIN),
    "eva": _named("eva02_tiny_patch14_224", img_size=42, **PLAIN),
    "eva-split": _named("eva02_base_patch14_224", img_size=42, **PLAIN),
    "eva-dinov3": _named("vit_tiny_patch16_dinov3_qkvb", img_size=64, **PLAIN),
    "beit": _named("beit_base_patch16_224", img_size=64, **PLAIN),
    "naflex": _named("naflexvit_base_patch16_gap", img_size=48, **PLAIN),
    "gemma4": partial(
        Gemma4VitClassifier, 96, num_classes=0, **PLAIN, head_dim=16, intermediate_size=32
    ),
    "qwen3": partial(Qwen3VitClassifier, 64, num_classes=0, **PLAIN),
    "deepseek": partial(DeepseekVitClassifier, 84, num_classes=0, **PLAIN),
    "cait": _named("cait_xxs24_224", img_size=64, **PLAIN),
    "xcit": _named("xcit_nano_12_p8_224", img_size=64, **PLAIN),
    "convit": _named("convit_tiny", img_size=64, **PLAIN, local_up_to_layer=1),
    "crossvit": _named(
        "crossvit_tiny_240",
        img_size=48,
        img_scale=(1.0, 1.0),
        embed_dim=(16, 32),
        num_heads=(2, 2),
        depth=((1, 1, 0),),
    ),
    "tnt": _named(
        "tnt_s_legacy_patch16_224",
        img_size=64,
        embed_dim=32,
        depth=1,
        inner_dim=16,
        num_heads_inner=2,
        num_heads_outer=2,
    ),
    "volo": partial(
        VOLO, (1, 1), 64, num_classes=0, embed_dims=(32, 32), num_heads=(2, 2), use_aux_head=False
    ),
    # windows, and stages of fewer and fewer places
    "vit-sam": _named(
        "samvit_base_patch16",
        img_size=96,
        **PLAIN,
        window_size=3,
        global_attn_indexes=(1,),
        neck_chans=16,
    ),
    "swin": _named("swin_tiny_patch4_window7_224", img_size=64, **TWO_STAGES, window_size=4),
    "swin-v2": _named("swinv2_tiny_window8_256", img_size=64, **TWO_STAGES, window_size=4),
    "swin-v2-cr": _named("swinv2_cr_tiny_224", img_size=64, **TWO_STAGES, window_size=4),
    "hiera": _named(
        "hiera_tiny_224",
        img_size=64,
        embed_dim=16,
        stages=(1, 2, 1, 1),
        mask_unit_size=(4, 4),
        q_pool=2,
    ),
    "sam2": _named(
        "sam2_hiera_tiny",
        embed_dim=16,
        stages=(1, 1, 2),
        window_spec=(4, 2, 2),
        global_att_blocks=(3,),
        q_pool=2,
    ),
    "mvit": partial(
        MultiScaleVit,
        MultiScaleVitCfg(
            depths=(1, 1), embed_dim=16, stride_q=((1, 1), (2, 2)), use_cls_token=True
        ),
        (64, 64),
        num_classes=0,
    ),
    "maxvit": partial(_maxxvit, "MM", window_size=(4, 4), head_first=False, rel_pos_type="bias_tf"),
    "coatnet": partial(_maxxvit, "CT"),
    "davit": partial(
        DaVit, depths=(1, 1), embed_dims=(16, 32), num_heads=(2, 2), window_size=4, num_classes=0
    ),
    "davit-v2": partial(
        DaVit,
        depths=(1, 1),
        embed_dims=(16, 32),
        num_heads=(2, 2),
        window_size=4,
        num_classes=0,
        channel_attn_v2=True,
    ),
    "gcvit": partial(
        GlobalContextVit, num_classes=0, img_size=64, window_ratio=(16, 16), **TWO_STAGES
    ),
    "nest": partial(
        Nest,
        img_size=64,
        num_classes=0,
        num_levels=2,
        embed_dims=(16, 32),
        num_heads=(2, 2),
        depths=(1, 1),
    ),
    "twins": _named(
        "twins_svt_small",
        img_size=64,
        embed_dims=(16, 32),
        num_heads=(2, 2),
        depths=(2, 2),
        wss=(4, 4),
        mlp_ratios=(2, 2),
        sr_ratios=(2, 2),
    ),
    "pvt": partial(
        PyramidVisionTransformerV2,
        depths=(1, 1),
        embed_dims=(16, 32),
        num_heads=(2, 2),
        sr_ratios=(4, 1),
        mlp_ratios=(2, 2),
        num_classes=0,
    ),
    "pit": partial(
        PoolingVisionTransformer, 48, 16, 8, "overlap", (8, 8), (1, 1), (2, 4), 2, num_classes=0
    ),
    "coat": partial(
        CoaT,
        64,
        4,
        num_classes=0,
        embed_dims=(16, 16, 16, 16),
        serial_depths=(1, 1, 1, 1),
        parallel_depth=1,
        num_heads=2,
        crpe_window={3: 1, 5: 1},
    ),
    "levit": partial(
        Levit, 64, num_classes=0, embed_dim=(32, 48), key_dim=8, depth=(1, 1), num_heads=(2, 4)
    ),
    "efficientformer": partial(
        EfficientFormer, (1, 1, 1, 2), (16, 16, 16, 32), num_classes=0, num_vit=1
    ),
    "efficientformer-v2": partial(
        EfficientFormerV2,
        (1, 1, 1, 1),
        img_size=64,
        embed_dims=(16, 16, 16, 32),
        num_vit=1,
        num_classes=0,
    ),
    "efficientvit-mit": partial(
        EfficientVit,
        widths=(8, 8, 8, 16, 32),
        depths=(1, 1, 1, 1, 1),
        head_dim=8,
        num_classes=0,
        head_widths=(16, 16),
    ),
    "efficientvit-msra": partial(
        EfficientVitMsra,
        64,
        num_classes=0,
        embed_dim=(16, 32, 32),
        key_dim=(8, 8, 8),
        depth=(1, 1, 1),
        num_heads=(2, 2, 2),
    ),
    "tinyvit": partial(
        TinyVit,
        num_classes=0,
        embed_dims=(16, 32),
        depths=(1, 1),
        num_heads=(2, 2),
        window_sizes=(4, 4),
    ),
    "fastvit": partial(
        FastVit,
        num_classes=0,
        layers=(1, 1),
        token_mixers=("repmixer", "attention"),
        embed_dims=(32, 64),
        mlp_ratios=(2, 2),
        downsamples=(False, True),
        se_downsamples=(False, False),
        pos_embs=(None, None),
    ),
    "edgenext": partial(
        EdgeNeXt, num_classes=0, dims=(16, 16, 16, 32), depths=(1, 1, 1, 1), heads=(2, 2, 2, 2)
    ),
    "mobilevit": _byob(
        ByoBlockCfg(
            "mobilevit",
            d=1,
            c=32,
            s=1,
            block_kwargs={"transformer_dim": 32, "patch_size": 2, "transformer_depth": 1},
        )
    ),
    "mobilevit-v2": _byob(
        ByoBlockCfg(
            "mobilevit2", d=1, c=32, s=1, block_kwargs={"patch_size": 2, "transformer_depth": 1}
        )
    ),
    "mobilenetv5": _mobilenetv5,
    "nextvit": partial(_between, NextTransformerBlock, 32, 128, 1, sr_ratio=2),
    "caformer": partial(
        MetaFormer,
        num_classes=0,
        depths=(1, 1),
        dims=(16, 32),
        token_mixers=(SepConv, Attention),
        norm_layers=(LayerNorm2dNoBias, LayerNormNoBias),
    ),
    "visformer": partial(
        Visformer, 64, num_classes=0, init_channels=8, embed_dim=32, depth=(1, 1, 1), num_heads=2
    ),
    "shvit": partial(
        SHViT,
        num_classes=0,
        embed_dim=(16, 32, 32),
        partial_dim=(16, 16, 16),
        qk_dim=(8, 8, 8),
        depth=(1, 1, 1),
    ),
    "lowformer": partial(
        LowFormer, (8, 8, 8, 64, 64), (1, 1, 1, 1, 1), num_classes=0, head_widths=(16, 16)
    ),
    "cpubone": partial(
        CPUBone, (8, 8, 8, 64, 64), (1, 1, 1, 1, 1), num_classes=0, head_widths=(16, 16)
    ),
    "csatv2": partial(
        CSATv2, 0, dims=(16, 16, 16, 32), depths=(1, 1, 1, 1), transformer_depths=(0, 0, 1, 1)
    ),
    "halonet": _byob(_self_attention("halo", block_size=4, halo_size=1)),
    "botnet": _byob(_self_attention("bottleneck", qk_ratio=0.5)),
    "lambdanet": _byob(_self_attention("lambda", r=3)),
    "pool": partial(
        _between, AttentionPool2d, 32, out_features=16, num_heads=2, feat_size=8, qkv_separate=True
    ),
    "pool-rope": partial(
        _between, RotAttentionPool2d, 32, out_features=16, num_heads=2, pool_type=""
    ),
}


def randomize(network: nn.Module) -> nn.Module:
    """Give every weight and statistic a random value, in double precision and evaluation mode."""
    generator = torch.Generator().manual_seed(0)
    network.double().eval()
    for name, tensor in (*network.named_parameters(), *network.named_buffers()):
        values = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        if tensor.is_floating_point() and isinstance(tensor, nn.Parameter):
            spread = math.sqrt(tensor[0].numel()) if tensor.ndim > 1 else 4
            centre = 1 if tensor.ndim == 1 and name.endswith("weight") else 0
            tensor.data = centre + values / spread
        elif name.endswith("running_mean"):
            tensor.copy_(0.1 * values)
    return network


def make(key: str) -> nn.Module:
    """One of the networks, with random weights."""
    return randomize(NETWORKS[key]())


def images(key: str, *shape: int) -> Tensor:
    """Random images (*shape, 3, H, W) of the network's size."""
    size = SIZES.get(key, 64)
    generator = torch.Generator().manual_seed(1)
    return torch.randn(*shape, 3, size, size, generator=generator, dtype=torch.float64)
