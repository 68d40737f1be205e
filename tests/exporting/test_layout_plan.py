"""The layouts that are chosen move as little as any choice could."""

from itertools import product

import numpy as np
import pytest
from torch import fx

from mixtconv.exporting.clip_graph import choose_clip_steps


def _random_graph(rng: np.random.Generator) -> list[fx.Node]:
    """Steps of which each takes what one or two before it made."""
    graph = fx.Graph()
    nodes = [graph.placeholder("x")]
    for _ in range(8):
        count = rng.integers(1, min(3, len(nodes) + 1))
        makers = rng.choice(len(nodes), size=count, replace=False)
        nodes.append(graph.call_function(max, tuple(nodes[maker] for maker in makers)))
    return nodes


def _price(nodes: list[fx.Node], clips: set[fx.Node], sizes: dict[fx.Node, int]) -> int:
    return sum(
        1 + sizes[node]
        for node in nodes
        if any((user in clips) != (node in clips) for user in node.users)
    )


@pytest.mark.parametrize("seed", range(12))
def test_no_other_choice_moves_less(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes = _random_graph(rng)
    sizes = {node: int(rng.integers(1, 50_000)) for node in nodes}
    kinds = rng.choice(["frames", "clips", "either"], size=len(nodes), p=[0.3, 0.3, 0.4])
    must = {n for n, kind in zip(nodes, kinds, strict=True) if kind == "clips"}
    may = {n for n, kind in zip(nodes, kinds, strict=True) if kind == "either"}
    chosen = choose_clip_steps(nodes, sizes, must_be_clips=must, may_be_clips=may)
    assert must <= chosen <= must | may
    free = sorted(may, key=lambda node: node.name)
    least = min(
        _price(nodes, must | {n for n, taken in zip(free, taken_of, strict=True) if taken}, sizes)
        for taken_of in product((False, True), repeat=len(free))
    )
    assert _price(nodes, chosen, sizes) == least


def test_an_activation_stays_with_its_convolution() -> None:
    graph = fx.Graph()
    x = graph.placeholder("x")
    conv = graph.call_function(abs, (x,))
    activation = graph.call_function(abs, (conv,))
    temporal = graph.call_function(abs, (activation,))
    nodes = [x, conv, activation, temporal]
    chosen = choose_clip_steps(
        nodes,
        dict.fromkeys(nodes, 1000),
        must_be_clips={temporal},
        may_be_clips={activation},
        joined={activation},
    )
    assert chosen == {temporal}
