"""A balanced epoch: equal classes, even videos, by seed and epoch alone, sharded and resumed."""

from collections import Counter

import numpy as np
import pytest

from mixtconv.data.epoch_sampler import EpochSampler, SampleKey

LABELS = [0] * 13 + [1] * 4 + [3] * 1 + [4] * 6


def _epoch(sampler: EpochSampler, epoch: int) -> list[SampleKey]:
    sampler.set_epoch(epoch)
    return list(sampler)


def _sampler(rank: int = 0, world_size: int = 1, *, seed: int = 5) -> EpochSampler:
    return EpochSampler(len(LABELS), seed=seed, rank=rank, world_size=world_size, labels=LABELS)


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_classes_come_equally_often_and_so_do_the_videos_of_each(epoch: int) -> None:
    keys = _epoch(_sampler(), epoch)
    assert len(keys) == len(_sampler()) == len(LABELS)
    by_class = Counter(LABELS[key.number] for key in keys)
    assert set(by_class) == set(LABELS)
    assert max(by_class.values()) - min(by_class.values()) <= 1
    by_video = Counter(key.number for key in keys)
    for label in set(LABELS):
        numbers = [by_video[number] for number, own in enumerate(LABELS) if own == label]
        assert max(numbers) - min(numbers) <= 1
    assert len(set(keys)) == len(keys)  # a video that comes again is another draw of it
    for number, count in by_video.items():
        assert {key.draw for key in keys if key.number == number} == set(range(count))


def test_every_video_of_a_large_class_is_drawn_in_time() -> None:
    drawn = {key.number for epoch in range(20) for key in _epoch(_sampler(), epoch)}
    assert drawn == set(range(len(LABELS)))


def test_an_epoch_depends_on_seed_and_epoch_alone() -> None:
    np.random.seed(1)
    first = _epoch(_sampler(), 3)
    np.random.seed(2)
    fresh = _sampler()
    _epoch(fresh, 0)
    assert _epoch(fresh, 3) == first
    assert _epoch(_sampler(), 4) != first and _epoch(_sampler(seed=6), 3) != first


@pytest.mark.parametrize("world_size", [2, 5])
def test_processes_share_one_order(world_size: int) -> None:
    whole = _epoch(_sampler(), 2)
    shares = [_epoch(_sampler(rank, world_size), 2) for rank in range(world_size)]
    joined = [key for keys in zip(*shares, strict=True) for key in keys]
    assert joined[: len(whole)] == whole
    assert joined[len(whole) :] == whole[: len(joined) - len(whole)]


def test_a_resumed_epoch_goes_on_where_it_was() -> None:
    whole = _epoch(_sampler(1, 2), 2)
    resumed = _sampler(1, 2)
    resumed.resume_at(2, 5)
    assert _epoch(resumed, 2) == whole[5:]
    assert _epoch(resumed, 3) == _epoch(_sampler(1, 2), 3)
