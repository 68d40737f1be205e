"""Joins labelled clips to long recordings, with the list of their segments: events to find.

    python benchmarks/join_clips.py CLIPS --out joined [--clips 16] [--fps 25] [--size 256x192]

The clips of each split are shuffled and joined, so many to a recording, one beginning where the one
before ends. Those of `val` become `test`; a fifth of the recordings of `train`, at least one,
become `val`, to tune on. Every frame of a clip becomes one of the recording, whatever times it has.
Writes `recordings/*.mp4` and `segments.csv` (video, label, start, end, split), which `mixtconv
train`, `tune-events` and `evaluate --events` read.
"""

import argparse
import csv
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from mixtconv._atomic_write import refuse_unwritable
from mixtconv.data.datasets.catalog import VideoCatalog, load_catalog
from mixtconv.data.listing import VideoSample
from mixtconv.video.reader import iterate_frames
from mixtconv.video.writer import Encoding, write_video


def recordings_of(catalog: VideoCatalog, num_clips: int, seed: int) -> Iterator[tuple[str, list]]:
    """The split and the clips of each recording."""
    order = random.Random(seed)
    for split, samples in (("train", catalog.train), ("test", catalog.val)):
        shuffled = order.sample(list(samples), len(samples))
        groups = [shuffled[at : at + num_clips] for at in range(0, len(shuffled), num_clips)]
        num_val = max(1, len(groups) // 5) if split == "train" else 0
        for number, clips in enumerate(groups):
            yield "val" if number < num_val else split, clips


def write_recording(
    path: Path, clips: Sequence[VideoSample], *, fps: int, size: tuple[int, int]
) -> list[tuple[int, int]]:
    """Write a recording; the first frame of each clip in it, and the first one after."""
    spans: list[tuple[int, int]] = []

    def frames() -> Iterator[np.ndarray]:
        number = 0
        for clip in clips:
            first = number
            for frame in iterate_frames(clip.path):
                yield np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR))
                number += 1
            spans.append((first, number))

    write_video(path, frames(), frames_per_second=fps, encoding=Encoding(keyframe_distance=50))
    return spans


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clips", help="labelled clips with a split, as mixtconv train takes them")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--clips", dest="num_clips", type=int, default=16)
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--size", default="256x192", help="width x height")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    catalog = load_catalog(options.clips)
    folder = options.out / "recordings"
    folder.mkdir(parents=True, exist_ok=True)
    listing = options.out / "segments.csv"
    refuse_unwritable(listing)
    with listing.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["video", "label", "start", "end", "split"])
        made = enumerate(recordings_of(catalog, options.num_clips, options.seed))
        for number, (split, clips) in made:
            path = folder / f"{split}-{number:03}.mp4"
            spans = write_recording(path, clips, fps=options.fps, size=(width, height))
            for clip, (first, end) in zip(clips, spans, strict=True):
                label = catalog.classes[clip.label]
                times = [f"{frame / options.fps:.3f}" for frame in (first, end)]
                rows.writerow([f"recordings/{path.name}", label, *times, split])
            print(f"{path}: {len(clips)} clips, {spans[-1][1] / options.fps:.1f} s")


if __name__ == "__main__":
    main()
