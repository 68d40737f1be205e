"""The compiled loops of `native/`: the library, its instruction sets, and torch's threads for it.

The library is compiled when the package is built. It links neither Python nor torch, so any version
of both can load it; it runs on torch's own threads, through the function that torch exports for
extensions (`torch_parallel_for`, from torch 2.10 on) or, in earlier versions, torch's OpenMP.
"""

import ctypes
import os
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import torch

_SUFFIX = {"darwin": ".dylib", "win32": ".dll"}.get(sys.platform, ".so")
PATH = Path(__file__).parent / "native" / f"temporal_filter{_SUFFIX}"
"""Where `setup.py` puts the library."""

_PROCESS = os.getpid()


class Threads(ctypes.Structure):
    """`Threads` of temporal_filter.c: how loops run on the caller's threads."""

    _fields_ = (
        ("parallel_for", ctypes.c_void_p),
        ("region", ctypes.c_void_p),
        ("thread_number", ctypes.c_void_p),
        ("num_threads", ctypes.c_void_p),
        ("most_threads", ctypes.c_void_p),
        ("process", ctypes.c_int64),
    )


class StepStreams(ctypes.Structure):
    """`StepStreams` of steps.h: the streams that have one new frame each."""

    _fields_ = (
        ("count", ctypes.c_int64),
        ("places", ctypes.c_void_p),
        ("counts", ctypes.c_void_p),
    )


def integers(values: Sequence[int]) -> "ctypes.Array[ctypes.c_int64]":
    """Integers as the library takes them."""
    return (ctypes.c_int64 * len(values))(*values)


@cache
def library() -> Any:
    """The library, or None where it was not compiled or cannot be loaded."""
    if not PATH.exists():
        return None
    try:
        loaded = ctypes.CDLL(str(PATH))
        loaded.mixtconv_instruction_set.restype = ctypes.c_char_p
        loaded.mixtconv_run.argtypes = (ctypes.c_void_p,) * 3
        loaded.mixtconv_step.argtypes = (ctypes.c_void_p,) * 5
        loaded.mixtconv_step.restype = None
        loaded.mixtconv_most_step_lags.restype = ctypes.c_int64
    except (OSError, AttributeError):  # built for another system, or from an older version
        return None
    return loaded


@cache
def instruction_sets() -> dict[int, str]:
    """Numbers and names of the instruction sets of this processor, the best one first."""
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
    """torch's functions that run a loop on its threads; all null where it exports none.

    They use as many threads as torch does at the time, and one in a forked process.
    """
    for name in ("libtorch_cpu.so", "libtorch_cpu.dylib", "torch_cpu.dll"):
        path = Path(torch.__file__).parent / "lib" / name
        if path.exists():
            break
    else:
        return Threads()
    torch_library = ctypes.CDLL(str(path))  # a handle to the library that is loaded already

    def address(name: str) -> int | None:
        function = getattr(torch_library, name, None)
        return None if function is None else ctypes.cast(function, ctypes.c_void_p).value

    # For torch before 2.10, without `torch_parallel_for`: the loop opens an OpenMP region itself.
    get_num_threads = "_ZN2at15get_num_threadsEv"  # at::get_num_threads
    names = ("GOMP_parallel", "omp_get_thread_num", "omp_get_num_threads", get_num_threads)
    region = [address(name) for name in names]
    region = region if all(region) else [None] * len(names)
    return Threads(address("torch_parallel_for"), *region, _PROCESS)


def threads_name() -> str:
    """Number and owner of the threads that the loops run on, for display."""
    shared = threads()
    if (shared.parallel_for or shared.region) and shared.process == os.getpid():
        return f"{torch.get_num_threads()} of torch's threads"
    return "1 thread"
