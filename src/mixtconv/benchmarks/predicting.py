"""Speed of recognizing a folder of videos: decoding alone, the network alone, and both.

Decoding and the network of a CPU share its cores, so what both together need is the sum of their
times on all cores; on one core each, as where a device of its own runs the network, the longer of
the two would be the limit.
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from mixtconv._names import count_of
from mixtconv._types import Progress
from mixtconv.benchmarks.loader import describe, write_sample_video
from mixtconv.benchmarks.model import create_recognizer, temporal_families
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import Comparison, Measured, Timing, interleave
from mixtconv.data.parallel import usable_cores
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.video.reader import probe_video

ROUNDS = 4

DECODING, NETWORK, BOTH = "decoding alone", "network alone", "from file to label"
ONE_CORE = "on one core"
IN_TURN = "from file to label, one video after the other"


def bench_predict(workload: Workload, progress: Progress | None = None) -> Measured:
    """Time the recognition of a folder of videos, its parts, and one video after the other.

    Raises:
        ValueError: an unknown backbone or one without residual branches, or a device that is not
            available.
        UnreadableVideoError: there is no such video, or it cannot be read.
    """
    if workload.video is not None:
        probe_video(workload.video)  # so that an error names this file and not a copy
    *_, family = temporal_families(workload)
    model = create_recognizer(family, workload)
    recognizer = Recognizer(model, device=workload.device, precision=workload.precision)
    recognizer.cores = recognizer.decoder_threads = workload.threads
    with tempfile.TemporaryDirectory() as folder:
        videos = _folder(Path(folder), workload)
        info = describe(videos[0])
        candidates = candidates_of(recognizer, videos)
        timings = interleave(
            candidates,
            rounds=workload.rounds or ROUNDS,
            device=recognizer.device,
            progress=progress,
        )
    size = f"{workload.num_frames}x{workload.image_size}x{workload.image_size}"
    title = f"{count_of(len(videos), 'video')} of {info}, {size}, {model.spec.name}"
    return Measured((Comparison(title, BOTH, tuple(timings), _notes(timings, len(videos))),))


def candidates_of(recognizer: Recognizer, videos: Sequence[Path]) -> dict[str, Callable[[], Any]]:
    """What is timed: all videos decoded, recognized, or both, by as many threads as the recognizer
    has cores, and by one.

    Args:
        recognizer: the model; its `cores` are those of torch, too.
        videos: the files.
    """
    views = [recognizer.reader.read(video).frames for video in videos]

    def run(
        work: Callable[[Recognizer, Any], Any], items: Sequence[Any], workers: int | None
    ) -> int:
        return sum(1 for _ in recognizer.in_threads(work, items, workers=workers))

    def on_one_core(work: Callable[[Recognizer, Any], Any], items: Sequence[Any]) -> int:
        # In a thread that begins in the block: the caller's own computes on all cores.
        cores = recognizer.cores or usable_cores()
        with recognizer.concurrent(cores) as own, ThreadPoolExecutor(1) as thread:
            return sum(1 for _ in thread.map(partial(work, own), items))

    label = Recognizer.try_predict
    parts: Mapping[str, tuple[Callable[[Recognizer, Any], Any], Sequence[Any]]] = {
        DECODING: (Recognizer._read, videos),
        NETWORK: (Recognizer.view_logits, views),
    }
    return {
        **{name: partial(run, *part, None) for name, part in parts.items()},
        **{f"{name} {ONE_CORE}": partial(on_one_core, *part) for name, part in parts.items()},
        BOTH: partial(run, label, videos, None),
        IN_TURN: partial(run, label, videos, 1),
    }


def _folder(folder: Path, workload: Workload) -> list[Path]:
    """So many copies of the video."""
    first = folder / "0000.mp4"
    if workload.video is None:
        write_sample_video(first)
    else:
        shutil.copyfile(workload.video, first)
    copies = [first.with_stem(f"{number:04}") for number in range(1, workload.videos)]
    for copy in copies:
        shutil.copyfile(first, copy)
    return [first, *copies]


def _notes(timings: Sequence[Timing], num_videos: int) -> tuple[str, ...]:
    seconds = {timing.name: timing.seconds for timing in timings}
    rates = [f"{num_videos / each.median_seconds:.2f} {each.name}" for each in timings]
    rounds = range(len(seconds[BOTH]))
    sums = [(seconds[DECODING][n] + seconds[NETWORK][n]) / seconds[BOTH][n] for n in rounds]
    longer = [
        max(seconds[f"{name} {ONE_CORE}"][n] for name in (DECODING, NETWORK)) / seconds[BOTH][n]
        for n in rounds
    ]
    return (
        f"videos a second: {'; '.join(rates)}",
        f"{BOTH} at {median(sums):.2f} of the rate at which the same cores can do both, which is "
        f"the sum of both times; at {median(longer):.2f} of the rate of the slower part on one "
        "core",
    )
