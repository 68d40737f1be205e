"""Working on many things in threads."""

import threading
import time
from contextlib import closing

import pytest

from mixtconv.data.parallel import in_parallel


@pytest.mark.parametrize("workers", [1, 3])
def test_every_item_comes_once_with_its_outcome(workers: int) -> None:
    outcomes = list(in_parallel(range(20), lambda number: number * 2, workers=workers))
    assert sorted((item, outcome.result()) for item, outcome in outcomes) == [
        (number, 2 * number) for number in range(20)
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_is_that_of_its_item(workers: int) -> None:
    outcomes = dict(in_parallel([1, 0, 2], lambda number: 1 / number, workers=workers))
    assert isinstance(outcomes[0].exception(), ZeroDivisionError)
    assert outcomes[2].result() == 0.5


def test_a_single_worker_is_the_calling_thread() -> None:
    outcomes = in_parallel(range(3), lambda number: threading.get_ident(), workers=1)
    assert {outcome.result() for _, outcome in outcomes} == {threading.get_ident()}


@pytest.mark.parametrize("workers", [1, 2])
def test_items_are_taken_as_workers_come_free(workers: int) -> None:
    taken = 0

    def items():
        nonlocal taken
        for number in range(100):
            taken += 1
            yield number

    with closing(in_parallel(items(), str, workers=workers)) as outcomes:
        next(outcomes)
        assert taken <= 6


def test_closing_early_stops_what_runs_and_begins_nothing_more() -> None:
    stopped = threading.Event()
    begun = []

    def work(number: int) -> None:
        begun.append(number)
        if number:
            assert stopped.wait(30)

    outcomes = in_parallel(range(50), work, workers=2, on_stop=stopped.set)
    next(outcomes)
    start = time.monotonic()
    outcomes.close()
    assert time.monotonic() - start < 20 and len(begun) <= 5
