"""Speed of reading clips: from raw files, from prepared ones, and by decoding in order.

Decoding in order is the baseline: from the start of the file to the last frame of the clip, keeping
the frames asked for, as whoever has no list of the file's packets must do. It is written here, on
the same FFmpeg, with one thread and with as many as FFmpeg takes.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mixtconv.benchmarks.sample_video import write_sample_video
from mixtconv.benchmarks.timing import Comparison, Progress, Timing, interleave
from mixtconv.benchmarks.workload import Workload
from mixtconv.data.catalog import VideoSample
from mixtconv.data.dataset import EpochSampler, TrainingClips
from mixtconv.data.loading import default_workers, training_loader
from mixtconv.data.picture_reader import probe_video
from mixtconv.data.preparation.encoding import encode_video
from mixtconv.data.preparation.form import PreparedForm
from mixtconv.data.sampling import random_clip
from mixtconv.data.table_memory import SETTLED_SECONDS
from mixtconv.data.video import read_clip
from mixtconv.models import ModelSpec

ROUNDS = 14

CLIPS_READ = 4
"""Clips that a candidate reads one by one in a round, at other places every time."""
CLIPS_LOADED = 32
"""Clips of an epoch through the loader."""
BATCH_SIZE = 8
"""Clips of a batch, unless the workload says."""

IN_ORDER, IN_ORDER_THREADED = "decoding in order", "decoding in order, frame threads"
RAW, PREPARED = "raw file", "prepared file"
RAW_FIRST, PREPARED_FIRST = "raw file, first time", "prepared file, first time"
LOADED_RAW, LOADED_PREPARED = "raw files, loader", "prepared files, loader"

ReadClip = Callable[[Path, Callable[[int], Sequence[int]]], Tensor]


def bench_loader(
    workload: Workload,
    *,
    video: str | Path | None = None,
    rounds: int | None = None,
    progress: Progress | None = None,
) -> list[Comparison]:
    """Time how long clips of a video take, one by one and through the loader.

    Args:
        workload: frames and size of a clip; clips of a batch, `BATCH_SIZE` by default.
        video: a file; by default one of 10 seconds is made, 340x256 in H.264.
        rounds: `ROUNDS` by default.
        progress: called after every round.

    Returns:
        Reading against decoding in order, and prepared against raw files through the loader.

    Raises:
        UnreadableVideoError: there is no such video, or it cannot be read.
    """
    if video is not None:
        probe_video(video)  # so that an error names this file, not the copy
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "raw.mp4")
        if video is None:
            write_sample_video(raw)
        else:
            shutil.copyfile(video, raw)
        prepared = Path(folder, "prepared.mp4")
        encode_video(raw, prepared, PreparedForm())
        notes = (f"raw: {_describe(raw)}; prepared: {_describe(prepared)}",)
        candidates = {**readers(raw, prepared, workload), **loaders(raw, prepared, workload)}
        time.sleep(SETTLED_SECONDS)  # until then packet tables are not kept
        timings = interleave(
            candidates, rounds=ROUNDS if rounds is None else rounds, progress=progress
        )
    return _comparisons(timings, workload, notes)


def readers(raw: Path, prepared: Path, workload: Workload) -> Mapping[str, Callable[[], Tensor]]:
    """What reads clips one by one, with one thread but for one candidate; all the same clips.

    A file that is read for the first time has its packets listed; then their list is known.
    """
    files = {RAW_FIRST: raw, PREPARED_FIRST: prepared}
    copies = {
        name: Path(shutil.copyfile(file, file.with_stem(f"{file.stem}-first")))
        for name, file in files.items()
    }
    reading: dict[str, tuple[ReadClip, Path]] = {
        IN_ORDER: (partial(decode_in_order, num_threads=1), raw),
        IN_ORDER_THREADED: (partial(decode_in_order, num_threads=0), raw),
        RAW_FIRST: (_read_first, copies[RAW_FIRST]),
        RAW: (_read, raw),
        PREPARED_FIRST: (_read_first, copies[PREPARED_FIRST]),
        PREPARED: (_read, prepared),
    }
    return {
        name: partial(_read_several, read, path, workload.num_frames, np.random.default_rng(0))
        for name, (read, path) in reading.items()
    }


def decode_in_order(
    path: Path, choose: Callable[[int], Sequence[int]], *, num_threads: int
) -> Tensor:
    """Decode up to the last frame of a clip and keep its frames, uint8 (T, 3, H, W)."""
    import av  # noqa: PLC0415

    frames: dict[int, npt.NDArray[np.uint8]] = {}
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_count = num_threads
        stream.thread_type = "FRAME"
        wanted = choose(stream.frames)
        for number, frame in enumerate(container.decode(stream)):
            if number in wanted:
                frames[number] = frame.to_ndarray(format="rgb24", threads=1)
            if number == wanted[-1]:
                break
    clip = np.stack([frames[number] for number in wanted])  # (T, H, W, 3)
    return torch.from_numpy(clip).permute(0, 3, 1, 2)  # (T, 3, H, W)


def _read(path: Path, choose: Callable[[int], Sequence[int]]) -> Tensor:
    return read_clip(path, choose, num_threads=1, channels_last=True).frames


def _read_first(path: Path, choose: Callable[[int], Sequence[int]]) -> Tensor:
    os.utime(path)  # its packet table is not kept, as of any file just written
    return _read(path, choose)


def _read_several(read: ReadClip, path: Path, num_frames: int, rng: np.random.Generator) -> Tensor:
    """Clips at random places, (N, T, 3, H, W)."""
    clips = [
        read(path, lambda length: random_clip(length, num_frames, rng)) for _ in range(CLIPS_READ)
    ]
    return torch.stack(clips)


def loaders(raw: Path, prepared: Path, workload: Workload) -> Mapping[str, Callable[[], int]]:
    """What reads an epoch of training clips through worker processes, which stay."""
    spec = ModelSpec(
        "tsn_resnet50", ("a",), num_frames=workload.num_frames, image_size=workload.image_size
    )

    def loader(path: Path) -> Callable[[], int]:
        dataset = TrainingClips([VideoSample(path, 0)] * CLIPS_LOADED, spec)
        batches = training_loader(
            dataset,
            EpochSampler(CLIPS_LOADED, seed=0),
            batch_size=workload.batch_size or BATCH_SIZE,
            workers=default_workers(),
        )
        return lambda: sum(len(batch.labels) for batch in batches)

    return {LOADED_RAW: loader(raw), LOADED_PREPARED: loader(prepared)}


def _describe(path: Path) -> str:
    info = probe_video(path)
    size = f"{info.width}x{info.height}"
    return f"{info.num_frames} frames of {size}, {info.codec}, {path.stat().st_size / 1e6:.2f} MB"


def _comparisons(
    timings: Sequence[Timing], workload: Workload, notes: tuple[str, ...]
) -> list[Comparison]:
    read = tuple(t for t in timings if t.name not in (LOADED_RAW, LOADED_PREPARED))
    loaded = tuple(t for t in timings if t not in read)
    size = f"{workload.num_frames}x{workload.image_size}x{workload.image_size}"
    return [
        Comparison(
            f"{CLIPS_READ} clips of {workload.num_frames} frames, one after the other",
            IN_ORDER,
            read,
            (*notes, _rates(read, CLIPS_READ)),
            references=(RAW,),
        ),
        Comparison(
            f"an epoch of {CLIPS_LOADED} clips of {size} through {default_workers()} workers",
            LOADED_RAW,
            loaded,
            (*notes, _rates(loaded, CLIPS_LOADED)),
        ),
    ]


def _rates(timings: Sequence[Timing], num_clips: int) -> str:
    rates = [f"{num_clips / timing.median_seconds:.1f} {timing.name}" for timing in timings]
    return f"clips a second: {'; '.join(rates)}"
