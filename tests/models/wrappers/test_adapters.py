"""Adapters in transformers: they begin as the image model, and compute what their papers say."""

import copy
from functools import partial

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mixtconv.models import create_model, make_causal, optimize_for_inference
from mixtconv.models.streaming import StreamingClassifier, StreamState
from mixtconv.models.structure.attention_sites import give_own_bias
from mixtconv.models.structure.token_blocks import adapt_stream, find_token_blocks
from mixtconv.models.wrappers.adapters import TemporalAdapter, insert_adapters
from mixtconv.models.wrappers.frame_average import insert_frame_average
from mixtconv.models.wrappers.linear_adapters import (
    AdaptedLayers,
    LinearAdapter,
    fold_linear_adapters,
    insert_linear_adapters,
)
from mixtconv.models.wrappers.time_attention import TimeAttention, insert_time_attention
from mixtconv.ops import MixTConv

NUM_FRAMES = 3
EXACT = 1e-9
"""Relative, in float64."""

# One of each kind of block: what makes it small, and its class and register tokens.
BLOCKS: dict[str, tuple[dict[str, object], int]] = {
    "test_vit": ({"img_size": 48}, 1),
    "vit_small_patch14_reg4_dinov2": ({"img_size": 28, "depth": 2, "embed_dim": 48}, 5),
    "vit_base_patch16_clip_quickgelu_224": ({"img_size": 32, "depth": 2, "embed_dim": 48}, 1),
    "vit_base_patch16_siglip_gap_224": ({"img_size": 32, "depth": 2, "embed_dim": 48}, 0),
    "vit_small_patch16_dinov3_qkvb": ({"img_size": 48, "depth": 2, "embed_dim": 48}, 5),
    "eva02_tiny_patch14_224": ({"img_size": 28, "depth": 2, "embed_dim": 48}, 1),
    "vit_pe_spatial_tiny_patch16_512": ({"img_size": 32, "depth": 2, "embed_dim": 48}, 1),
    "beit_base_patch16_224": ({"img_size": 32, "depth": 2, "embed_dim": 48}, 1),
    "swin_tiny_patch4_window7_224": ({"img_size": 56, "depths": (1, 1), "embed_dim": 24}, 0),
    "swinv2_tiny_window8_256": ({"img_size": 64, "depths": (1, 1), "embed_dim": 24}, 0),
    "hiera_tiny_224": ({"img_size": 64, "embed_dim": 24, "stages": (2, 1, 1, 1)}, 0),
    "naflexvit_base_patch16_gap": ({"depth": 2, "embed_dim": 48}, 4),
    "pit_ti_224": ({"img_size": 64}, 1),
    "xcit_nano_12_p16_224": ({"img_size": 32, "depth": 2, "embed_dim": 32, "num_heads": 4}, 0),
}


def small(name: str) -> nn.Module:
    torch.manual_seed(0)
    kwargs, _ = BLOCKS[name]
    if name.startswith(("vit", "eva", "beit", "naflex")):
        kwargs = {**kwargs, "num_heads": 4}
    network = timm.create_model(name, num_classes=0, **kwargs).eval().double()
    with torch.no_grad():
        for parameter in network.parameters():  # such as class tokens, which begin at zero
            parameter.add_(0.02 * torch.randn_like(parameter))
    return network


def image_size(network: nn.Module, name: str) -> int:
    return int(BLOCKS[name][0].get("img_size", 64))  # type: ignore[call-overload]


def frames(network: nn.Module, name: str, clips: int = 1) -> Tensor:
    size = image_size(network, name)
    return torch.rand(clips * NUM_FRAMES, 3, size, size, dtype=torch.float64)


def relative(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", BLOCKS)
@torch.no_grad()
def test_every_kind_of_adapter_begins_as_the_image_model(name: str) -> None:
    network = small(name)
    video = frames(network, name)
    expected = network(video)
    give_own_bias(network)
    blocks = find_token_blocks(network, image_size=image_size(network, name))
    assert len(blocks) >= 1
    assert blocks[0].num_prefix == BLOCKS[name][1]

    adapted = copy.deepcopy(network)
    named = insert_adapters(adapted, blocks, MixTConv, num_frames=NUM_FRAMES)
    adapted.double()
    assert len(named) == 2 * len(blocks)
    assert relative(adapted(video), expected) < EXACT
    _shake(adapted)
    assert relative(adapted(video), expected) > 1e-3

    linear = copy.deepcopy(network)
    insert_linear_adapters(linear, blocks)
    linear.double()
    assert relative(linear(video), expected) < EXACT
    # And once they are trained, what they are folded into gives the same.
    _shake(linear)
    trained = linear(video)
    assert relative(trained, expected) > 1e-3
    fold_linear_adapters(linear)
    assert not [each for each in linear.modules() if isinstance(each, LinearAdapter)]
    assert relative(linear(video), trained) < EXACT
    plain = dict(network.named_parameters())
    assert {name for name, _ in linear.named_parameters()} - plain.keys() <= {
        f"{block.name}.{layer}.bias"  # of layers without a bias
        for block in blocks
        for layer, each in network.get_submodule(block.name).named_modules()
        if isinstance(each, nn.Linear)
    }


def _shake(network: nn.Module) -> None:
    """Give adapters values as after training."""
    for name, parameter in network.named_parameters():
        if "adapter" in name or "before" in name or "after" in name:
            parameter.add_(0.1 * torch.randn_like(parameter))


@torch.no_grad()
def test_an_adapter_before_each_branch_is_st_adapter() -> None:
    network = small("test_vit")
    video = frames(network, "test_vit", clips=2)
    plain = copy.deepcopy(network)
    blocks = find_token_blocks(network, image_size=48)
    make = partial(MixTConv, kernel_sizes=(3,))
    insert_adapters(network, blocks, make, num_frames=NUM_FRAMES, start="operation")
    _shake(network.double())

    def st_adapter(adapter: nn.Module, x: Tensor) -> Tensor:
        """As published: patches (B, Ca, T, H, W) through a depthwise convolution 3 x 1 x 1."""
        patches = adapter.down(x[:, 1:])  # (B * T, H * W, Ca)
        volume = patches.view(2, NUM_FRAMES, 3, 3, -1).permute(0, 4, 1, 2, 3)
        kernel = adapter.up.temporal.weights[0][:, None, :, None, None]  # (Ca, 1, 3, 1, 1)
        volume = F.conv3d(volume, kernel, padding=(1, 0, 0), groups=len(kernel))
        mixed = volume.permute(0, 2, 3, 4, 1).reshape(patches.shape)
        result = x.clone()
        result[:, 1:] += F.linear(mixed, adapter.up.weight, adapter.up.bias)
        return result

    x = plain.norm_pre(plain._pos_embed(plain.patch_embed(video)))
    for before, block in zip(plain.blocks, network.blocks, strict=True):
        x = st_adapter(block.adapter_attention, x)
        x = x + before.ls1(before.attn(before.norm1(x)))
        x = st_adapter(block.adapter_mlp, x)
        x = x + before.ls2(before.mlp(before.norm2(x)))
    expected = plain.forward_head(plain.norm(x))
    assert relative(network(video), expected) < EXACT


@pytest.mark.parametrize("time_adapters", [1, 2])
@torch.no_grad()
def test_attention_over_time_is_aim(time_adapters: int) -> None:
    network = small("test_vit")
    video = frames(network, "test_vit", clips=2)
    plain = copy.deepcopy(network)
    insert_time_attention(
        network,
        find_token_blocks(network, image_size=48),
        num_frames=NUM_FRAMES,
        scale=0.5,
        time_adapters=time_adapters,
    )
    assert relative(network.double()(video), plain(video)) < EXACT
    _shake(network)

    def bottleneck(adapter: nn.Module, x: Tensor) -> Tensor:
        return adapter.up(F.gelu(adapter.down(x)))

    x = plain.norm_pre(plain._pos_embed(plain.patch_embed(video)))
    for before, block in zip(plain.blocks, network.blocks, strict=True):
        seen = torch.zeros_like(x).view(2, NUM_FRAMES, *x.shape[1:])
        for clip in range(2):
            for place in range(x.shape[1]):
                over_time = x.view(2, NUM_FRAMES, *x.shape[1:])[clip, :, place]  # (T, D)
                taken = before.norm1(over_time)[None]
                if time_adapters == 2:
                    taken = taken + bottleneck(block.adapter_in, taken)
                attended = before.attn(taken)
                seen[clip, :, place] = bottleneck(block.adapter, attended)[0]
        x = x + seen.flatten(0, 1)
        attended = before.attn(before.norm1(x))
        x = x + attended + bottleneck(block.attn.adapter, attended)
        normed = before.norm2(x)
        x = x + before.mlp(normed) + 0.5 * bottleneck(block.mlp.adapter, normed)
    assert relative(network(video), plain.forward_head(plain.norm(x))) < EXACT


FAMILIES = ("mstvit", "adapter", "stadapter", "zeroi2v", "aim", "mstnet")


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_a_causal_recognizer_never_looks_ahead(family: str) -> None:
    model = _recognizer(family, causal=True)
    video = torch.rand(1, 4, 3, 48, 48)
    later = video.clone()
    later[:, 2:] = torch.rand(1, 2, 3, 48, 48)
    before, after = model.forward_frames(video), model.forward_frames(later)
    assert torch.equal(before[:, :2], after[:, :2])
    assert not torch.equal(before[:, 3], after[:, 3])
    # Centred, it does.
    centred = _recognizer(family, causal=False)
    before, after = centred.forward_frames(video), centred.forward_frames(later)
    assert not torch.equal(before[:, 1], after[:, 1])


@pytest.mark.parametrize("family", ["mstvit", "adapter", "stadapter", "zeroi2v", "mstnet"])
@pytest.mark.parametrize("edges", ["zeros", "replicate"])
@torch.no_grad()
def test_streams_equal_batches(family: str, edges: str) -> None:
    model = _recognizer(family, causal=True, edges=edges, temporal_position=False)
    video = torch.rand(2, 4, 3, 48, 48)
    expected = model.forward_frames(video)
    for streaming in (StreamingClassifier(model), StreamingClassifier(model, optimize=False)):
        state = StreamState(num_streams=3)
        for again in range(2):  # a place that held another stream before
            for place in (2, 0) if again else ():
                state.forget(place)
            got = [streaming(video[:, t], state, places=(2, 0)) for t in range(4)]
            assert relative(torch.stack(got, dim=1), expected) < 1e-5


@pytest.mark.parametrize("family", FAMILIES)
@torch.no_grad()
def test_optimized_they_give_the_same(family: str) -> None:
    model = _recognizer(family)
    video = torch.rand(2, 4, 3, 48, 48)
    fast = optimize_for_inference(model)
    assert relative(fast(video), model(video)) < 1e-4
    assert not [each for each in fast.modules() if isinstance(each, AdaptedLayers)]


def test_what_is_trained_reaches_every_adapter() -> None:
    for family in FAMILIES:
        model = _recognizer(family)
        model(torch.rand(1, 4, 3, 48, 48)).square().sum().backward()
        without = [
            name
            for name, parameter in model.named_parameters()
            if parameter.grad is None or not parameter.grad.any()
        ]
        # Tokens of places do not reach the class token behind the last attention.
        assert [name for name in without if "blocks.5.adapter_mlp" not in name] == [], family


@torch.no_grad()
def test_vectors_of_frames_are_added_to_all_tokens_of_a_frame() -> None:
    model = create_model(
        "tsn_test_vit", num_classes=2, num_frames=4, image_size=48, temporal_position=True
    ).eval()
    position = model.backbone.norm_pre
    position.frames.copy_(torch.randn_like(position.frames))
    plain = copy.deepcopy(model.backbone)
    plain.norm_pre = position.module
    video = torch.rand(4, 3, 48, 48)
    x = plain._pos_embed(plain.patch_embed(video))
    for frame in range(4):
        x[frame] += position.frames[frame]
    expected = plain.forward_head(plain.norm(plain.blocks(plain.norm_pre(x))))
    assert relative(model.backbone(video), expected) < 1e-5
    with pytest.raises(ValueError, match="takes no others"):
        model.set_num_frames(5)


@pytest.mark.parametrize(
    ("name", "norm"),
    [
        ("test_vit", "norm"),
        ("vit_base_patch16_siglip_gap_224", "norm"),
        ("beit_base_patch16_224", "fc_norm"),
    ],
)
@torch.no_grad()
def test_frames_are_averaged_before_the_last_normalisation(name: str, norm: str) -> None:
    network = small(name)
    video, plain = frames(network, name, clips=2), copy.deepcopy(network)
    assert insert_frame_average(network, num_frames=NUM_FRAMES) == norm
    taken: list[Tensor] = []
    plain.get_submodule(norm).register_forward_pre_hook(lambda module, args: taken.append(args[0]))
    alone = plain(video)
    for clip in range(2):
        its_frames = slice(clip * NUM_FRAMES, (clip + 1) * NUM_FRAMES)
        average = sum(taken[0][its_frames])[None] / NUM_FRAMES
        normed = plain.get_submodule(norm)(average)
        expected = plain.forward_head(normed) if norm == "norm" else normed
        for features in network(video)[its_frames]:  # each frame has that of its clip
            assert relative(features, expected[0]) < EXACT
    assert relative(alone, network(video)) > 1e-3


@torch.no_grad()
def test_a_recognizer_that_averages_frames_first_looks_at_whole_clips() -> None:
    model = _recognizer("stadapter", average_before_norm=True)
    video = torch.rand(2, 4, 3, 48, 48)
    assert torch.equal(model.forward_head(model.forward_features(video)), model(video))
    assert relative(optimize_for_inference(model)(video), model(video)) < 1e-4
    with pytest.raises(ValueError, match="looks at all frames of a clip at once"):
        StreamingClassifier(model)
    with pytest.raises(ValueError, match="causal looks back only, and average_before_norm"):
        _recognizer("stadapter", average_before_norm=True, causal=True)
    assert _recognizer("tsn", average_before_norm=True).spec.is_temporal
    model.set_num_frames(2)
    assert model(video[:, :2]).shape == (2, 5)
    with pytest.raises(ValueError, match="found no normalisation behind the blocks of Hiera"):
        insert_frame_average(small("hiera_tiny_224"), num_frames=4)


@torch.no_grad()
def test_the_causal_form_of_it_is_for_streams_and_the_same_on_a_still_clip() -> None:
    model = _recognizer("stadapter", average_before_norm=True)
    for adapter in (each for each in model.modules() if isinstance(each, TemporalAdapter)):
        adapter.up.temporal.weights[0][:, [0, 2]] = 0  # at its edges a clip is not still
    causal = make_causal(model)
    still = torch.rand(1, 1, 3, 48, 48).expand(1, 4, 3, 48, 48)
    assert relative(causal(still), model(still)) < 1e-5
    StreamingClassifier(causal)


def _recognizer(family: str, **settings: object) -> nn.Module:
    torch.manual_seed(0)
    model = create_model(
        f"{family}_test_vit", num_classes=5, num_frames=4, image_size=48, **settings
    ).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("adapter_test_resnet", "found no block of tokens with attention in ResNet"),
        ("aim_test_resnet", "found no block of tokens with attention in ResNet"),
        ("mstvit_test_resnet", "found no attention in ResNet"),
    ],
)
def test_what_cannot_be_made_is_refused_with_the_reason(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        create_model(name, num_classes=2, image_size=64)


def test_attention_over_windows_cannot_run_over_time() -> None:
    network = small("swin_tiny_patch4_window7_224")
    blocks = find_token_blocks(network, image_size=56)
    with pytest.raises(ValueError, match=r"cannot run over the frames of a clip: .* takes no 3"):
        insert_time_attention(network, blocks, num_frames=3)
    assert not [each for each in network.modules() if isinstance(each, TimeAttention)]


def test_a_block_without_a_sum_takes_no_adapter() -> None:
    class Plain(nn.Module):
        def __init__(self, block: nn.Module) -> None:
            super().__init__()
            self.attn, self.mlp = block.attn, block.mlp

        def forward(self, x: Tensor) -> Tensor:
            return self.mlp(self.attn(x))

    network = small("test_vit")
    network.blocks[0] = Plain(network.blocks[0])
    about, *_ = blocks = find_token_blocks(network, image_size=48)
    adapter = TemporalAdapter(64, 32, MixTConv, num_frames=3)
    with pytest.raises(ValueError, match="no sum of its tokens and of a branch with its attention"):
        adapt_stream(network.blocks[0], about, {"attention": adapter})
    named = insert_adapters(network, blocks, MixTConv, num_frames=3)
    assert [name for name in named if name.startswith("blocks.0.")] == []
    assert len(named) == 2 * (len(blocks) - 1)


@pytest.mark.parametrize("family", ["mstvit", "adapter", "mstnet"])
@torch.no_grad()
def test_clips_of_another_length_are_clips_of_their_own(family: str) -> None:
    model = _recognizer(family)
    video = torch.rand(1, 4, 3, 48, 48)
    whole = model.forward_frames(video)
    model.set_num_frames(2)
    halves = model.forward_frames(video.view(2, 2, 3, 48, 48))
    assert not torch.allclose(whole.view_as(halves), halves, atol=1e-4)
    first = model.forward_frames(video[:, :2])
    assert torch.allclose(halves[:1], first, atol=1e-5)


@pytest.mark.parametrize("family", ["mstvit", "mstnet"])
@torch.no_grad()
def test_windows_are_those_of_one_size(family: str) -> None:
    name = f"{family}_maxvit_rmlp_pico_rw_256"  # which takes other sizes, with other windows
    model = create_model(name, num_classes=2, num_frames=2, image_size=64, position="kv").eval()
    assert model(torch.rand(1, 2, 3, 64, 64)).shape == (1, 2)
    with pytest.raises(ValueError, match=r"128 x 128, and the windows of .* are those of 64 x 64"):
        model(torch.rand(1, 2, 3, 128, 128))


def test_vectors_of_frames_go_with_neither_a_head_on_features_nor_streams() -> None:
    for setting in ("temporal_position", "average_before_norm"):
        with pytest.raises(ValueError, match=f"{setting} is inside the blocks of a transformer"):
            create_model("mstnet_test_resnet", num_classes=2, image_size=32, feature_head="average",
                         **{setting: True})  # fmt: skip
    model = create_model("mstvit_test_vit", num_classes=2, image_size=32, temporal_position=True)
    with pytest.raises(ValueError, match="a stream has no clips: train one without it"):
        make_causal(model)
