"""`mixtconv bench SUBJECT`."""

import sys
from typing import TYPE_CHECKING, Literal

from mixtconv.benchmarks.settings import Workload
from mixtconv.cli.console import Format, print_json, print_table, progress

if TYPE_CHECKING:
    from mixtconv.benchmarks.benchmark import BenchmarkReport
    from mixtconv.benchmarks.memory import MemoryComparison
    from mixtconv.benchmarks.timing import Comparison


def bench(
    subject: Literal["op", "model", "train", "loader", "stream", "export"],
    workload: Workload,
    *,
    format: Format = "table",
) -> int:
    """Measure speed against baselines, interleaved in one process.

    Args:
        subject: The temporal operation alone, inference of whole recognizers, a training step, the
            loader of videos, a new frame of streams, or exported models in their engines.
        workload: What is run.
        format: How the result is printed, table or json.
    """
    from mixtconv.benchmarks.benchmark import run_benchmark

    with progress(f"measuring {subject}") as show:
        report = run_benchmark(subject, workload, progress=show)
    if format == "json":
        print_json(report.to_dict())
    else:
        _print_tables(report)
    return 0


def _print_tables(report: "BenchmarkReport") -> None:
    print_table(["measured on", ""], list(report.environment.to_dict().items()))
    for comparison in report.measured.times:
        _print_times(comparison)
    for memory in report.measured.memory:
        _print_memory(memory)
    for note in dict.fromkeys(note for times in report.measured.times for note in times.notes):
        sys.stdout.write(note + "\n")


def _print_times(comparison: "Comparison") -> None:
    references = [comparison.baseline, *comparison.references]
    rows = [
        [
            timing.name,
            1e3 * timing.median_seconds,
            1e3 * timing.low_seconds,
            1e3 * timing.high_seconds,
            *(comparison.ratio(timing, to=name) for name in references),
        ]
        for timing in comparison.timings
    ]
    columns = ["candidate", "median ms", "quartile", "quartile"]
    columns += [f"times {name}" for name in references]
    print_table(columns, rows, title=f"{comparison.title}, rounds: {comparison.timings[0].rounds}")


def _print_memory(comparison: "MemoryComparison") -> None:
    rows = [[name, peak / 2**20, comparison.ratio(name)] for name, peak in comparison.peaks.items()]
    columns = ["candidate", "peak MiB", f"times {comparison.baseline}"]
    print_table(columns, rows, title=comparison.title)
