"""Which samples an epoch takes, in which order: by seed and epoch alone, sharded over processes."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler


class SampleKey(NamedTuple):
    """A training sample: with the seed, all that it depends on."""

    epoch: int
    number: int
    draw: int = 0
    """How often the epoch has drawn it before: each time it is another clip."""


class EpochSampler(Sampler[SampleKey]):
    """A new order of the samples in every epoch, sharded across processes.

    The order depends only on seed and epoch. All processes get the same number of samples; if these
    do not divide evenly, the first ones of the epoch are repeated.

    Args:
        num_samples: samples of the dataset, and of an epoch.
        seed: seed of the order.
        rank: number of this process, from 0.
        world_size: number of processes.
        labels: (N,), classes of the samples, to draw each class equally often; None draws each
            sample once.
    """

    def __init__(
        self,
        num_samples: int,
        *,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        labels: Sequence[int] | None = None,
    ) -> None:
        self.num_samples = num_samples
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.labels = labels
        self.epoch = 0
        self._done = SampleKey(0, 0)

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def resume_at(self, epoch: int, num_done: int) -> None:
        """Skip the first `num_done` samples of this process in one epoch."""
        self._done = SampleKey(epoch, num_done)

    def __iter__(self) -> Iterator[SampleKey]:
        chance = np.random.default_rng([self.seed, self.epoch])
        if self.labels is None:
            order = [(int(number), 0) for number in chance.permutation(self.num_samples)]
        else:
            order = balanced_order(self.labels, chance)
        num_done = self._done.number if self._done.epoch == self.epoch else 0
        places = range(self.rank, len(self) * self.world_size, self.world_size)
        for place in places[num_done:]:
            yield SampleKey(self.epoch, *order[place % len(order)])  # repeats from the start

    def __len__(self) -> int:
        return math.ceil(self.num_samples / self.world_size)


def balanced_order(labels: Sequence[int], chance: np.random.Generator) -> list[tuple[int, int]]:
    """An order of as many draws as there are samples, in which all classes come equally often.

    Numbers of draws differ by at most one between classes, and between the samples of a class.

    Args:
        labels: (N,), classes of the samples.
        chance: decides which samples of a larger class are left out, and the order.

    Returns:
        (N,): the sample, and how often it was drawn before.

    >>> order = balanced_order([0, 0, 0, 0, 0, 1], np.random.default_rng(0))
    >>> sorted(draw for draw in order if draw[0] == 5)
    [(5, 0), (5, 1), (5, 2)]
    """
    classes = np.unique(labels)
    share, rest = divmod(len(labels), len(classes))
    one_more = set(chance.permutation(classes)[:rest].tolist())
    draws: list[tuple[int, int]] = []
    for label in classes.tolist():
        members = chance.permutation(np.flatnonzero(np.asarray(labels) == label)).tolist()
        draws += [
            (members[number % len(members)], number // len(members))
            for number in range(share + (label in one_more))
        ]
    return [draws[place] for place in chance.permutation(len(draws))]
