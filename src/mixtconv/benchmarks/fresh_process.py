"""A measurement in a process of its own, with a C library that treats memory in a known way.

Left to itself, glibc keeps some freed memory and returns other to the system, by sizes that it
learns as it runs. Large tensors are then mapped anew, page by page, every time they are made; and
the peak of a process differs from run to run by a tenth.
"""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

Result = TypeVar("Result")

GIVE_BACK_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**16), "MALLOC_TRIM_THRESHOLD_": str(2**17)}
"""Freed memory goes back to the system at once, so that what a process has is what it uses."""

KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_TOP_PAD_": str(2**27),
}
"""Freed memory is kept and used again, without a page fault."""


def run_fresh(
    function: Callable[[], Result], *, environment: Mapping[str, str] | None = None
) -> Result:
    """Call a function in a new process, with as many threads of torch as in this one.

    Args:
        function: can be pickled, as its result can.
        environment: variables that the process finds; glibc reads the above when it starts, other
            C libraries do not know them.

    >>> from functools import partial
    >>> run_fresh(partial(os.getenv, "GREETING"), environment={"GREETING": "hello"})
    'hello'
    """
    context = multiprocessing.get_context("spawn")
    with (
        _environment(environment or {}),
        ProcessPoolExecutor(max_workers=1, mp_context=context) as pool,
    ):
        return pool.submit(_call, function, torch.get_num_threads()).result()


def _call(function: Callable[[], Result], num_threads: int) -> Result:
    torch.set_num_threads(num_threads)
    return function()


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the processes that start in the meantime."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(before)
