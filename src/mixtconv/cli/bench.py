"""`mixtconv bench SUBJECT`."""

from typing import TYPE_CHECKING, Literal

from mixtconv.benchmarks.settings import Workload
from mixtconv.cli.commands import Result, Table
from mixtconv.cli.console import progress

if TYPE_CHECKING:
    from mixtconv.benchmarks.memory import MemoryComparison
    from mixtconv.benchmarks.timing import Comparison


def bench(
    subject: Literal["op", "model", "train", "loader", "segments", "predict", "stream", "export"],
    workload: Workload,
) -> Result:
    """Measure speed against baselines, interleaved in one process.

    Args:
        subject: The temporal operation alone, inference of whole recognizers, a training step, the
            loader of videos, training from segments of a long recording, recognizing a folder of
            videos, a new frame of streams, or exported models in their engines.
        workload: What is run.
    """
    from mixtconv.benchmarks.benchmark import run_benchmark

    with progress(f"measuring {subject}") as show:
        report = run_benchmark(subject, workload, progress=show)
    measured = report.measured
    notes = dict.fromkeys(note for times in measured.times for note in times.notes)
    return Result(
        report.to_dict(),
        [
            Table(["measured on", ""], list(report.environment.to_dict().items())),
            *map(_times_table, measured.times),
            *map(_memory_table, measured.memory),
        ],
        list(notes),
    )


def _times_table(comparison: "Comparison") -> Table:
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
    title = f"{comparison.title}, rounds: {comparison.timings[0].rounds}"
    return Table(columns, rows, title)


def _memory_table(comparison: "MemoryComparison") -> Table:
    rows = [[name, peak / 2**20, comparison.ratio(name)] for name, peak in comparison.peaks.items()]
    columns = ["candidate", "peak MiB", f"times {comparison.baseline}"]
    return Table(columns, rows, comparison.title)
