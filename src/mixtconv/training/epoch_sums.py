"""What the steps of an epoch add up to: losses, clips, and time spent waiting for data."""

import time
from typing import Any, Literal

import torch
from torch import Tensor
from torchmetrics import SumMetric

from mixtconv._processes import is_rank_zero
from mixtconv.evaluation.distributed import gather


class EpochSums:
    """Sums over the steps of an epoch, in all processes: what reads them is a collective call."""

    def __init__(self) -> None:
        self._loss, self._clips, self._skipped = (_sum_over_processes() for _ in range(3))

    def add(self, mean_loss: Tensor, num_clips: int) -> None:
        """Add a step by the mean loss of its clips."""
        self._loss.update(mean_loss * num_clips)
        self._clips.update(num_clips)

    def skip(self) -> None:
        """Count a clip that was left out."""
        self._skipped.update(1)

    @property
    def mean_loss(self) -> float:
        """Over the clips; NaN without any."""
        return float(self._loss.compute() / self._clips.compute())

    @property
    def skipped(self) -> int:
        """Clips that were left out."""
        return int(self._skipped.compute())

    def state_dict(self) -> dict[str, Any]:
        """The sums, from which a resumed run goes on."""
        return {
            "loss": (float(self._loss.compute()), int(self._clips.compute())),
            "skipped": self.skipped,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`; the sums are over all processes, so one of them does."""
        if is_rank_zero():
            loss, num_clips = state["loss"]
            self._loss.update(torch.tensor(loss, dtype=torch.float64))
            self._clips.update(num_clips)
            self._skipped.update(state["skipped"])


def _sum_over_processes() -> SumMetric:
    """A sum in this process; `compute` gives that of all, and must be called by all.

    In float64, so that a resumed run continues it exactly. On the CPU, also where NCCL connects the
    processes, hence `gather`. Not cached: a process that has added nothing since the last `compute`
    would not take part in the next. The start at 0 keeps `compute` from warning of no updates.
    """
    metric = SumMetric(
        nan_strategy="disable",  # with float16 a loss may be infinite
        compute_with_cache=False,
        dist_sync_fn=lambda value, group: gather(value),
    )
    metric.set_dtype(torch.float64)
    metric.update(0)
    return metric


class Clock:
    """Separates waiting for data from working, over the training steps of an epoch."""

    def __init__(self) -> None:
        self._start = self._mark = time.perf_counter()
        self._seconds = {"waited": 0.0, "worked": 0.0}

    def lap(self, kind: Literal["waited", "worked"]) -> None:
        """Count the time since the last lap."""
        before, self._mark = self._mark, time.perf_counter()
        self._seconds[kind] += self._mark - before

    @property
    def seconds(self) -> float:
        """Since the start, validation included."""
        return time.perf_counter() - self._start

    @property
    def wait_share(self) -> float:
        """Part of the steps' time that was spent waiting, 0 to 1."""
        total = sum(self._seconds.values())
        return self._seconds["waited"] / total if total else 0.0
