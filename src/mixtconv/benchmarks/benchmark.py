"""`mixtconv bench SUBJECT`: runs one benchmark and says what it was measured on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from mixtconv._names import unknown_name
from mixtconv._types import Progress
from mixtconv.benchmarks.environment import Environment, describe_environment
from mixtconv.benchmarks.exported import bench_export
from mixtconv.benchmarks.loader import bench_loader
from mixtconv.benchmarks.memory import MemoryComparison
from mixtconv.benchmarks.model import bench_model, bench_stream
from mixtconv.benchmarks.operation import bench_operation
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import Comparison
from mixtconv.benchmarks.training_step import bench_training_step
from mixtconv.models.device import resolve_device


@dataclass(frozen=True)
class Measured:
    """The figures of one benchmark."""

    times: tuple[Comparison, ...]
    """Times of the candidates."""
    memory: tuple[MemoryComparison, ...] = ()
    """Their peak memory."""
    details: tuple[Comparison, ...] = ()
    """Parts that the times are sums of."""


@dataclass(frozen=True)
class BenchmarkReport:
    """The figures of one benchmark, and the machine they were measured on."""

    subject: str
    environment: Environment
    measured: Measured

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "subject": self.subject,
            "environment": self.environment.to_dict(),
            **{
                kind: [comparison.to_dict() for comparison in comparisons]
                for kind, comparisons in vars(self.measured).items()
            },
        }


def run_benchmark(
    subject: str,
    workload: Workload,
    *,
    rounds: int | None = None,
    num_threads: int | None = None,
    progress: Progress | None = None,
) -> BenchmarkReport:
    """Measure one subject and its baselines, in turn in one process.

    Args:
        subject: one of `BENCHMARKS`.
        workload: network, clips, device and precision.
        rounds: times that each candidate runs; by default as many as take a few minutes.
        num_threads: threads of torch's CPU operations; by default as many as torch takes.
        progress: called with the number of parts done and the total.

    Raises:
        ValueError: an unknown subject, fewer than 1 round or thread, or a workload that the
            benchmark refuses.
    """
    if subject not in BENCHMARKS:
        raise unknown_name("subject", subject, BENCHMARKS)
    for flag, value in (("--rounds", rounds), ("--threads", num_threads)):
        if value is not None and value < 1:
            raise ValueError(f"{flag} is {value}; give 1 or more")
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    environment = describe_environment(resolve_device(workload.device))
    return BenchmarkReport(subject, environment, BENCHMARKS[subject](workload, rounds, progress))


def _op(workload: Workload, rounds: int | None, progress: Progress | None) -> Measured:
    speed = bench_operation(workload, rounds=rounds, progress=progress)
    return Measured(speed.totals, details=speed.per_shape)


def _model(workload: Workload, rounds: int | None, progress: Progress | None) -> Measured:
    return Measured(tuple(bench_model(workload, rounds=rounds, progress=progress)))


def _train(workload: Workload, rounds: int | None, progress: Progress | None) -> Measured:
    speed = bench_training_step(workload, rounds=rounds, progress=progress)
    return Measured(speed.times, memory=speed.memory)


def _loader(workload: Workload, rounds: int | None, progress: Progress | None) -> Measured:
    speed = bench_loader(workload, video=workload.video, rounds=rounds, progress=progress)
    return Measured(tuple(speed))


def _stream(workload: Workload, rounds: int | None, progress: Progress | None) -> Measured:
    return Measured((bench_stream(workload, rounds=rounds, progress=progress),))


def _export(workload: Workload, rounds: int | None, progress: Progress | None) -> Measured:
    return Measured(bench_export(workload, rounds=rounds, progress=progress))


BENCHMARKS: dict[str, Callable[[Workload, int | None, Progress | None], Measured]] = {
    "op": _op,
    "model": _model,
    "train": _train,
    "loader": _loader,
    "stream": _stream,
    "export": _export,
}
"""Subject -> benchmark."""
