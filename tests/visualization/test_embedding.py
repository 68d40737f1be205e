"""The choice of clips, and t-SNE on features of every kind."""

import numpy as np
import pytest

from mixtconv.visualization.embedding import (
    choose_clips,
    embed,
    fitting_perplexity,
    neighbourhood_accuracy,
)


def test_of_very_many_clips_every_class_keeps_its_share() -> None:
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [150_000, 49_000, 1_000]))
    chosen = choose_clips(labels, limit=2000, seed=1)
    assert len(chosen) == len(set(chosen.tolist())) == 2000
    assert (np.diff(chosen) > 0).all()
    assert np.abs(np.bincount(labels[chosen]) - [1500, 490, 10]).max() <= 1
    assert not np.array_equal(chosen, choose_clips(labels, limit=2000, seed=2))
    assert np.array_equal(chosen, choose_clips(labels, limit=2000, seed=1))
    assert choose_clips([1, 0, 1], limit=3).tolist() == [0, 1, 2]


def test_groups_that_are_apart_stay_apart_whatever_the_scale() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(3), 20)
    features = 10 * np.eye(3, 64)[labels] + rng.normal(0, 0.5, (60, 64))
    for scale in (1e-4, 1, 1e4):
        points = embed((scale * features).astype(np.float32), perplexity=10)
        assert points.shape == (60, 2)
        assert neighbourhood_accuracy(points, labels, metric="euclidean") == 100


def test_the_same_seed_gives_the_same_map() -> None:
    features = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    assert np.array_equal(embed(features, seed=3), embed(features, seed=3))


@pytest.mark.parametrize("shape", [(1, 8), (2, 8), (3, 8), (4, 1), (9, 2)])
@pytest.mark.filterwarnings("error")
def test_few_clips_have_a_map(shape: tuple[int, int]) -> None:
    points = embed(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    assert points.shape == (shape[0], 2) and np.isfinite(points).all()


@pytest.mark.filterwarnings("error")
def test_clips_that_are_all_the_same_lie_in_one_place() -> None:
    assert not embed(np.ones((5, 4), np.float32)).any()


def test_perplexity_fits_the_clips() -> None:
    assert fitting_perplexity(4000, 30) == 30
    assert fitting_perplexity(10, 30) == 3
    assert fitting_perplexity(1, 30) > 0


def test_what_has_no_map_is_refused() -> None:
    with pytest.raises(ValueError, match="diverged"):
        embed(np.full((3, 2), np.nan))
    with pytest.raises(ValueError, match="--perplexity is 0"):
        embed(np.eye(3), perplexity=0)
    with pytest.raises(ValueError, match="give 1 or more"):
        choose_clips([0, 1], limit=0)
