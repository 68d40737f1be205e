"""Engines: what works on the many videos of a collection, each with the same function.

`local` is threads of this process, `ray` is processes of Ray, on one machine or a cluster.
"""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future
from typing import Literal, TypeVar

from mixtconv.data.parallel import in_parallel, usable_cores
from mixtconv.data.ray_workers import import_ray, in_ray

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

Engine = Literal["local", "ray"]


class StopFlag:
    """Says whether to stop, to threads that ask it.

    In the processes of Ray, which are ended instead of asked, it arrives as a copy that never does.

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


def refuse_engine(engine: Engine, workers: int | None) -> None:
    """Refuse an engine that cannot work, before anything is begun.

    Raises:
        ValueError: fewer workers than one, or Ray is not installed.
    """
    if workers is not None and workers < 1:
        raise ValueError(f"--workers is {workers}; give 1 or more")
    if engine == "ray":
        import_ray()


def on_engine(
    engine: Engine,
    items: Iterable[Item],
    work: Callable[[Item], Outcome],
    *,
    workers: int | None = None,
    stop: StopFlag | None = None,
    device: str = "cpu",
) -> Generator[tuple[Item, "Future[Outcome]"], None, None]:
    """Work on all items and give each with its outcome, in the order in which they are done.

    Args:
        engine: `local` or `ray`.
        items: what to work on; for Ray they, the work and its outcomes are pickled.
        work: the work on one item.
        workers: threads, by default one a core of this machine; or processes of Ray, by default
            one a core, or a GPU, of all that it has.
        stop: set where the generator is closed early, before waiting for the threads.
        device: what the work of a worker of Ray runs on: `cpu`, `cuda`, or `auto`.

    Raises:
        ValueError: fewer workers than one, or Ray is not installed.
        OSError: Ray cannot be reached.

    >>> outcomes = on_engine("local", [1, 2, 3], lambda number: number**2, workers=2)
    >>> sorted((item, outcome.result()) for item, outcome in outcomes)
    [(1, 1), (2, 4), (3, 9)]
    """
    refuse_engine(engine, workers)
    if engine == "ray":
        return in_ray(items, work, workers=workers, device=device)
    stop = stop or StopFlag()
    return in_parallel(items, work, workers=workers or usable_cores(), on_stop=stop.set)
