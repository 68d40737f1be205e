"""What it costs to read eight spread frames of a video, against decoding all of it.

    python benchmarks/read_video.py VIDEO... [--rounds 5]

Baseline: PyAV decoding every picture of the file in order with one thread, and converting the same
eight to RGB. The two are interleaved; medians and their ratio are printed.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import av

from mixtconv.data.sampling import fixed_clips
from mixtconv.data.video import read_clip

NUM_FRAMES = 8


def read_spread(path: str) -> None:
    """What the library does for a clip."""
    read_clip(path, lambda num_frames: fixed_clips(num_frames, NUM_FRAMES)[0], num_threads=1)


def decode_everything(path: str, wanted: set[int]) -> None:
    """The plain way."""
    with av.open(path) as container:
        container.streams.video[0].thread_count = 1
        for number, frame in enumerate(container.decode(video=0)):
            if number in wanted:
                frame.to_ndarray(format="rgb24", threads=1)


def measure(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("videos", nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    for path in options.videos:
        clip = read_clip(path, lambda num_frames: fixed_clips(num_frames, NUM_FRAMES)[0])
        wanted = set(clip.indices)
        ours = partial(read_spread, path)
        plain = partial(decode_everything, path, wanted)
        pairs = [(measure(ours), measure(plain)) for _ in range(options.rounds)]
        spread, everything = (statistics.median(times) for times in zip(*pairs, strict=True))
        print(
            f"{path}: {clip.num_frames} frames, {NUM_FRAMES} spread {1e3 * spread:.0f} ms, "
            f"all {1e3 * everything:.0f} ms, ratio {spread / everything:.2f} "
            f"({options.rounds} rounds)"
        )


if __name__ == "__main__":
    main()
