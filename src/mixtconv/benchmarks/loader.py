"""Speed of reading clips: raw files, prepared ones, cached frames, and decoding in order.

Decoding in order is the baseline: from the start of the file to the last frame of the clip, keeping
the requested frames, which is necessary without a table of the file's packets. It is written here,
on the same FFmpeg, with one thread and with FFmpeg's default. torchcodec, which seeks as well, is a
second baseline where it is installed.

`write_sample_video` renders the video to read: a camera pans and zooms over a scene with moving
objects. As usual for Kinetics it has 10 seconds of 340x256 in H.264 with x264's default settings,
so keyframes up to 250 frames apart. Its size in bytes is that of a natural clip, since the strength
of detail falls with frequency as in nature.
"""

import importlib
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from mixtconv._types import Progress
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import Comparison, Measured, Timing, interleave
from mixtconv.data.clips import read_clip
from mixtconv.data.dataset import default_workers, video_loader
from mixtconv.data.epoch_sampler import EpochSampler
from mixtconv.data.frame_cache import FrameCache, cached_form, fill_cache
from mixtconv.data.listing import VideoSample
from mixtconv.data.preparation.encoding import encode_video
from mixtconv.data.preparation.form import PreparedForm
from mixtconv.data.protocol import Protocol
from mixtconv.data.training_clips import TrainingClips
from mixtconv.data.transforms import least_training_side
from mixtconv.models import ModelSpec
from mixtconv.video.opening import file_address
from mixtconv.video.packet_table import SETTLED_SECONDS
from mixtconv.video.reader import probe_video
from mixtconv.video.sampling import training_clip
from mixtconv.video.writer import Encoding, write_video

WIDTH, HEIGHT = 340, 256
FRAMES_PER_SECOND = 30

_SCENE = 640
_OBJECT_SIZES = (150, 110, 80, 60, 40)
_SENSOR_NOISE = 2.5
_ENCODING = Encoding(quality=23, preset="medium", keyframe_distance=250, parameters="")
"""The defaults of x264."""


def write_sample_video(path: Path, *, num_frames: int = 300) -> Path:
    """Write the video, which is deterministic, and return its path."""
    write_video(path, _frames(num_frames), frames_per_second=FRAMES_PER_SECOND, encoding=_ENCODING)
    return path


def _frames(num_frames: int) -> Iterator[npt.NDArray[np.uint8]]:
    """Frames, each (H, W, 3)."""
    rng = np.random.default_rng(0)
    scene = _texture(rng, _SCENE)
    objects = [_texture(rng, side) for side in _OBJECT_SIZES]
    noise = rng.normal(0, _SENSOR_NOISE, (8, HEIGHT, WIDTH, 3))
    for number in range(num_frames):
        picture = scene.copy()
        for index, moving in enumerate(objects):
            phase = 2 * np.pi * (number / 60 * (1 + index % 3) + index / len(objects))
            rotated = moving.rotate(10 * index + 2 * number, Image.Resampling.BILINEAR)
            x, y = 270 + 130 * np.cos(phase), 290 + 120 * np.sin(0.7 * phase)
            picture.paste(rotated, (int(x), int(y)))
        turn = 2 * np.pi * number / 100
        width = 380 + 40 * np.cos(turn)
        left, top = 130 + 40 * np.sin(turn), 170 + 40 * np.sin(1.7 * turn)
        box = (left, top, left + width, top + width * HEIGHT / WIDTH)
        view = picture.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=box)
        noisy = np.asarray(view) + noise[rng.integers(len(noise))]
        yield noisy.clip(0, 255).astype(np.uint8)


def _texture(rng: np.random.Generator, side: int) -> Image.Image:
    """Random detail whose strength falls with its frequency, as in photographs."""
    frequencies = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None, :])
    frequencies[0, 0] = 1 / side
    spectrum = np.fft.fft2(rng.normal(size=(side, side, 3)), axes=(0, 1)) / frequencies[..., None]
    detail = np.fft.ifft2(spectrum, axes=(0, 1)).real  # (side, side, 3)
    grey = detail.mean(2, keepdims=True)
    values = 128 + 35 * (grey / grey.std() + 0.4 * (detail - grey) / (detail - grey).std())
    return Image.fromarray(values.clip(0, 255).astype(np.uint8))


ROUNDS = 14

CLIPS_READ = 4
"""Clips that a candidate reads in a round, at different random positions every time."""
CLIPS_LOADED = 32
"""Clips of an epoch through the loader."""
BATCH_SIZE = 8
"""Clips of a batch, unless the workload sets them."""

IN_ORDER, IN_ORDER_THREADED = "decoding in order", "decoding in order, frame threads"
RAW, PREPARED = "raw file", "prepared file"
HDR = "raw file, marked as HDR"
TORCHCODEC, TORCHCODEC_PREPARED = "torchcodec, raw file", "torchcodec, prepared file"
RAW_FIRST, PREPARED_FIRST = "raw file, first time", "prepared file, first time"
LOADED_RAW, LOADED_PREPARED = "raw files, loader", "prepared files, loader"
LOADED_CACHED = "cached frames, loader"

ReadClip = Callable[[Path, Callable[[int], Sequence[int]]], Tensor]


def bench_loader(workload: Workload, progress: Progress | None = None) -> Measured:
    """Time the reading of clips against decoding in order, and through the loader.

    Raises:
        UnreadableVideoError: there is no such video, or it cannot be read.
    """
    video = workload.video
    if video is not None:
        probe_video(video)  # so that an error names this file and not the copy
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder, "raw.mp4")
        if video is None:
            write_sample_video(raw)
        else:
            shutil.copyfile(video, raw)
        prepared = Path(folder, "prepared.mp4")
        encode_video(raw, prepared, PreparedForm())
        notes = (f"raw: {describe(raw)}; prepared: {describe(prepared)}",)
        candidates = {**readers(raw, prepared, workload), **loaders(raw, prepared, workload)}
        time.sleep(SETTLED_SECONDS)  # before that packet tables are not cached
        timings = interleave(candidates, rounds=workload.rounds or ROUNDS, progress=progress)
    return Measured(_comparisons(timings, workload, notes))


def readers(raw: Path, prepared: Path, workload: Workload) -> Mapping[str, Callable[[], Tensor]]:
    """Candidates that read the same clips one by one, with one thread where the name says no other.

    The first reading of a file makes its packet table, which later ones take from the cache.
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
    if has_torchcodec():
        reading[TORCHCODEC] = (_read_by_torchcodec, raw)
        reading[TORCHCODEC_PREPARED] = (_read_by_torchcodec, prepared)
    if probe_video(raw).codec == "h264":
        reading[HDR] = (_read, _marked_as_hdr(raw))
    return {
        name: partial(_read_several, read, path, _spec(workload), np.random.default_rng(0))
        for name, (read, path) in reading.items()
    }


def _marked_as_hdr(raw: Path) -> Path:
    """A copy of an H.264 file that says that its colours are HLG, so that they are toned."""
    import av  # noqa: PLC0415
    from av.bitstream import BitStreamFilterContext  # noqa: PLC0415

    path = raw.with_stem(f"{raw.stem}-hdr")
    with av.open(file_address(raw)) as source, av.open(file_address(path), "w") as target:
        stream = source.streams.video[0]
        copy = target.add_stream_from_template(stream)
        marking = "h264_metadata=transfer_characteristics=18:colour_primaries=9"
        marked = BitStreamFilterContext(marking, stream, copy)
        for packet in source.demux(stream):
            for result in marked.filter(packet if packet.size else None):
                result.stream = copy
                target.mux(result)
    return path


def decode_in_order(
    path: Path, choose: Callable[[int], Sequence[int]], *, num_threads: int
) -> Tensor:
    """Decode up to the last frame of a clip and keep its frames, uint8 (T, 3, H, W)."""
    import av  # noqa: PLC0415

    frames: dict[int, npt.NDArray[np.uint8]] = {}
    with av.open(file_address(path)) as container:
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


def has_torchcodec() -> bool:
    """Whether torchcodec is installed, and finds FFmpeg's libraries, which it does not bring."""
    try:
        importlib.import_module("torchcodec.decoders")
    except (ImportError, OSError, RuntimeError):
        return False
    return True


def _read_by_torchcodec(path: Path, choose: Callable[[int], Sequence[int]]) -> Tensor:
    """A clip, uint8 (T, 3, H, W), by a decoder of one thread with torchcodec's other defaults."""
    decoders: Any = importlib.import_module("torchcodec.decoders")
    decoder = decoders.VideoDecoder(str(path), num_ffmpeg_threads=1)
    clip: Tensor = decoder.get_frames_at(list(choose(decoder.metadata.num_frames))).data
    return clip


def _read(path: Path, choose: Callable[[int], Sequence[int]]) -> Tensor:
    return read_clip(path, choose, num_threads=1, channels_last=True).frames


def _read_first(path: Path, choose: Callable[[int], Sequence[int]]) -> Tensor:
    os.utime(path)  # a changed file has no cached packet table
    return _read(path, choose)


def _spec(workload: Workload) -> ModelSpec:
    return ModelSpec(
        "tsn_resnet50", ("a",), num_frames=workload.num_frames, image_size=workload.image_size
    )


def _read_several(read: ReadClip, path: Path, spec: ModelSpec, rng: np.random.Generator) -> Tensor:
    """Clips at random positions, (N, T, 3, H, W)."""
    clips = [read(path, lambda length: training_clip(spec, length, rng)) for _ in range(CLIPS_READ)]
    return torch.stack(clips)


def loaders(raw: Path, prepared: Path, workload: Workload) -> Mapping[str, Callable[[], int]]:
    """Candidates that read an epoch of training clips through persistent worker processes."""
    spec = _spec(workload)
    side = least_training_side(spec.image_size)
    form = cached_form(spec, Protocol(), training_side=side)
    assert form is not None  # of pictures
    cached = fill_cache([raw], raw.with_name("frames"), form)

    def loader(path: Path, cache: FrameCache | None = None) -> Callable[[], int]:
        dataset = TrainingClips([VideoSample(path, 0)] * CLIPS_LOADED, spec, cache=cache)
        batches = video_loader(
            dataset,
            EpochSampler(CLIPS_LOADED, seed=0),
            batch_size=workload.batch_size or BATCH_SIZE,
            workers=default_workers(),
        )
        return lambda: sum(len(batch.labels) for batch in batches)

    return {
        LOADED_RAW: loader(raw),
        LOADED_PREPARED: loader(prepared),
        LOADED_CACHED: loader(raw, cached),
    }


def describe(path: Path) -> str:
    """Length, size and codec of a video, for the notes."""
    info = probe_video(path)
    size = f"{info.width}x{info.height}"
    return f"{info.num_frames} frames of {size}, {info.codec}, {path.stat().st_size / 1e6:.2f} MB"


def _comparisons(
    timings: Sequence[Timing], workload: Workload, notes: tuple[str, ...]
) -> tuple[Comparison, ...]:
    through_workers = (LOADED_RAW, LOADED_PREPARED, LOADED_CACHED)
    read = tuple(t for t in timings if t.name not in through_workers)
    loaded = tuple(t for t in timings if t not in read)
    size = f"{workload.num_frames}x{workload.image_size}x{workload.image_size}"
    return (
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
    )


def _rates(timings: Sequence[Timing], num_clips: int) -> str:
    rates = [f"{num_clips / timing.median_seconds:.1f} {timing.name}" for timing in timings]
    return f"clips a second: {'; '.join(rates)}"
