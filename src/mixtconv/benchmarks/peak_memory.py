"""How much memory something needs at most, measured in a process of its own.

In the process of the benchmark, memory that an earlier candidate gave back would be used again and
not be seen.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from mixtconv.benchmarks.fresh_process import GIVE_BACK_MEMORY, run_fresh

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
