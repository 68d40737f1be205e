"""A measurement in a process of its own, with a C library that treats memory in a known way.

Left to itself, glibc keeps some freed memory and returns other to the system, by sizes that it
learns as it runs. Large tensors are then mapped anew, page by page, every time they are made; and
the peak of a process differs from run to run by a tenth.

How much memory something needs at most, measured in a process of its own.

In the process of the benchmark, memory that an earlier candidate gave back would be used again and
not be seen.
"""

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

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


Prepare = Callable[[], Callable[[], object]]


@dataclass(frozen=True)
class PeakMemory:
    """The most that one candidate needed."""

    name: str
    """The candidate."""
    bytes: int
    """On the CPU resident memory beyond that of the imports, on a GPU memory of tensors."""


@dataclass(frozen=True)
class MemoryComparison:
    """What candidates need at most, and the one that the others are compared with."""

    title: str
    """What was done."""
    baseline: str
    """Name of the candidate that ratios are against."""
    peaks: tuple[PeakMemory, ...]
    """One a candidate."""

    def ratio(self, peak: PeakMemory) -> float:
        """How many times as much as the baseline."""
        baseline = next(other for other in self.peaks if other.name == self.baseline)
        return peak.bytes / baseline.bytes

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "title": self.title,
            "baseline": self.baseline,
            "candidates": [
                {"name": peak.name, "bytes": peak.bytes, "ratio": self.ratio(peak)}
                for peak in self.peaks
            ],
        }


def peak_bytes(prepare: Prepare, *, device: torch.device, runs: int = 2) -> int:
    """The most memory that preparing and running takes, in a new process.

    Args:
        prepare: makes what is run; can be pickled.
        device: whose memory; of the CPU, everything that the process maps and touches.
        runs: how often it runs: from the second on, an optimiser has its state.
    """
    return run_fresh(partial(_peak, prepare, device, runs), environment=GIVE_BACK_MEMORY)


def _peak(prepare: Prepare, device: torch.device, runs: int) -> int:
    high_water = partial(_HIGH_WATER[device.type], device)
    before = high_water()
    run = prepare()
    for _ in range(runs):
        run()
    return high_water() - before


def _resident(device: torch.device) -> int:
    """The most memory that this process has had.

    Linux tells a new process the peak of the one that started it as `ru_maxrss`; its own it finds
    in /proc.
    """
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    import resource  # noqa: PLC0415 - Windows has none

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


_HIGH_WATER: dict[str, Callable[[torch.device], int]] = {
    "cpu": _resident,
    "cuda": torch.cuda.max_memory_allocated,
    "mps": lambda device: torch.mps.driver_allocated_memory(),  # it keeps what it has had
}
