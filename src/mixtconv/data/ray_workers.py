"""Working on many items through Ray Data: in processes of this machine or of a whole cluster.

Ray's workers do the same as the threads of `parallel.in_parallel`, with the same function. They get
the items in small groups. A worker that dies is restarted and its group is repeated, so that work
which writes files must write them atomically. An item at which workers die repeatedly, such as a
file that crashes its reader, is given up with an error of its own.
"""

import logging
import os
import pickle
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

from mixtconv._names import first_line
from mixtconv._optional import import_needed
from mixtconv.data.parallel import WorkersDiedError, usable_cores

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

MAX_GROUP_ITEMS = 16
"""Items of one task of Ray: more are cheaper to schedule and more expensive to repeat."""

MIN_GROUPS_PER_WORKER = 4
"""Enough for all workers to finish at about the same time."""

MAX_DEATHS = 3
"""Workers that may die at an item before it is given up."""

_STORE_BYTES = 256 * 2**20
"""Shared memory of a Ray that is started here: items and outcomes are small."""


def in_ray(
    items: Iterable[Item],
    work: Callable[[Item], Outcome],
    *,
    workers: int | None,
    device: str = "cpu",
) -> Generator[tuple[Item, "Future[Outcome]"], None, None]:
    """Work on all items and yield each with its outcome, in the order of completion.

    The arguments are those of `workers.map_videos`. Every worker has one copy of the work, for all
    its items, and a GPU of its own with device `cuda`, or with `auto` if Ray has GPUs.

    The Ray at `RAY_ADDRESS` is used; without that variable one is started on this machine and shut
    down at the end. If the generator is closed early, the workers are ended. The outcome of an item
    raises `WorkersDiedError` if workers keep dying at it.

    Raises:
        ValueError: Ray is not installed, or has no GPU for the device `cuda`.
        OSError: Ray cannot be reached, or has failed.
    """
    ray = import_ray()
    todo = list(items)
    if not todo:
        return
    with _running(ray, workers):
        resources = ray.cluster_resources()
        if device == "cuda" and resources.get("GPU", 0) < 1:
            raise ValueError("--device is cuda, and Ray has no GPU: give cpu, or leave it out")
        num_gpus = int(device == "cuda" or (device == "auto" and resources.get("GPU", 0) >= 1))
        most = int(resources.get("GPU" if num_gpus else "CPU", 1))
        size = min(workers or max(most, 1), len(todo))
        per_group = len(todo) // (MIN_GROUPS_PER_WORKER * size)
        group_size = min(max(per_group, 1), MAX_GROUP_ITEMS)
        num_groups = -(-len(todo) // group_size)
        rows = [{"number": number, "item": pickle.dumps(item)} for number, item in enumerate(todo)]
        attempts = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(_Attempts).remote()
        outcomes = ray.data.from_items(rows, override_num_blocks=num_groups).map_batches(
            _Worker,
            fn_constructor_args=(work, attempts, Path.cwd()),
            batch_size=group_size if num_gpus else None,  # Ray wants one for GPUs
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=1),
            num_cpus=1,
            num_gpus=num_gpus,
        )
        for group in outcomes.iter_batches(
            batch_size=None, batch_format="pyarrow", prefetch_batches=0
        ):
            for row in group.to_pylist():
                yield todo[row["number"]], _as_future(*pickle.loads(row["outcome"]))


class _Attempts:
    """Counts over all workers how often each item was started and not ended."""

    def __init__(self) -> None:
        self._begun: Counter[int] = Counter()

    def begin(self, number: int) -> int:
        """Note that an item is started; returns how often it was started and not ended before."""
        self._begun[number] += 1
        return self._begun[number] - 1

    def end(self, number: int) -> None:
        """Note that the work on an item has ended."""
        del self._begun[number]


class _Worker:
    """The state of one of Ray's processes: its copy of the work."""

    def __init__(self, work: Callable[[Any], Any], attempts: Any, folder: Path) -> None:
        with suppress(OSError):  # absent on another machine: then only absolute paths work
            os.chdir(folder)
        self.work = work
        self.attempts = attempts

    def __call__(self, group: Any) -> Any:
        """Turn a table of numbers and items into one of numbers and outcomes."""
        import pyarrow  # noqa: PLC0415

        outcomes = [
            pickle.dumps(self._try(number.as_py(), item.as_py()))
            for number, item in zip(group["number"], group["item"], strict=True)
        ]
        return pyarrow.table(
            {"number": group["number"], "outcome": pyarrow.array(outcomes, pyarrow.binary())}
        )

    def _try(self, number: int, item: bytes) -> tuple[Any, Exception | None]:
        import ray  # noqa: PLC0415

        num_deaths = ray.get(self.attempts.begin.remote(number))
        if num_deaths >= MAX_DEATHS:
            return None, WorkersDiedError(f"{num_deaths} workers of Ray died at it")
        try:
            return self.work(pickle.loads(item)), None
        except Exception as error:  # raised when the outcome is asked for
            return None, error
        finally:
            self.attempts.end.remote(number)


def _as_future(value: Any, error: Exception | None) -> "Future[Any]":
    outcome: Future[Any] = Future()
    if error is None:
        outcome.set_result(value)
    else:
        outcome.set_exception(error)
    return outcome


@contextmanager
def _running(ray: Any, workers: int | None) -> Iterator[None]:
    """Start or join Ray for the block; if the caller has joined it already, it stays joined."""
    _quiet(ray)
    if ray.is_initialized():
        yield
        return
    options = {"logging_level": "error", "log_to_driver": False}
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if not os.environ.get("RAY_ADDRESS"):
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options |= {
            "address": "local",
            "num_cpus": workers or usable_cores(),
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
        }
    ray.init(**options)
    try:
        yield
    except ray.exceptions.RayError as error:
        reason = first_line(error)
        raise OSError(f"Ray has failed ({reason}); what is done stays done") from error
    finally:
        ray.shutdown()  # ends the workers, those in a cluster as well


def _quiet(ray: Any) -> None:
    """Keep Ray Data's progress bars and notes out of the commands' output."""
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)


def import_ray() -> Any:
    """The module `ray`, with Ray Data imported.

    Raises:
        ValueError: it is not installed.
    """
    return import_needed("ray", "ray.data", why="--engine ray needs")
