"""The measuring harness, with a clock that the test moves."""

import gc
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from mixtconv.benchmarks import timing
from mixtconv.benchmarks.timing import (
    Comparison,
    Timing,
    compare_in_groups,
    grouped_name,
    interleave,
    running_order,
)


class Clock:
    """A clock that stands still but for what candidates take."""

    def __init__(self):
        self.now = 0.0
        self.log = []

    def __call__(self):
        return self.now

    def candidate(self, name, durations):
        """Takes the next of `durations` each time that it runs."""
        left = iter(durations)

        def run():
            self.log.append(name)
            self.now += next(left)

        return run


@pytest.mark.parametrize("num_candidates", range(1, 9))
def test_places_and_neighbours_are_balanced(num_candidates):
    num_rounds = num_candidates * (1 + num_candidates % 2)
    orders = [running_order(num_candidates, number) for number in range(num_rounds)]
    everybody = list(range(num_candidates))
    assert all(sorted(order) == everybody for order in orders)
    for place in everybody:
        counts = Counter(order[place] for order in orders)
        assert [counts[index] for index in everybody] == [num_rounds / num_candidates] * len(counts)
    neighbours = Counter(pair for order in orders for pair in pairwise(order))
    assert len(neighbours) == num_candidates * (num_candidates - 1)
    assert len(set(neighbours.values())) <= 1


def test_every_candidate_runs_once_a_round_in_the_order_of_the_round():
    clock = Clock()
    names = ["a", "b", "c", "d"]
    interleave({name: clock.candidate(name, [1.0] * 6) for name in names}, rounds=5, clock=clock)
    rounds = [clock.log[start : start + 4] for start in range(0, 24, 4)]
    expected = [[names[index] for index in running_order(4, number)] for number in range(-1, 5)]
    assert rounds == expected


@pytest.mark.parametrize("rounds", [1, 2, 5, 12])
def test_median_and_quartiles_are_those_of_the_rounds_without_the_warm_up(rounds):
    clock = Clock()
    durations = np.random.default_rng(0).uniform(1, 2, size=rounds + 2)
    other = clock.candidate("other", [7.0] * (rounds + 2))
    candidates = {"other": other, "one": clock.candidate("one", durations)}
    result = interleave(candidates, rounds=rounds, warmup=2, clock=clock)[1]
    quartiles = np.quantile(durations[2:], [0.25, 0.5, 0.75])
    measured = [result.low_seconds, result.median_seconds, result.high_seconds]
    assert (result.name, result.rounds) == ("one", rounds)
    np.testing.assert_allclose(measured, quartiles)


def test_a_turn_of_several_runs_in_a_row_counts_for_one_of_them():
    clock = Clock()
    candidates = {
        name: clock.candidate(name, [9.0, 9.0, 9.0, 1.0, 2.0, 6.0]) for name in ("one", "other")
    }
    results = interleave(candidates, rounds=1, repeats=3, clock=clock)
    assert [result.seconds for result in results] == [(3.0,), (3.0,)]
    turns = [clock.log[start : start + 3] for start in range(0, 12, 3)]
    assert all(len(set(turn)) == 1 for turn in turns)


def test_what_runs_before_each_candidate_is_not_timed():
    clock = Clock()
    before = clock.candidate("before", [100.0] * 4)
    candidates = {name: clock.candidate(name, [1.0, 2.0]) for name in "ab"}
    results = interleave(candidates, rounds=1, clock=clock, before_each=before)
    assert [result.seconds for result in results] == [(2.0,), (2.0,)]
    assert clock.log[::2] == ["before"] * 4


def test_the_device_is_waited_for_before_the_clock_is_read(monkeypatch):
    log = []
    monkeypatch.setitem(timing._WAIT, "cpu", lambda device: log.append("wait"))

    def clock():
        log.append("clock")
        return float(len(log))

    interleave({"a": lambda: log.append("run")}, rounds=1, warmup=0, clock=clock)
    assert log == ["wait", "clock", "run", "wait", "clock"]


def test_garbage_is_not_collected_while_the_clock_runs():
    enabled = []
    interleave({"a": lambda: enabled.append(gc.isenabled())}, rounds=2)
    assert enabled == [False] * 3
    assert gc.isenabled()

    def fail():
        raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        interleave({"a": fail}, rounds=1)
    assert gc.isenabled()


def test_progress_counts_the_rounds_and_the_warm_up():
    seen = []
    interleave({"a": list}, rounds=2, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_no_rounds_are_refused():
    with pytest.raises(ValueError, match="--rounds is 0; give 1 or more"):
        interleave({"a": list}, rounds=0)


def test_a_machine_that_slows_down_leaves_the_ratio_alone():
    slowness = np.array([1.0, 50.0, 3.0, 1.0, 9.0])
    ours, theirs = Timing("ours", tuple(2 * slowness)), Timing("theirs", tuple(5 * slowness))
    comparison = Comparison("task", "theirs", (ours, theirs))
    assert comparison.ratio(ours) == pytest.approx(0.4)
    assert comparison.ratio(theirs) == 1
    assert comparison.ratio(theirs, to="ours") == pytest.approx(2.5)


def test_a_ratio_is_the_median_of_the_rounds_ratios():
    ours, theirs = Timing("ours", (3.0, 1.0, 10.0)), Timing("theirs", (1.0, 2.0, 20.0))
    comparison = Comparison("task", "theirs", (ours, theirs))
    assert comparison.ratio(ours) == 0.5  # of 3, 0.5 and 0.5; the medians' would be 1.5


def test_json_has_medians_and_a_ratio_to_every_reference():
    timings = (Timing("a", (1.0, 3.0)), Timing("b", (2.0, 6.0)), Timing("c", (4.0, 12.0)))
    comparison = Comparison("task", "b", timings, notes=("quiet",), references=("c",))
    first = comparison.to_dict()["candidates"][0]
    assert first == {
        "name": "a",
        "rounds": 2,
        "median_seconds": 2.0,
        "low_seconds": 1.5,
        "high_seconds": 2.5,
        "ratios": {"b": 0.5, "c": 0.25},
    }
    assert comparison.to_dict()["notes"] == ["quiet"]


def test_a_ratio_of_a_group_is_to_its_first_candidate_and_to_one_for_all_groups():
    groups = {"eager": ["TSN", "MSTNet"], "optimised": ["TSN", "TSM", "MSTNet"]}
    seconds = {
        grouped_name(name, group): float(number)
        for number, (group, name) in enumerate(
            ((group, name) for group, names in groups.items() for name in names), start=3
        )
    }
    reference = grouped_name("MSTNet", "eager")
    timings = [Timing(name, (taken,)) for name, taken in seconds.items()]
    comparisons = compare_in_groups(timings, groups, task="running", reference=reference)
    for (group, names), comparison in zip(groups.items(), comparisons, strict=True):
        assert group in comparison.title
        first, *_ = members = [grouped_name(name, group) for name in names]
        rows = {row["name"]: row["ratios"] for row in comparison.to_dict()["candidates"]}
        assert set(rows) == {*members, reference}
        for name, ratios in rows.items():
            expected = {other: seconds[name] / seconds[other] for other in (first, reference)}
            assert ratios == pytest.approx(expected)
