"""Training from segments of a long recording, against the same segments cut into files.

The recording is the sample video of the loader's benchmark, repeated without encoding it again, and
its segments are of 1 to 6 seconds, spread over all of it. They are read as training reads them:
random clips, cropped, mirrored and changed, through worker processes, in a first epoch, with new
processes and no kept frames, and in later ones. So are the same segments of a recording in the form
of prepared videos, which tells what being a segment costs from what the form of a file does.
"""

import csv
import tempfile
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import torch

from mixtconv._types import Progress
from mixtconv.benchmarks.loader import (
    BATCH_SIZE,
    FRAMES_PER_SECOND,
    describe,
    write_sample_video,
)
from mixtconv.benchmarks.memory import MemoryComparison, peak_bytes
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import Comparison, Measured, Timing, interleave
from mixtconv.data.checking.preflight import check_catalog
from mixtconv.data.dataset import default_workers, video_loader
from mixtconv.data.datasets.catalog import VideoCatalog, load_catalog
from mixtconv.data.epoch_sampler import EpochSampler
from mixtconv.data.labels import choose_pairs
from mixtconv.data.preparation.encoding import encode_video
from mixtconv.data.preparation.form import PreparedForm
from mixtconv.data.preparation.run import prepare
from mixtconv.models import ModelSpec
from mixtconv.training.data import training_clips
from mixtconv.training.settings import TrainingSettings
from mixtconv.video.opening import file_address
from mixtconv.video.packet_table import SETTLED_SECONDS

ROUNDS = 4
NUM_SEGMENTS = 64
SAMPLE_SECONDS = 10
"""Of the video that is repeated."""
SEGMENT_SECONDS = (1.0, 6.0)

CUT, SEGMENTS = "files that prepare cut", "segments of the recording"
PREPARED = "segments of the recording as prepare writes it"
FIRST, LATER = "first epoch", "later epoch"


def bench_segments(workload: Workload, progress: Progress | None = None) -> Measured:
    """Time epochs of training clips from segments and from files, and measure their memory.

    Raises:
        UnreadableVideoError: there is no such video, or it cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        if workload.video is None:
            num_frames = SAMPLE_SECONDS * FRAMES_PER_SECOND
            sample = write_sample_video(Path(folder, "sample.mp4"), num_frames=num_frames)
        else:
            sample = Path(workload.video)
        fast = Path(folder, "prepared sample.mp4")
        encode_video(sample, fast, PreparedForm())
        recordings, lists = {SEGMENTS: sample, PREPARED: fast}, {}
        for name, path in recordings.items():
            recordings[name] = Path(folder, name, "recording.mp4")
            recordings[name].parent.mkdir()
            seconds = repeat_video(path, recordings[name], seconds=60 * workload.minutes)
            lists[name] = write_list(recordings[name], seconds)
        lists[CUT] = prepare(lists[SEGMENTS], out=Path(folder, "cut")).data
        time.sleep(SETTLED_SECONDS)  # before that packet tables are not cached
        catalogs = {name: load_catalog(path, val_fraction=0) for name, path in lists.items()}
        for catalog in catalogs.values():
            check_catalog(catalog)  # as before training, which lists the packets
        timings = interleave(
            epochs(catalogs, workload),
            rounds=workload.rounds or ROUNDS,
            progress=progress,
        )
        peaks = {
            name: peak_bytes(partial(read_epoch, path, workload), device=torch.device("cpu"))
            for name, path in lists.items()
        }
        notes = tuple(f"{name}: {describe(path)}" for name, path in recordings.items())
    title = f"{NUM_SEGMENTS} clips of {workload.num_frames} frames"
    return Measured(
        tuple(_comparison(timings, workload, epoch, notes) for epoch in (FIRST, LATER)),
        (MemoryComparison(f"an epoch of {title}, without workers", CUT, peaks),),
    )


def repeat_video(sample: Path, target: Path, *, seconds: float) -> float:
    """Write a file of a video's packets again and again, for so many seconds; returns its length.

    Args:
        sample: an H.264 video whose times begin at 0.
        target: the file.
        seconds: at least; the last repetition is whole.
    """
    import av  # noqa: PLC0415

    with av.open(file_address(target), "w") as output, av.open(file_address(sample)) as source:
        stream = source.streams.video[0]
        copy = output.add_stream_from_template(stream)
        packets = [packet for packet in source.demux(stream) if packet.size]
        data = [(bytes(packet), packet.pts, packet.dts, packet.is_keyframe) for packet in packets]
        step = len(data) * packets[0].duration
        number = 0
        while number * step * stream.time_base < seconds:
            for content, pts, dts, is_keyframe in data:
                packet = av.Packet(content)
                packet.stream, packet.time_base = copy, stream.time_base
                packet.pts, packet.dts = pts + number * step, dts + number * step
                packet.is_keyframe = is_keyframe
                output.mux(packet)
            number += 1
        return float(number * step * stream.time_base)


def write_list(recording: Path, seconds: float) -> Path:
    """A list of segments that are spread over a recording, of two classes in turn."""
    rng = np.random.default_rng(0)
    path = recording.with_name("segments.csv")
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "label", "start", "end"])
        room = seconds / NUM_SEGMENTS
        for number in range(NUM_SEGMENTS):
            length = min(rng.uniform(*SEGMENT_SECONDS), 0.9 * room)
            start = number * room + rng.uniform(0, room - length)
            rows.writerow(
                [recording.name, "ab"[number % 2], f"{start:.3f}", f"{start + length:.3f}"]
            )
    return path


def epochs(
    catalogs: Mapping[str, VideoCatalog], workload: Workload
) -> dict[str, Callable[[], int]]:
    """Candidates: an epoch of each catalog by new worker processes, and by those that go on."""
    candidates: dict[str, Callable[[], int]] = {}
    for name, catalog in catalogs.items():
        candidates[f"{name}, {FIRST}"] = partial(_epoch_by_new_workers, catalog, workload)
        candidates[f"{name}, {LATER}"] = _epoch(catalog, workload, workers=default_workers())
    return candidates


def _epoch_by_new_workers(catalog: VideoCatalog, workload: Workload) -> int:
    return _epoch(catalog, workload, workers=default_workers())()


def read_epoch(path: Path, workload: Workload) -> Callable[[], int]:
    """An epoch of a list in this process, as a function to run."""
    return _epoch(load_catalog(path, val_fraction=0), workload, workers=0)


def _epoch(catalog: VideoCatalog, workload: Workload, *, workers: int) -> Callable[[], int]:
    """An epoch of training clips, as a function that returns how many it has read."""
    spec = ModelSpec(
        "tsn_resnet50",
        catalog.classes,
        num_frames=workload.num_frames,
        image_size=workload.image_size,
    )
    clips = training_clips(
        catalog, spec, TrainingSettings(data=""), mirroring=choose_pairs(catalog.classes, "auto")
    )
    batches = video_loader(
        clips,
        EpochSampler(len(catalog.train), seed=0),
        batch_size=workload.batch_size or BATCH_SIZE,
        workers=workers,
    )
    return lambda: sum(len(batch.labels) for batch in batches)


def _comparison(
    timings: list[Timing], workload: Workload, epoch: str, notes: tuple[str, ...]
) -> Comparison:
    own = tuple(timing for timing in timings if timing.name.endswith(epoch))
    rates = [
        f"{NUM_SEGMENTS * workload.num_frames / timing.median_seconds:.0f} {timing.name}"
        for timing in own
    ]
    return Comparison(
        f"{epoch} of {NUM_SEGMENTS} clips of {workload.num_frames}x{workload.image_size}x"
        f"{workload.image_size} through {default_workers()} workers",
        f"{CUT}, {epoch}",
        own,
        (*notes, f"frames of clips a second: {'; '.join(rates)}"),
    )
