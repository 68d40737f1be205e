"""Cost of training on a large dataset: bytes, cores for reading, hours.

    python benchmarks/sizing.py something_v2
    python benchmarks/sizing.py kinetics400 --video a.mp4 b.mp4 --clips-per-second 300 --gpus 8

Measured on this machine, as processor time of one core: reading a training clip (decoding,
cropping, resizing) from the original, from what `mixtconv prepare` makes of it, and from a folder
of JPEGs; and preparing a video. All else is multiplication by the numbers of the dataset. Give some
of its videos if you have them: by default one is rendered in its size, length and codec, with more
noise than most.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import numpy as np
import torch
from PIL import Image

from mixtconv.benchmarks.loader import write_sample_video
from mixtconv.benchmarks.timing import interleave
from mixtconv.data.dataset import SampleKey
from mixtconv.data.listing import VideoSample
from mixtconv.data.parallel import usable_cores
from mixtconv.data.preparation.encoding import encode_video
from mixtconv.data.preparation.form import PreparedForm
from mixtconv.data.preparation.pictures import write_pictures
from mixtconv.data.training_clips import TrainingClips
from mixtconv.models import ModelSpec
from mixtconv.video.packet_table import SETTLED_SECONDS
from mixtconv.video.reader import iterate_frames


@dataclass(frozen=True)
class Dataset:
    """Published figures of a dataset."""

    train: int
    """Training videos."""
    val: int
    """Validation videos."""
    kind: Literal["libx264", "libvpx-vp9", "pictures"]
    """Codec of its videos, or folders of JPEGs."""
    width: int
    height: int
    """Pixels of a typical video."""
    frames_per_second: int
    num_frames: int
    """Frames of a video of mean length."""


DATASETS = {
    "kinetics400": Dataset(240_436, 19_796, "libx264", 340, 256, 30, 300),
    "something_v2": Dataset(168_913, 24_777, "libvpx-vp9", 427, 240, 12, 48),
    "something_v1": Dataset(86_017, 11_522, "pictures", 176, 100, 12, 48),
}


@dataclass(frozen=True)
class Form:
    """A form of storing videos, and its cost."""

    name: str
    bytes_a_video: float
    ms_a_clip: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("--video", nargs="+", type=Path, help="videos of the dataset")
    parser.add_argument("--num-frames", type=int, default=8, help="frames of a clip")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--gpus", type=int, default=8, help="GPUs of a node")
    parser.add_argument("--cores", type=int, default=usable_cores(), help="cores of a node")
    parser.add_argument(
        "--clips-per-second", type=float, help="clips that one GPU trains on: mixtconv bench train"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    dataset = DATASETS[options.dataset]
    with tempfile.TemporaryDirectory() as folder:
        originals = options.video or [make_video(Path(folder), dataset)]
        forms, prepare_seconds = measure(
            originals, Path(folder), num_frames=options.num_frames, rounds=options.rounds
        )
    report(dataset, forms, prepare_seconds, options)


def make_video(folder: Path, dataset: Dataset) -> Path:
    """A video of the size, length and codec of a dataset."""
    scene = write_sample_video(folder / "scene.mp4", num_frames=dataset.num_frames)
    size = (dataset.width, dataset.height)
    frames = [np.asarray(Image.fromarray(frame).resize(size)) for frame in iterate_frames(scene)]
    if dataset.kind == "pictures":
        return as_pictures(folder / "original", frames)
    suffix = ".webm" if dataset.kind == "libvpx-vp9" else ".mp4"
    path = folder / f"original{suffix}"
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(dataset.kind, rate=Fraction(dataset.frames_per_second))
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return path


def as_pictures(folder: Path, frames: Sequence[np.ndarray]) -> Path:
    write_pictures(folder, ((f"{n:05d}.jpg", frame) for n, frame in enumerate(frames, 1)))
    return folder


def measure(
    originals: Sequence[Path], folder: Path, *, num_frames: int, rounds: int
) -> tuple[list[Form], float]:
    """The three forms of the originals, and seconds of one core to prepare a video."""
    prepared, pictures, seconds = [], [], []
    for number, original in enumerate(originals):
        prepared.append(folder / f"prepared{number}.mp4")
        start = time.process_time()
        encode_video(original, prepared[-1], PreparedForm())
        seconds.append(time.process_time() - start)
        frames = list(iterate_frames(prepared[-1]))
        pictures.append(as_pictures(folder / f"pictures{number}", frames))
    time.sleep(SETTLED_SECONDS)  # before that packet tables are not cached
    files = {"original": list(originals), "prepared": prepared, "JPEG folder": pictures}
    timings = interleave(
        {name: reader(paths, num_frames) for name, paths in files.items()},
        rounds=rounds,
        clock=time.process_time,
    )
    forms = [
        Form(
            timing.name,
            float(np.mean([num_bytes(path) for path in files[timing.name]])),
            1e3 * timing.median_seconds / CLIPS,
        )
        for timing in timings
    ]
    return forms, float(np.mean(seconds))


CLIPS = 8
"""Training clips read in a round."""


def reader(paths: Sequence[Path], num_frames: int) -> Callable[[], None]:
    """Reads training clips as a worker of the loader does, different ones every time."""
    spec = ModelSpec("mstnet_resnet50", ("a",), num_frames=num_frames, image_size=224)
    clips = TrainingClips([VideoSample(path, 0) for path in paths], spec)
    keys = (SampleKey(n // len(paths), n % len(paths)) for n in range(10**9))

    def read() -> None:
        for _ in range(CLIPS):
            clips[next(keys)]

    return read


def num_bytes(path: Path) -> int:
    files = list(path.iterdir()) if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def report(
    dataset: Dataset, forms: Sequence[Form], prepare_seconds: float, options: argparse.Namespace
) -> None:
    num_videos = dataset.train + dataset.val
    print(f"{options.dataset}: {dataset.train} + {dataset.val} videos, {options.num_frames} frames")
    print(
        f"preparing: {prepare_seconds:.2f} s a video, "
        f"{prepare_seconds * num_videos / 3600:.0f} core hours"
    )
    speed = options.clips_per_second
    for form in forms:
        milliseconds = form.ms_a_clip
        print(
            f"{form.name:12} {form.bytes_a_video / 1e3:7.0f} kB a video, "
            f"{form.bytes_a_video * num_videos / 1e9:6.0f} GB; {milliseconds:6.1f} ms a clip, "
            f"{milliseconds * dataset.train / 3.6e6:5.1f} core hours an epoch, "
            f"{milliseconds / 10:5.1f} cores for 100 clips a second"
        )
        if speed:
            fed = options.gpus * speed
            read = 1e3 * options.cores / milliseconds
            hours = options.epochs * dataset.train / min(fed, read) / 3600
            limit = "GPUs" if fed <= read else "reading"
            print(
                f"{'':12} {speed * milliseconds / 1e3:.1f} cores a GPU; {options.epochs} epochs on "
                f"{options.gpus} GPUs and {options.cores} cores: {hours:.1f} h, limited by {limit}"
            )


if __name__ == "__main__":
    main()
