"""The compiled loops of `native/`, loaded: instruction sets, and torch's threads to run them on.

The library is compiled when the package is built. It knows neither Python nor torch, so any version
of both can load it; the threads it runs on are torch's own, through the function that torch keeps
for extensions (`torch_parallel_for`, from torch 2.10 on) or through torch's OpenMP before.
"""

import ctypes
import os
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

_NAME = "mixtconv.ops._temporal_filter"
_PROCESS = os.getpid()


class Threads(ctypes.Structure):
    """`Threads` of temporal_filter.c: how the caller's threads are given work."""

    _fields_ = (
        ("parallel_for", ctypes.c_void_p),
        ("region", ctypes.c_void_p),
        ("thread_number", ctypes.c_void_p),
        ("num_threads", ctypes.c_void_p),
        ("most_threads", ctypes.c_void_p),
        ("process", ctypes.c_int64),
    )


@lru_cache(maxsize=512)
def integers(values: tuple[int, ...]) -> "ctypes.Array[ctypes.c_int64]":
    """Numbers as the library takes them; those of a layer are made once."""
    return (ctypes.c_int64 * len(values))(*values)


@cache
def library() -> Any:
    """The library, or None where it was not compiled or cannot be loaded."""
    spec = find_spec(_NAME)
    if spec is None or spec.origin is None:
        return None
    try:
        loaded = ctypes.CDLL(spec.origin)
        loaded.mixtconv_instruction_set.restype = ctypes.c_char_p
        loaded.mixtconv_run.argtypes = (
            ctypes.c_void_p,
            ctypes.c_void_p,
            ctypes.c_void_p,
        )
        loaded.mixtconv_step.argtypes = (ctypes.c_void_p,) * 5
        loaded.mixtconv_step.restype = None
        loaded.mixtconv_most_step_lags.restype = ctypes.c_int64
    except (OSError, AttributeError):  # built for another system, or an older version
        return None
    return loaded


@cache
def instruction_sets() -> dict[int, str]:
    """Numbers and names of the instruction sets that this processor has, the best one first."""
    loaded, names = library(), {}
    number = 0
    while (name := loaded.mixtconv_instruction_set(number)) is not None:
        if name:
            names[number] = name.decode()
        number += 1
    return names


def best() -> int:
    """Number of the best instruction set here."""
    return next(iter(instruction_sets()))


@cache
def threads() -> Threads:
    """torch's functions that run a loop on its threads; all null where it shows none.

    They use as many threads as torch may at the time, and none in a process that was forked.
    """
    for suffix in ("so", "dylib"):
        path = Path(torch.__file__).parent / "lib" / f"libtorch_cpu.{suffix}"
        if path.exists():
            break
    else:
        return Threads()
    torch_library = ctypes.CDLL(str(path))  # loaded already: this finds it

    def address(name: str) -> int | None:
        function = getattr(torch_library, name, None)
        return None if function is None else ctypes.cast(function, ctypes.c_void_p).value

    found = Threads(parallel_for=address("torch_parallel_for"), process=_PROCESS)
    functions = [
        address(name)
        for name in (
            "GOMP_parallel",
            "omp_get_thread_num",
            "omp_get_num_threads",
            "_ZN2at15get_num_threadsEv",  # at::get_num_threads
        )
    ]
    if found.parallel_for is None and all(functions):
        found.region, found.thread_number, found.num_threads, found.most_threads = functions
    return found


def threads_name() -> str:
    """Whose threads the loops run on, in words."""
    found = threads()
    if (found.parallel_for or found.region) and found.process == os.getpid():
        return f"{torch.get_num_threads()} of torch's threads"
    return "1 thread"
