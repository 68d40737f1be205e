"""New processes to measure in, whose environment is chosen, and busy ones to measure beside."""

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from ctypes import c_bool
from functools import partial
from threading import Barrier
from typing import TypeVar

import torch

Result = TypeVar("Result")
Prepare = Callable[[], Callable[[], object]]
"""Prepares what is measured, and returns the function to run."""

Variables = Mapping[str, str | None]
"""Environment variables; None takes one away."""

_SPAWN = multiprocessing.get_context("spawn")


def run_fresh(function: Callable[[], Result], *, environment: Variables | None = None) -> Result:
    """Call a function in a new process, with the same number of torch's threads.

    Args:
        function: picklable, as its result is.
        environment: variables that libraries read when they are loaded.

    >>> run_fresh(partial(os.getenv, "GREETING"), environment={"GREETING": "hello"})
    'hello'
    """
    with _new_process(environment or {}) as process:
        return process.submit(function).result()


@contextmanager
def prepare_fresh(
    prepare: Prepare, *, environment: Variables | None = None
) -> Iterator[Callable[[], None]]:
    """Prepare a function in a new process, where it then runs as often as this one is called.

    Args:
        prepare: picklable.
        environment: as for `run_fresh`.
    """
    with _new_process(environment or {}) as process:
        process.submit(_prepare, prepare).result()
        yield lambda: process.submit(_run_prepared).result()


@contextmanager
def _new_process(environment: Variables) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(max_workers=1, mp_context=_SPAWN) as process:
        with _changed(environment):
            process.submit(torch.set_num_threads, torch.get_num_threads()).result()
        yield process


@contextmanager
def _changed(environment: Variables) -> Iterator[None]:
    """Environment variables for processes that start within the block."""
    before = dict(os.environ)
    for name, value in environment.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    try:
        yield
    finally:
        for name in environment:
            os.environ.pop(name, None)
        os.environ.update(before)


_prepared: list[Callable[[], object]] = []


def _prepare(prepare: Prepare) -> None:
    _prepared.append(prepare())


def _run_prepared() -> None:
    _prepared[-1]()


@contextmanager
def busy_processes(count: int) -> Iterator[Callable[[bool], None]]:
    """Processes that keep a core busy each, while the function that is yielded says True.

    >>> with busy_processes(1) as keep_busy:
    ...     keep_busy(True)
    """
    is_on, ready = _SPAWN.RawValue(c_bool, False), _SPAWN.Barrier(count + 1)
    arguments = (os.getpid(), is_on, ready)
    processes = [
        _SPAWN.Process(target=_keep_busy, args=arguments, daemon=True) for _ in range(count)
    ]
    for process in processes:
        process.start()
    try:
        ready.wait()
        yield partial(setattr, is_on, "value")
    finally:
        for process in processes:
            process.terminate()
            process.join()


def _keep_busy(parent: int, is_on: c_bool, ready: Barrier) -> None:
    ready.wait()
    while os.getppid() == parent:  # which may have been killed
        if not is_on.value:
            time.sleep(0.001)
