"""`mixtconv bench SUBJECT`: runs one benchmark and says what it was measured on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from mixtconv._names import count_of, unknown_name
from mixtconv._types import Progress
from mixtconv.benchmarks.environment import Environment, describe_environment
from mixtconv.benchmarks.exported import bench_export
from mixtconv.benchmarks.loader import bench_loader
from mixtconv.benchmarks.model import bench_model, bench_stream
from mixtconv.benchmarks.operation import bench_operation
from mixtconv.benchmarks.predicting import bench_predict
from mixtconv.benchmarks.segments import bench_segments
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import Measured
from mixtconv.benchmarks.training_step import bench_training_step
from mixtconv.data.parallel import usable_cores
from mixtconv.models.device import resolve_device


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
    subject: str, workload: Workload, *, progress: Progress | None = None
) -> BenchmarkReport:
    """Measure one subject and its baselines, in turn in one process.

    Args:
        subject: one of `BENCHMARKS`.
        workload: network, clips, device and precision, rounds and threads.
        progress: called with the number of parts done and the total.

    Raises:
        ValueError: an unknown subject, more threads than cores, or a workload that the benchmark
            refuses: an unknown backbone or one without residual branches; a device, a precision or
            an engine that is not available.
        UnreadableVideoError: there is no such video, or it cannot be read.
    """
    if subject not in BENCHMARKS:
        raise unknown_name("subject", subject, BENCHMARKS)
    if workload.model is not None and subject != "train":
        raise ValueError(f"--model is for bench train, and this is bench {subject}: leave it out")
    if workload.threads is not None:
        if workload.threads > usable_cores():
            raise ValueError(
                f"--threads is {workload.threads}, and {count_of(usable_cores(), 'core')} can be "
                "used, for which they would wait in turn: give as many or fewer"
            )
        torch.set_num_threads(workload.threads)
    environment = describe_environment(resolve_device(workload.device))
    return BenchmarkReport(subject, environment, BENCHMARKS[subject](workload, progress))


BENCHMARKS: dict[str, Callable[[Workload, Progress | None], Measured]] = {
    "op": bench_operation,
    "model": bench_model,
    "train": bench_training_step,
    "loader": bench_loader,
    "segments": bench_segments,
    "predict": bench_predict,
    "stream": bench_stream,
    "export": bench_export,
}
"""Subject -> benchmark; each has its default number of rounds, and calls `progress` after each."""
