"""Dynamic batching: items of several clients are run together.

    waiting   a----b---c------|      the wait is over, or the batch is full
    run                       [abc]  meanwhile d and e arrive
    run                            [de]   they have waited long enough: at once

An item does not wait if no other is expected. One thread runs the batches. The queue is bounded: an
item that does not fit is refused at once.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """Runs items in batches, in the order of their arrival.

    If a batch fails its items are run one by one, so that an item fails only by itself.

    Args:
        run: computes the results of items, in their order.
        batch_size: largest number of items that are run together.
        wait_seconds: longest time that an item waits for others.
        max_waiting: largest number of waiting items.
        others_come: whether more items are expected soon; if not, a batch runs at once.
        on_batch: called with the size of every batch and the seconds it took.

    >>> from contextlib import closing
    >>> with closing(Batcher(lambda items: [item**2 for item in items], batch_size=4)) as batcher:
    ...     [future.result() for future in [batcher.submit(number) for number in range(3)]]
    [0, 1, 4]
    """

    def __init__(
        self,
        run: Callable[[list[Item]], Sequence[Result]],
        *,
        batch_size: int,
        wait_seconds: float = 0.0,
        max_waiting: int = 256,
        others_come: Callable[[], bool] = lambda: True,
        on_batch: Callable[[int, float], None] = lambda size, seconds: None,
    ) -> None:
        self._run, self._on_batch = run, on_batch
        self._batch_size, self._wait_seconds = batch_size, wait_seconds
        self._max_waiting, self._others_come = max_waiting, others_come
        self._waiting: deque[tuple[float, Item, Future[Result]]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._loop, name="batcher", daemon=True)
        self._thread.start()

    @property
    def num_waiting(self) -> int:
        """Items in the queue."""
        return len(self._waiting)

    def submit(self, item: Item) -> "Future[Result]":
        """Put an item into the queue; it is skipped if its future is cancelled before its turn.

        Raises:
            queue.Full: too many wait already, or the batcher is closed.
        """
        future: Future[Result] = Future()
        with self._changed:
            if self._closed or len(self._waiting) >= self._max_waiting:
                raise queue.Full
            self._waiting.append((time.monotonic(), item, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Run the waiting items, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _loop(self) -> None:
        while batch := self._next_batch():
            # From here on a future cannot be cancelled.
            started = [each for each in batch if each[1].set_running_or_notify_cancel()]
            if started:
                before = time.monotonic()
                outcomes = self._run_batch([item for item, _ in started])
                # Counted first: who has an answer finds it in the metrics.
                self._on_batch(len(started), time.monotonic() - before)
                for (_, future), outcome in zip(started, outcomes, strict=True):
                    if isinstance(outcome, Exception):
                        future.set_exception(outcome)
                    else:
                        future.set_result(outcome)

    def _next_batch(self) -> list[tuple[Item, "Future[Result]"]]:
        """The next items, at the latest when the first one has waited; empty once closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            while self._waiting and len(self._waiting) < self._batch_size and not self._closed:
                left = self._waiting[0][0] + self._wait_seconds - time.monotonic()
                if left <= 0 or not self._others_come():
                    break
                self._changed.wait(left)
            size = min(self._batch_size, len(self._waiting))
            return [self._waiting.popleft()[1:] for _ in range(size)]

    def _run_batch(self, items: list[Item]) -> Sequence[Result | Exception]:
        """What came of each; if the batch fails, of each alone, so that one fails no others."""
        try:
            return self._run(items)
        except Exception as error:
            if len(items) == 1:
                return [error]
            return [outcome for item in items for outcome in self._run_batch([item])]
