"""Applying a function to the videos of a collection: in threads, or in processes of Ray."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from typing import Literal, TypeVar

from mixtconv.data.parallel import in_parallel, usable_cores
from mixtconv.data.ray_workers import import_ray, in_ray

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

Backend = Literal["local", "ray"]
"""`local` is threads of this process, `ray` is processes of Ray, on one machine or a cluster."""


class StopFlag:
    """Tells threads to stop.

    Processes of Ray, which are ended instead, get a copy that is never set.

    >>> import pickle
    >>> flag = StopFlag()
    >>> copy = pickle.loads(pickle.dumps(flag))
    >>> flag.set()
    >>> flag(), copy()
    (True, False)
    """

    def __init__(self) -> None:
        self._is_set = False

    def set(self) -> None:
        self._is_set = True

    def __call__(self) -> bool:
        return self._is_set


def check_backend(backend: Backend, workers: int | None) -> None:
    """Check that a backend can work, before anything is started.

    Raises:
        ValueError: `workers` is below 1, or Ray is not installed.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"--workers is {workers}; give 1 or more")
    if backend == "ray":
        import_ray()


def map_videos(
    work: Callable[[Item], Outcome],
    items: Iterable[Item],
    *,
    backend: Backend = "local",
    workers: int | None = None,
    on_stop: Callable[[], None] = lambda: None,
    device: str = "cpu",
) -> Generator[tuple[Item, "Future[Outcome]"], None, None]:
    """Work on all items and yield each with its outcome, in the order of completion.

    Args:
        work: the work on one item.
        items: the items; for Ray they, the work and its outcomes are pickled.
        backend: `local` or `ray`.
        workers: threads, by default one per core of this machine; or processes of Ray, by default
            one per core, or per GPU, of the cluster.
        on_stop: called at the end, before running threads are waited for, so that they can be
            stopped; processes of Ray are ended.
        device: device of the work in a process of Ray: `cpu`, `cuda`, or `auto`.

    Raises:
        ValueError: `workers` is below 1, or Ray is not installed.
        OSError: Ray cannot be reached.

    >>> outcomes = map_videos(lambda number: number**2, [1, 2, 3], workers=2)
    >>> sorted((item, outcome.result()) for item, outcome in outcomes)
    [(1, 1), (2, 4), (3, 9)]
    """
    check_backend(backend, workers)
    if backend == "ray":
        return in_ray(items, work, workers=workers, device=device)
    return in_parallel(items, work, workers=workers or usable_cores(), on_stop=on_stop)
