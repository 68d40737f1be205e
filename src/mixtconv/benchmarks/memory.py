"""Peak memory, measured in a new process with a known policy of the allocator.

In the process of the benchmark memory freed by an earlier candidate would be reused and not be
counted. By default glibc keeps some freed memory and returns some to the system, by thresholds that
it adapts while running: large tensors may be mapped anew, page by page, every time, and the peak of
a process varies by a tenth from run to run.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mixtconv.benchmarks.processes import Prepare, run_fresh

GIVE_BACK_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(2**16), "MALLOC_TRIM_THRESHOLD_": str(2**17)}
"""Freed memory is returned at once, so that the memory of a process is what it uses."""

KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
    "MALLOC_TOP_PAD_": str(2**27),
}
"""Freed memory is kept and reused without page faults."""


@dataclass(frozen=True)
class MemoryComparison:
    """Peak memory of candidates, and the baseline of their ratios."""

    title: str
    """The task."""
    baseline: str
    """Candidate that the others are compared with."""
    peaks: Mapping[str, int]
    """Candidate -> bytes: on the CPU resident memory beyond that of the imports, on a GPU memory of
    tensors."""

    def ratio(self, name: str) -> float:
        """Peak of a candidate as a multiple of the baseline's."""
        return self.peaks[name] / self.peaks[self.baseline]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "title": self.title,
            "baseline": self.baseline,
            "candidates": [
                {"name": name, "bytes": peak, "ratio": self.ratio(name)}
                for name, peak in self.peaks.items()
            ],
        }


def peak_bytes(prepare: Prepare, *, device: torch.device, runs: int = 2) -> int:
    """Peak memory of preparing and running, in a new process.

    Args:
        prepare: returns the function to run; picklable.
        device: whose memory is measured; for the CPU the resident memory of the process.
        runs: number of runs; from the second on an optimizer has its state.
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
    """Peak resident memory of this process.

    On Linux `ru_maxrss` of a new process starts at the peak of its parent; /proc has its own.
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
    "mps": lambda device: torch.mps.driver_allocated_memory(),  # it never shrinks
}
