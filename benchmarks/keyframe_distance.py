"""Cost and gain of the keyframe distance of prepared videos.

    python benchmarks/keyframe_distance.py VIDEO [--rounds 16]

The video is prepared at several distances; from each file, and from the video itself, clips of
eight frames are read at random positions, spread over the video and dense. All are interleaved; the
median processor time of a clip and the size of the file are printed.
"""

import argparse
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np

from mixtconv.benchmarks.timing import Comparison, interleave
from mixtconv.data.clips import read_clip
from mixtconv.data.preparation.encoding import encode_video
from mixtconv.data.preparation.form import PreparedForm
from mixtconv.models.spec import ModelSpec, Sampling
from mixtconv.video.packet_table import SETTLED_SECONDS
from mixtconv.video.sampling import training_clip

DISTANCES = (1, 2, 4, 6, 8, 12, 24)
CLIPS = 4
RAW = "as it is"


def read(path: Path, rng: np.random.Generator, sampling: Sampling) -> None:
    spec = ModelSpec("tsn_resnet50", ("a",), num_frames=8, sampling=sampling)
    for _ in range(CLIPS):
        read_clip(
            path,
            lambda length: training_clip(spec, length, rng),
            num_threads=1,
            channels_last=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("video", type=Path)
    parser.add_argument("--rounds", type=int, default=16)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = {RAW: options.video}
        for distance in DISTANCES:
            files[f"every {distance}"] = Path(folder, f"{distance}.mp4")
            form = PreparedForm(keyframe_distance=distance)
            encode_video(options.video, files[f"every {distance}"], form)
        time.sleep(SETTLED_SECONDS)
        for sampling in ("segment", "dense"):
            readers = {
                name: partial(read, path, np.random.default_rng(0), sampling)
                for name, path in files.items()
            }
            timings = interleave(readers, rounds=options.rounds, clock=time.process_time)
            comparison = Comparison(sampling, RAW, tuple(timings))
            for timing in timings:
                milliseconds = 1e3 * timing.median_seconds / CLIPS
                print(
                    f"{sampling:8} keyframe {timing.name:9} {milliseconds:6.1f} ms a clip, "
                    f"{1 / comparison.ratio(timing):5.1f} times as fast, "
                    f"{files[timing.name].stat().st_size / 1e6:.2f} MB"
                )


if __name__ == "__main__":
    main()
