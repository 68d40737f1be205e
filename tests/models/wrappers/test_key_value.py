"""Keys and values that hold something of the neighbouring frames, in transformers of every kind."""

import copy
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mixtconv.models import insert_temporal, optimize_for_inference
from mixtconv.models.classifier import VideoClassifier
from mixtconv.models.spec import ModelSpec
from mixtconv.models.streaming import StreamingClassifier, StreamState
from mixtconv.models.structure.attention_sites import find_attention_sites, give_own_bias
from mixtconv.models.systems.factory import build_classifier
from mixtconv.models.wrappers.key_value import KeyValueWrapper

OFFSETS = {1: [0], 3: [-1, 0, 1], 5: [-2, -1, 0, 1, 2], 7: [-3, -2, -1, 0, 1, 2, 3]}


def _close(one: Tensor, other: Tensor, tolerance: float = 1e-5) -> bool:
    return bool((one - other).abs().max() < tolerance * other.abs().max())


def _insert(network: nn.Module, size: int, *, num_frames: int, **options: Any) -> nn.Module:
    """Put the mixed operation in, in double precision."""
    insert_temporal(
        network, position="kv", num_frames=num_frames, image_size=size, in_channels=3, **options
    )
    return network.double()


def _randomize_taps(network: nn.Module) -> None:
    generator = torch.Generator().manual_seed(2)
    for name, taps in network.named_parameters():
        if ".temporal." in name:
            values = torch.randn(taps.shape, generator=generator)
            taps.data = (1 / taps.shape[1] + 0.4 * values).to(taps.dtype)


def _wrappers(network: nn.Module) -> dict[str, KeyValueWrapper]:
    modules = network.named_modules()
    return {name: module for name, module in modules if isinstance(module, KeyValueWrapper)}


def _mixed(clip: np.ndarray, kernels: list[np.ndarray]) -> np.ndarray:
    """Channels (T, places, C) in groups with kernels (C_m, K): the sum over taps, by frames."""
    mixed, first = np.zeros_like(clip), 0
    for kernel in kernels:
        group = slice(first, first + len(kernel))
        first = group.stop
        for t in range(len(clip)):
            for weights, offset in zip(kernel.T, OFFSETS[kernel.shape[1]], strict=True):
                if 0 <= t + offset < len(clip):
                    mixed[t, :, group] += weights * clip[t + offset, :, group]
    return mixed


class _MixedByHand:
    """A hook of a layer of one clip: its result with keys and values mixed over the frames."""

    def __init__(self, wrapper: KeyValueWrapper, num_frames: int) -> None:
        channels, temporal = wrapper.temporal.channels, wrapper.temporal
        of_a_head = "q" * channels.queries + "k" * channels.keys + "v" * channels.values
        self.parts = np.array(list(of_a_head * channels.heads))
        self.kernels = {
            name[0]: [weight.detach().numpy() for weight in operation.weights]
            for name, operation in temporal.named_children()
        }
        self.last, self.num_frames = wrapper.layout.channels_last, num_frames

    def __call__(self, layer: nn.Module, args: Any, given: Tensor) -> Tensor:
        rows = (given if self.last else given.movedim(1, -1)).numpy()
        frames = rows.reshape(self.num_frames, -1, rows.shape[-1]).copy()
        for part, kernels in self.kernels.items():
            of_part = self.parts == part
            frames[..., of_part] = _mixed(frames[..., of_part], kernels)
        mixed = torch.from_numpy(frames.reshape(rows.shape))
        return mixed if self.last else mixed.movedim(-1, 1)


def _classifier(network: nn.Module, size: int, **settings: Any) -> VideoClassifier:
    """A recognizer with the network inside, whose taps are random."""
    spec = ModelSpec("mstvit_x", ("a", "b", "c"), image_size=size, position="kv", **settings)
    model = build_classifier(network, "mstvit", spec).double().eval()
    _randomize_taps(model)
    return model


@torch.no_grad()
def test_identity_kernels_are_the_image_model(transformers: ModuleType, transformer: str) -> None:
    network, frames = transformers.make(transformer), transformers.images(transformer, 4)
    expected, keys = network(frames), set(network.state_dict())
    _insert(network, frames.shape[-1], num_frames=2, init="identity")
    assert _close(network(frames), expected)
    biases = {key for key in keys if key.endswith(("attn.q_bias", "attn.v_bias"))}
    added = {key.replace("q_bias", "qkv.bias") for key in biases if key.endswith("q_bias")}
    now = {key for key in network.state_dict() if ".temporal." not in key}
    assert now == keys - biases | added


@torch.no_grad()
def test_attentions_see_what_loops_over_frames_and_taps_mix(
    transformers: ModuleType, transformer: str
) -> None:
    network, frames = transformers.make(transformer), transformers.images(transformer, 5)
    temporal = _insert(copy.deepcopy(network), frames.shape[-1], num_frames=5)
    _randomize_taps(temporal)
    give_own_bias(network)
    alone = network(frames)
    for name, wrapper in _wrappers(temporal).items():
        network.get_submodule(name).register_forward_hook(_MixedByHand(wrapper, num_frames=5))
    expected = network(frames)
    assert _close(temporal(frames), expected, 1e-6)
    assert not _close(alone, expected, 1e-3), "the operation has no effect"


@torch.no_grad()
def test_a_causal_transformer_on_a_stream_and_optimised_says_the_same(
    transformers: ModuleType, transformer: str
) -> None:
    video = transformers.images(transformer, 1, 4)
    network = transformers.make(transformer)
    model = _classifier(network, video.shape[-1], num_frames=4, causal=True)
    expected = model.forward_frames(video)
    assert expected.std(dim=1).max() > 1e-3, "the frames do not differ"
    changed = video.clone()
    changed[:, 2:] += 1
    again = model.forward_frames(changed)
    assert torch.equal(again[:, :2], expected[:, :2])
    assert not _close(again[:, 2], expected[:, 2])
    streaming, state = StreamingClassifier(model, optimize=False), StreamState(1)
    stream = [streaming(video[:, t], state) for t in range(4)]
    assert _close(torch.stack(stream, dim=1), expected)
    fast = optimize_for_inference(model)
    assert _close(fast.forward_frames(video), expected)


@pytest.mark.parametrize("name", ["vit-registers", "eva", "eva-dinov3", "swin", "levit"])
def test_a_token_meets_its_namesakes_in_other_frames_and_no_other_token(
    transformers: ModuleType, name: str
) -> None:
    network, frames = transformers.make(name), transformers.images(name, 8)
    _insert(network, frames.shape[-1], num_frames=8)
    _randomize_taps(network)
    wrapper, given = next(iter(_wrappers(network).values())), []
    wrapper.register_forward_pre_hook(lambda module, args: given.append(args[0]))
    with torch.no_grad():
        network(frames)
    tokens = given[0].clone().requires_grad_()
    mixed = wrapper(tokens)
    per_frame = len(mixed) // 8  # windows
    for token in (0, 1, mixed.shape[1] - 1):  # class or register tokens, patches
        (gradient,) = torch.autograd.grad(
            mixed[3 * per_frame, token].sum(), tokens, retain_graph=True
        )
        met = gradient.abs().sum(-1).unflatten(0, (8, per_frame)) > 0  # frames, windows, tokens
        assert met[:7, 0, token].all(), "kernels of 7 frames around frame 3"
        assert met.sum() == 7


@pytest.mark.parametrize("name", ["vit-clip", "eva", "levit", "gemma4"])
def test_gradients_reach_every_tap(transformers: ModuleType, name: str) -> None:
    network, frames = transformers.make(name), transformers.images(name, 7)
    _insert(network, frames.shape[-1], num_frames=7).train()
    network(frames).pow(2).sum().backward()
    taps = {key: each.grad for key, each in network.named_parameters() if ".temporal." in key}
    assert taps
    for key, gradient in taps.items():
        assert gradient is not None and (gradient != 0).all(), key


@pytest.mark.parametrize("name", ["eva", "beit", "swin-v2", "eva-dinov3"])
@torch.no_grad()
def test_biases_of_an_attention_become_those_of_its_layer(
    transformers: ModuleType, name: str
) -> None:
    network, frames = transformers.make(name).float(), transformers.images(name, 2).float()
    expected = network(frames)
    assert not find_attention_sites(network, image_size=frames.shape[-1])
    give_own_bias(network)
    assert torch.equal(network(frames), expected)
    sites = find_attention_sites(network, image_size=frames.shape[-1])
    assert len(sites) == sum("qkv" in dict(each.named_children()) for each in network.modules())


class _Attention(nn.Module):
    """One head on images of 4 x 4 places."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)

    def project(self, x: Tensor) -> Tensor:
        return self.qkv(x)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.project(x.flatten(2).mT).chunk(3, dim=-1)
        return F.scaled_dot_product_attention(query, key, value).mean(1)


class _Bypassed(_Attention):
    def project(self, x: Tensor) -> Tensor:
        return F.linear(x, self.qkv.weight, self.qkv.bias)


class _BypassedLater(_Attention):
    """Calls its layer only as long as nothing is around it."""

    def project(self, x: Tensor) -> Tensor:
        if type(self.qkv) is nn.Linear:
            return self.qkv(x)
        return F.linear(x, self.qkv.weight, self.qkv.bias)


class _Blocks(nn.Module):
    def __init__(self, *attentions: nn.Module) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(attentions)

    def forward(self, x: Tensor) -> Tensor:
        return sum(attention(x) for attention in self.blocks)


def _into(network: nn.Module, operation: str = "mixtconv") -> None:
    insert_temporal(network, operation, num_frames=4, position="kv", image_size=4, in_channels=8)


def test_an_attention_that_goes_past_its_layer_is_no_place() -> None:
    network = _Blocks(_Attention(), _Bypassed())
    _into(network)
    assert list(_wrappers(network)) == ["blocks.0.qkv"]
    with pytest.raises(ValueError, match=r"^found no attention in _Blocks.*qkv, kv, or k_proj.*$"):
        _into(_Blocks(_Bypassed()))


def test_one_that_goes_past_the_operation_is_named_and_nothing_is_left_behind() -> None:
    network = _Blocks(_Attention(), _BypassedLater())
    keys = list(network.state_dict())
    with pytest.raises(ValueError, match=r"^_Blocks does not call blocks\.1\.qkv once .*$"):
        _into(network)
    assert not _wrappers(network) and list(network.state_dict()) == keys


def test_operations_that_mix_channels_are_refused() -> None:
    with pytest.raises(ValueError, match="give a depthwise operation"):
        insert_temporal(
            _Blocks(_Attention()),
            "conv1d",
            num_frames=4,
            position="kv",
            image_size=4,
            in_channels=8,
        )
