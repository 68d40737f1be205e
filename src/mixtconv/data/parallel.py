"""How many things can be done at once on this machine.

Working on many things in threads, few of them waiting at a time.

Threads serve where the work is done in FFmpeg, Pillow or OpenCV, which let them run side by side.
"""

import os
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import TypeVar


def usable_cores() -> int:
    """Processor cores that this process may use: a container may have fewer than the machine."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)


Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class WorkersDiedError(Exception):
    """An item was given up since the processes that worked on it died again and again."""


def in_parallel(
    items: Iterable[Item],
    work: Callable[[Item], Outcome],
    *,
    workers: int,
    on_stop: Callable[[], None] = lambda: None,
) -> Generator[tuple[Item, "Future[Outcome]"], None, None]:
    """Work on all items and give each with its outcome, in the order in which they are done.

    Where the generator is closed early (as by Ctrl-C), nothing more is begun.

    Args:
        items: what to work on, taken as workers come free.
        work: the work on one.
        workers: threads.
        on_stop: called at the end and before waiting for what is still being worked on, so that it
            can be told to stop.

    >>> outcomes = in_parallel([1, 2, 3], lambda number: number**2, workers=2)
    >>> sorted((item, outcome.result()) for item, outcome in outcomes)
    [(1, 1), (2, 4), (3, 9)]
    """
    todo = iter(items)
    running: dict[Future[Outcome], Item] = {}
    pool = ThreadPoolExecutor(workers)
    try:
        while True:
            for item in islice(todo, 2 * workers - len(running)):
                running[pool.submit(work, item)] = item
            if not running:
                return
            for outcome in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(outcome), outcome
    finally:
        on_stop()
        pool.shutdown(cancel_futures=True)
