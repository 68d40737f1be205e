"""Temporal relations against explicit loops, and which subsets of frames they look at."""

from itertools import combinations
from math import comb

import numpy as np
import pytest
import torch

from mixtconv.models import create_model
from mixtconv.models.systems.relation import RelationHead, random_subsets, spread_subsets, subset_at


@pytest.mark.parametrize(("size", "num_frames"), [(2, 4), (3, 5), (7, 8), (8, 8), (1, 3)])
def test_subsets_are_in_lexicographic_order(size: int, num_frames: int) -> None:
    expected = list(combinations(range(num_frames), size))
    assert [subset_at(rank, size, num_frames) for rank in range(len(expected))] == expected


@pytest.mark.parametrize("choose", [spread_subsets, random_subsets])
@pytest.mark.parametrize("num_frames", [2, 3, 8, 64])
def test_three_different_subsets_in_the_order_of_time(choose, num_frames: int) -> None:
    for size in range(2, num_frames + 1):
        chosen = choose(size, num_frames)
        assert len(set(chosen)) == len(chosen) == min(3, comb(num_frames, size))
        for subset in chosen:
            assert len(subset) == size and list(subset) == sorted(set(subset))
            assert subset[0] >= 0 and subset[-1] < num_frames


def test_spread_subsets_come_from_each_third() -> None:
    order = list(combinations(range(8), 4))
    places = [order.index(subset) for subset in spread_subsets(4, 8)]
    assert [3 * place // len(order) for place in places] == [0, 1, 2]


def test_the_head_is_what_loops_say() -> None:
    head = RelationHead(6, 3, 4, frame_features=5, hidden=7).eval()
    features = torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0))
    state = {key: value.numpy() for key, value in head.state_dict().items()}

    def layer(name: str, x: np.ndarray) -> np.ndarray:
        return state[f"{name}.weight"] @ x + state[f"{name}.bias"]

    expected = np.zeros((2, 3))
    for clip in range(2):
        for size in (4, 3, 2):
            for subset in spread_subsets(size, 4):
                parts = [layer("reduce", features[clip, frame].numpy()) for frame in subset]
                joined = np.maximum(np.concatenate(parts), 0)
                hidden = np.maximum(layer(f"relations.{size}.1", joined), 0)
                expected[clip] += layer(f"relations.{size}.3", hidden)
    np.testing.assert_allclose(head(features).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


def test_chance_in_training_alone_and_by_torchs_seed() -> None:
    head = RelationHead(6, 3, 8)
    features = torch.randn(1, 8, 6, generator=torch.Generator().manual_seed(0))

    def logits(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return head(features)

    assert torch.equal(logits(1), logits(1))
    assert not torch.equal(logits(1), logits(2))
    head.eval()
    assert torch.equal(logits(1), logits(2))


def test_a_clip_is_told_from_its_reverse_and_one_length_is_taken() -> None:
    model = create_model("trn_test_resnet", 3, num_frames=4, image_size=32).eval()
    clips = torch.randn(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    assert not torch.allclose(model(clips), model(clips.flip(1)), atol=1e-6)
    with pytest.raises(ValueError, match=r"clips of 8 frames, the model takes 4: sample as many$"):
        model(torch.zeros(1, 8, 3, 32, 32))
    with pytest.raises(ValueError, match="made for clips of 4 frames"):
        model.set_num_frames(8)
    with pytest.raises(ValueError, match="num_frames is 1, give 2 or more"):
        create_model("trn_test_resnet", 3, num_frames=1)
