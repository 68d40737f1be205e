"""The usable processor cores, and working on many items in threads.

Threads suffice, since the work is done in FFmpeg, Pillow or OpenCV, which release the lock of the
interpreter.
"""

import os
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class WorkersDiedError(Exception):
    """An item was given up because processes died repeatedly while working on it."""


def usable_cores() -> int:
    """Processor cores that this process may use: in a container perhaps not all."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)


def in_parallel(
    items: Iterable[Item],
    work: Callable[[Item], Outcome],
    *,
    workers: int,
    on_stop: Callable[[], None] = lambda: None,
    in_order: bool = False,
) -> Generator[tuple[Item, "Future[Outcome]"], None, None]:
    """Work on all items in threads and yield each with its outcome, in the order of completion.

    The arguments are those of `workers.map_videos`; with `in_order` the order is that of the items,
    and an item that takes long keeps further ones from being started. Items are taken as workers
    become free; a single worker is the calling thread itself. If the generator is closed early (as
    by Ctrl-C), no further item is started.

    >>> outcomes = in_parallel([1, 2, 3], lambda number: number**2, workers=2)
    >>> sorted((item, outcome.result()) for item, outcome in outcomes)
    [(1, 1), (2, 4), (3, 9)]
    """
    if workers == 1:
        for item in items:
            yield item, run(work, item)
        return
    todo = iter(items)
    running: dict[Future[Outcome], Item] = {}
    pool = ThreadPoolExecutor(workers)
    try:
        while True:
            for item in islice(todo, 2 * workers - len(running)):
                running[pool.submit(work, item)] = item
            if not running:
                return
            first = [next(iter(running))] if in_order else running
            for outcome in wait(first, return_when=FIRST_COMPLETED).done:
                yield running.pop(outcome), outcome
    finally:
        on_stop()
        pool.shutdown(cancel_futures=True)


def run(work: Callable[[Item], Outcome], item: Item) -> "Future[Outcome]":
    """The outcome of the work on one item, done now: its value or what it raised."""
    outcome: Future[Outcome] = Future()
    try:
        outcome.set_result(work(item))
    except Exception as error:  # raised when the outcome is asked for
        outcome.set_exception(error)
    return outcome
