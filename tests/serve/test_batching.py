"""Batching: the same results, never more than allowed, an error for its item alone."""

import queue
import threading
import time
from contextlib import closing

import pytest

from mixtconv.serve.batching import Batcher


def held_batcher(**options):
    """A batcher whose first run waits for an event, and the batches that it ran."""
    go, batches = threading.Event(), []

    def run(items):
        batches.append(list(items))
        go.wait(10)
        if "bad" in items:
            raise RuntimeError("bad")
        return [f"<{item}>" for item in items]

    return Batcher(run, **options), go, batches


def first_runs(batches):
    end = time.monotonic() + 5
    while not batches:
        assert time.monotonic() < end
        time.sleep(0.001)


def test_what_comes_while_a_batch_runs_is_the_next_batch() -> None:
    batcher, go, batches = held_batcher(batch_size=3)
    with closing(batcher):
        futures = [batcher.submit("a")]
        first_runs(batches)
        futures += [batcher.submit(item) for item in "bcde"]
        go.set()
        assert [future.result(5) for future in futures] == ["<a>", "<b>", "<c>", "<d>", "<e>"]
    assert batches == [["a"], ["b", "c", "d"], ["e"]]


def test_an_item_waits_for_others_but_not_longer_than_said() -> None:
    with closing(
        Batcher(lambda items: [len(items)] * len(items), batch_size=4, wait_seconds=1)
    ) as batcher:
        started = time.monotonic()
        futures = [batcher.submit(number) for number in range(2)]
        assert [future.result(60) for future in futures] == [2, 2]
        assert time.monotonic() - started >= 1


def test_a_full_batch_does_not_wait() -> None:
    with closing(
        Batcher(lambda items: [len(items)] * len(items), batch_size=4, wait_seconds=60)
    ) as batcher:
        futures = [batcher.submit(number) for number in range(4)]
        assert [future.result(30) for future in futures] == [4] * 4


def test_nobody_waits_where_nobody_else_comes() -> None:
    nobody = {"others_come": lambda: False}
    with closing(Batcher(lambda items: items, batch_size=4, wait_seconds=60, **nobody)) as batcher:
        assert batcher.submit("alone").result(5) == "alone"


def test_an_error_is_that_of_its_item_alone() -> None:
    batcher, go, batches = held_batcher(batch_size=3)
    with closing(batcher):
        first = batcher.submit("a")
        first_runs(batches)
        good, bad, other = (batcher.submit(item) for item in ("b", "bad", "c"))
        go.set()
        assert [future.result(5) for future in (first, good, other)] == ["<a>", "<b>", "<c>"]
        with pytest.raises(RuntimeError, match="bad"):
            bad.result(5)


def test_the_queue_is_bounded_and_what_nobody_waits_for_is_not_run() -> None:
    batcher, go, batches = held_batcher(batch_size=1, max_waiting=2)
    with closing(batcher):
        batcher.submit("a")
        first_runs(batches)
        left, stays = batcher.submit("b"), batcher.submit("c")
        with pytest.raises(queue.Full):
            batcher.submit("d")
        assert left.cancel()
        go.set()
        assert stays.result(5) == "<c>"
    assert batches == [["a"], ["c"]]
    with pytest.raises(queue.Full):
        batcher.submit("e")


def test_closing_runs_what_waits() -> None:
    batcher, go, batches = held_batcher(batch_size=2, wait_seconds=60)
    future = batcher.submit("a")
    go.set()
    batcher.close()
    assert future.result(0) == "<a>" and batches == [["a"]]


def test_a_batch_is_counted_before_its_items_are_answered() -> None:
    submitted, answered = [], []

    def count(size, seconds):
        answered.extend(future.done() for future in submitted)

    batcher, go, _ = held_batcher(batch_size=2, wait_seconds=10, on_batch=count)
    with closing(batcher):
        submitted += [batcher.submit(name) for name in "ab"]
        go.set()
        assert [future.result(10) for future in submitted] == ["<a>", "<b>"]
    assert answered == [False, False]
