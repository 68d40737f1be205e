"""Interleaved timing: candidates run in turn in one process, so that noise affects all equally.

The speed of a machine changes while it is measured. Candidates therefore run in rounds, each once a
round, and a ratio is taken inside every round before the median over the rounds. The order changes
from round to round as in a Williams design: the state of caches and allocator that one candidate
leaves behind is met by every other one equally often.

`interleave` measures; `Comparison` has the ratios; `compare_in_groups` makes one for each treatment
of the same networks.
"""

import gc
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch

from mixtconv._types import Progress
from mixtconv.benchmarks.memory import MemoryComparison

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Timing:
    """Times of one candidate, round by round."""

    name: str
    """Name of the candidate."""
    seconds: tuple[float, ...]
    """Time of each round."""

    @property
    def rounds(self) -> int:
        """Number of rounds."""
        return len(self.seconds)

    @property
    def median_seconds(self) -> float:
        """Median over the rounds."""
        return median(self.seconds)

    @property
    def low_seconds(self) -> float:
        """Lower quartile of the rounds."""
        return float(np.quantile(self.seconds, 0.25))

    @property
    def high_seconds(self) -> float:
        """Upper quartile of the rounds."""
        return float(np.quantile(self.seconds, 0.75))

    def to_dict(self) -> dict[str, Any]:
        """Rounds and times, as JSON holds them."""
        names = ("rounds", "median_seconds", "low_seconds", "high_seconds")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Comparison:
    """Candidates that ran in the same rounds, and the baseline of their ratios."""

    title: str
    """The task."""
    baseline: str
    """Candidate that the others are compared with."""
    timings: tuple[Timing, ...]
    """One for each candidate, all of the same rounds."""
    notes: tuple[str, ...] = ()
    """Remarks for the reader."""
    references: tuple[str, ...] = ()
    """Further candidates to compare with."""

    def timing(self, name: str) -> Timing:
        """The timing of a candidate."""
        return next(timing for timing in self.timings if timing.name == name)

    def ratio(self, timing: Timing, *, to: str | None = None) -> float:
        """Time as a multiple of another candidate's, by default the baseline's.

        The median over the rounds of the ratio inside each round.

        >>> timings = (Timing("ours", (1.0, 4.0, 9.0)), Timing("theirs", (2.0, 8.0, 9.0)))
        >>> Comparison("a task", "theirs", timings).ratio(timings[0])
        0.5
        """
        other = self.timing(to or self.baseline)
        return median(
            mine / theirs for mine, theirs in zip(timing.seconds, other.seconds, strict=True)
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "title": self.title,
            "baseline": self.baseline,
            "candidates": [
                {
                    "name": timing.name,
                    **timing.to_dict(),
                    "ratios": {
                        name: self.ratio(timing, to=name)
                        for name in (self.baseline, *self.references)
                    },
                }
                for timing in self.timings
            ],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Measured:
    """The figures of one benchmark."""

    times: tuple[Comparison, ...]
    """Times of the candidates."""
    memory: tuple[MemoryComparison, ...] = ()
    """Their peak memory."""
    details: tuple[Comparison, ...] = ()
    """Parts that the times are sums of."""


def interleave(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warmup: int = 1,
    repeats: int = 1,
    device: torch.device = CPU,
    clock: Callable[[], float] = time.perf_counter,
    before_each: Callable[[], object] = lambda: None,
    progress: Progress | None = None,
) -> list[Timing]:
    """Time candidates in rounds, each once a round, in an order that changes between rounds.

    Args:
        candidates: name -> what to run.
        rounds: timed rounds; a multiple of twice the number of candidates gives every candidate
            every place and every neighbour equally often.
        warmup: rounds before them that are not timed.
        repeats: consecutive runs of a candidate in its turn, 1 or more; the time is their mean.
        device: device of the candidates, synchronized before the clock is read.
        clock: seconds.
        before_each: run before every candidate and not timed, for instance to put the same data
            into the caches.
        progress: called after every round.

    Returns:
        One timing a candidate, in the order given.

    Raises:
        ValueError: fewer than 1 round.

    >>> timings = interleave({"a": list, "b": dict}, rounds=3)
    >>> [(timing.name, timing.rounds) for timing in timings]
    [('a', 3), ('b', 3)]
    """
    if rounds < 1:
        raise ValueError(f"--rounds is {rounds}; give 1 or more")
    names = list(candidates)
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with _no_garbage_collection():
        for number in range(-warmup, rounds):
            for index in running_order(len(names), number):
                name = names[index]
                before_each()
                taken = _measure(candidates[name], repeats, device, clock)
                if number >= 0:
                    seconds[name].append(taken)
            if progress is not None:
                progress(number + warmup + 1, rounds + warmup)
    return [Timing(name, tuple(seconds[name])) for name in names]


def running_order(num_candidates: int, number: int) -> list[int]:
    """Order of the candidates in a round: a Williams design, balanced in positions and neighbours.

    A zigzag through the candidates has every distance between neighbours once; rotating it by one
    each round puts every candidate in every position. Odd numbers need all rounds reversed too.

    >>> [running_order(4, number) for number in range(4)]
    [[0, 3, 1, 2], [1, 0, 2, 3], [2, 1, 3, 0], [3, 2, 0, 1]]
    """
    zigzag = [
        place // 2 if place % 2 == 0 else num_candidates - 1 - place // 2
        for place in range(num_candidates)
    ]
    order = [(index + number) % num_candidates for index in zigzag]
    backwards = num_candidates % 2 == 1 and (number // num_candidates) % 2 == 1
    return order[::-1] if backwards else order


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished all its work."""
    _WAIT[device.type](device)


_WAIT: dict[str, Callable[[torch.device], None]] = {
    "cpu": lambda device: None,
    "cuda": torch.cuda.synchronize,
    "mps": lambda device: torch.mps.synchronize(),
}


def _measure(
    candidate: Callable[[], object], repeats: int, device: torch.device, clock: Callable[[], float]
) -> float:
    synchronize(device)
    start = clock()
    for _ in range(repeats):
        result = candidate()
    synchronize(device)
    taken = clock() - start
    del result  # freed outside of the measured time, before the next candidate starts
    return taken / repeats


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Collect garbage before a measurement and not during it."""
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def compare_in_groups(
    timings: Sequence[Timing],
    groups: Mapping[str, Sequence[str]],
    *,
    task: str,
    reference: str,
    notes: tuple[str, ...] = (),
) -> tuple[Comparison, ...]:
    """One comparison for each group: with the group's first candidate, and with one for all groups.

    Args:
        timings: of candidates named by `grouped_name`, all of the same rounds.
        groups: treatment -> names of the candidates that get it.
        task: the task, for the titles.
        reference: full name of the candidate that is compared with in every group.
        notes: remarks for the reader.
    """
    by_name = {timing.name: timing for timing in timings}
    comparisons = []
    for group, names in groups.items():
        members = [grouped_name(name, group) for name in names]
        comparisons.append(
            Comparison(
                title=f"{task}, {group}",
                baseline=members[0],
                timings=tuple(by_name[name] for name in dict.fromkeys([*members, reference])),
                notes=notes,
                references=(reference,),
            )
        )
    return tuple(comparisons)


def grouped_name(name: str, group: str) -> str:
    """Full name of a candidate, unique among all groups."""
    return f"{name}, {group}"
