"""Which channels of a layer are queries, keys and values, told by gradients of the attention alone.

Two facts hold whatever an attention normalises, rotates or biases:

- a query matters to its own place in the result; a key or value to every place that looks at it;
- where all values are zero, no key matters, and every value does.

Attentions among channels look from channel to channel, and have facts of their own.
"""

from types import ModuleType

import torch
from torch import Tensor, nn

from mixtconv.models.structure.attention_sites import (
    ProjectedChannels,
    Projection,
    find_attention_sites,
    give_own_bias,
)

AMONG_CHANNELS = {
    "XCA": "values",
    "CrossCovarianceAttn": "values",
    "ChannelAttentionV2": "values",
    "ChannelAttention": "queries",
    "LinearSelfAttention": "values",
}
"""Kind of attention among channels, and which part matters to its own place alone."""

BEFORE_RELU = {"shvit": 3.0, "efficientvit-msra": 3.0}
"""Networks that cut off what is below zero after the attention, and values that are above."""


class _Alone:
    """One layer of an attention, which runs by itself on what it was given in the network."""

    def __init__(self, network: nn.Module, projection: Projection, images: Tensor) -> None:
        self.projection = projection
        self.layer = network.get_submodule(projection.module)
        names = projection.module.rpartition(".")[0], projection.module.rpartition(".qkvs.")[0]
        self.attention = network.get_submodule(names[1] or names[0])
        calls = []
        handles = [
            self.attention.register_forward_pre_hook(
                lambda module, args, named: calls.append((args, named)), with_kwargs=True
            ),
            self.layer.register_forward_hook(lambda module, args, given: calls.append(given)),
        ]
        with torch.no_grad():
            network(images)
        for handle in handles:
            handle.remove()
        (self.args, self.named), self.given = calls[:2]

    def __call__(self, given: Tensor) -> Tensor:
        """The attention's result if the layer gives this."""
        handle = self.layer.register_forward_hook(lambda module, args, _: given)
        try:
            result = self.attention(*self.args, **self.named)
            return result[0] if isinstance(result, tuple) else result
        finally:
            handle.remove()

    def parts(self) -> Tensor:
        """For each channel of the layer whether it is said to be of queries 0, keys 1, values 2."""
        each: ProjectedChannels = self.projection.channels
        of_a_head = [0] * each.queries + [1] * each.keys + [2] * each.values
        return torch.tensor(of_a_head * each.heads)

    def places(self, x: Tensor) -> Tensor:
        """Channels last, places in a row."""
        is_map = not self.projection.layout.channels_last or x.shape[1] > x.shape[-1]
        return (x.movedim(1, -1) if x.ndim == 4 and is_map else x).flatten(0, -2)

    def in_rows(self, channels: Tensor) -> Tensor:
        """A number for each channel, to be multiplied with what the layer gives."""
        last = self.projection.layout.channels_last
        return channels if last else channels.view(-1, *(1,) * (self.given.ndim - 2))

    def by_channel(self, gradient: Tensor) -> Tensor:
        """Gradient by what the layer gives: (places, channels)."""
        last = self.projection.layout.channels_last
        return (gradient if last else gradient.movedim(1, -1)).flatten(0, -2)

    def reach(self, given: Tensor) -> Tensor:
        """For each channel, how many places of the result depend on one place of the layer's."""
        given = given.clone().requires_grad_()
        result = self.places(self(given))
        weights = torch.randn(result.shape[-1], dtype=result.dtype)
        counts: Tensor = torch.zeros(())
        for place in result[:64] @ weights:
            (gradient,) = torch.autograd.grad(place, given, retain_graph=True)
            counts = counts + (self.by_channel(gradient) != 0).long()
        return counts.amax(0)

    def influence(self, given: Tensor) -> Tensor:
        """For each channel the largest gradient of the result."""
        given = given.clone().requires_grad_()
        result = self(given)
        (gradient,) = torch.autograd.grad((result * torch.randn_like(result)).sum(), given)
        return self.by_channel(gradient).abs().amax(0)


def _found(transformers: ModuleType, name: str) -> tuple[nn.Module, list[Projection]]:
    """A network, and of each kind of attention the layers of one."""
    network = transformers.make(name)
    give_own_bias(network)
    size = transformers.SIZES.get(name, 64)
    kinds = {}
    for site in find_attention_sites(network, image_size=size):
        owner = network.get_submodule(site.projections[0].module.rpartition(".")[0])
        kinds.setdefault((type(owner), site.projections[0].layout.parts > 1), site.projections)
    return network, [each for projections in kinds.values() for each in projections]


def test_queries_keys_and_values_are_what_gradients_say(
    transformers: ModuleType, transformer: str
) -> None:
    network, projections = _found(transformers, transformer)
    assert projections
    images = transformers.images(transformer, 1)
    value = BEFORE_RELU.get(transformer, 0.0)
    for projection in projections:
        if ".qkvs." in projection.module and not projection.module.endswith(".qkvs.1"):
            continue  # what the first head gives is the input of the next
        alone = _Alone(network, projection, images)
        kind, parts = type(alone.attention).__name__, alone.parts()
        assert len(parts) == alone.by_channel(alone.given).shape[1]
        is_value = alone.in_rows((parts == 2).to(alone.given.dtype))
        reach = alone.reach(alone.given + value * is_value)
        if kind in AMONG_CHANNELS:
            local = parts == (2 if AMONG_CHANNELS[kind] == "values" else 0)
            assert reach[local].max() == 1 < reach[~local].max()
            continue
        assert (reach[parts > 0] == reach.max()).all()
        assert (reach[parts == 0] < reach.max()).all()
        if projection.channels.keys and projection.channels.values:
            gradient = alone.influence(alone.given * (1 - is_value) + value * is_value)
            assert gradient[parts == 1].max() < 1e-9 * gradient[parts == 2].min()
