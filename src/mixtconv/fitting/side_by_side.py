"""Work side by side: in this process and in others, each with its share of the cores.

The operations of a small network are too short to be divided well: a second core makes one
training some 1.25 times as fast, but does a second training in the same time.
"""

import logging
import signal
import threading
from collections import deque
from collections.abc import Callable, Sequence
from importlib import import_module
from multiprocessing import set_start_method
from multiprocessing.connection import Connection, wait
from typing import TypeVar

import torch
from typing_extensions import Self

from mixtconv._processes import FreshContext, deaf_to_ctrl_c, death, end_with_parent
from mixtconv.data.parallel import usable_cores

logger = logging.getLogger(__name__)

Outcome = TypeVar("Outcome")
Task = Callable[[], Outcome]
"""Can be pickled."""

MAX_PROCESSES = 4
"""Each takes about 1 GB of memory for torch alone."""


def processes_that_pay(device: torch.device) -> int:
    """Processes in which trainings run side by side: one a core, and one for a GPU."""
    return min(MAX_PROCESSES, usable_cores()) if device.type == "cpu" else 1


class SideBySide:
    """This process and others, for as long as the context is open.

    The others load what they need while this one goes on. They end with it, however it ends.

    Args:
        num_processes: in all, this one among them.
        module: that the others import first, which takes seconds; by default none.
    """

    def __init__(self, num_processes: int, *, module: str | None = None) -> None:
        self.num_processes = num_processes
        self._others = [_Process(module) for _ in range(num_processes - 1)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None = None, *error: object) -> None:
        try:
            if kind is not None and issubclass(kind, KeyboardInterrupt) and self._others:
                logger.info("waiting until the trainings beside are saved; Ctrl-C ends them")
                self._stop()
        finally:
            for other in self._others:
                other.kill()

    def _stop(self) -> None:
        """Ask the others to end where their work can go on, and wait for that."""
        for other in self._others:
            other.ask_to_stop()
        for other in self._others:
            other.wait()

    def run(self, tasks: Sequence[Task[Outcome]], done: Callable[[int, Outcome], None]) -> None:
        """Do tasks, as many at a time as there are processes; the first is done in this one.

        Args:
            tasks: what is to be done; begun in their order.
            done: called with the place of each task that has ended and its outcome, one at a time,
                perhaps from another thread.

        Raises:
            Exception: of the first task that failed, once those that had been begun have ended.
        """
        if not tasks:
            return
        side_by_side = min(self.num_processes, len(tasks))
        num_threads = max(1, usable_cores() // side_by_side)
        waiting = deque(enumerate(tasks))
        errors: list[Exception] = []
        lock = threading.Lock()

        def work_on(place: int, task: Task[Outcome], call: _Call) -> None:
            try:
                outcome = call(task, num_threads)
                with lock:
                    done(place, outcome)
            except Exception as error:  # raised below, by the thread that asked
                errors.append(error)

        def work(call: _Call) -> None:
            while not errors:
                try:
                    place, task = waiting.popleft()
                except IndexError:
                    return
                work_on(place, task, call)

        first = waiting.popleft()
        threads = [
            threading.Thread(target=work, args=(other.call,), daemon=True)
            for other in self._others[: side_by_side - 1]
        ]
        for thread in threads:
            thread.start()
        work_on(*first, _call_with_threads)
        work(_call_with_threads)
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]


_Call = Callable[[Task[Outcome], int], Outcome]
"""Does a task with so many threads."""


def _call_with_threads(task: Task[Outcome], num_threads: int) -> Outcome:
    before = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    try:
        return task()
    finally:
        torch.set_num_threads(before)


class _Process:
    """Another process, which does one task after the other."""

    def __init__(self, module: str | None) -> None:
        # Not a fork: OpenMP's threads do not live on in one.
        context = FreshContext()
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, module))
        with deaf_to_ctrl_c():  # also while it loads torch
            self._process.start()
        theirs.close()

    def call(self, task: Task[Outcome], num_threads: int) -> Outcome:
        """Do a task there.

        Raises:
            ValueError: the process died.
            Exception: what the task raised.
        """
        try:
            self._pipe.send((task, num_threads))
            outcome, error = self._pipe.recv()
        except (EOFError, OSError) as end:
            self._process.join()
            raise ValueError(
                f"{death(f'process {self._process.pid}, which trains,', self._process.exitcode)}; "
                "what is done is kept: go on with the same command and --resume"
            ) from end
        if error is not None:
            raise error
        return outcome

    def ask_to_stop(self) -> None:
        """A training there ends between two steps; else the process does."""
        self._process.terminate()

    def wait(self) -> None:
        """Until it has ended; by its sentinel, as the thread that calls it joins it."""
        wait([self._process.sentinel])

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self._pipe.close()


def _serve(pipe: Connection, module: str | None) -> None:
    """Do the tasks that come through a pipe, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process asks the others to end
    set_start_method(None, force=True)  # of its own workers: that of the system, which is faster
    end_with_parent()
    if module is not None:
        import_module(module)
    while True:
        try:
            task, num_threads = pipe.recv()
        except EOFError:
            return
        outcome, error = None, None
        try:
            outcome = _call_with_threads(task, num_threads)
        except Exception as raised:  # goes to the process that asked
            error = raised
        except KeyboardInterrupt:  # which knows, as it has asked for the end
            return
        pipe.send((outcome, error))
