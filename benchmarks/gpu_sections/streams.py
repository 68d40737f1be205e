"""One new frame of each of some streams, beside one frame of TSN and a whole clip for every frame.

A stream's frames come one after the other, and where they are written depends on how many there
were: no CUDA graph, and the launches count.
"""

from gpu_sections.recognizers import AUTOCAST, workload_of
from gpu_sections.run import Run
from gpu_sections.timing import milliseconds, products
from mixtconv.benchmarks.model import bench_stream


def measure(run: Run) -> None:
    """Record the time of a frame by the number of streams and the precision."""
    for num_streams in run.sizes.streams:
        for precision in (each for each in run.sizes.precisions if each != "tf32"):
            what = f"{num_streams} streams, {precision}"
            if run.has_time(what, 6):
                with run.attempt(what), products(precision):
                    workload = workload_of(
                        run, num_streams, precision=AUTOCAST[precision], rounds=run.sizes.rounds
                    )
                    (comparison,) = bench_stream(workload).times
                    for timing in comparison.timings:
                        run.record(
                            streams=num_streams,
                            precision=precision,
                            recognizer=timing.name,
                            **milliseconds(timing),
                            beside=comparison.baseline,
                            times_baseline=comparison.ratio(timing),
                        )
                run.free()
