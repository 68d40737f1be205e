"""How far a stream's logits are from those of one clip of all its frames.

    python benchmarks/stream_difference.py [--frames 1000] [--image-size 96] [--video VIDEO]

The frames of a video, repeated if it is too short, pass causal recognizers with random weights
twice: one by one as a stream, optimised for inference, and all together as one clip through the
plain model, which has no state. The largest difference of a frame's logits over all frames is
printed, absolute and as a fraction of the largest logit.
"""

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

import mixtconv
from mixtconv.benchmarks.loader import write_sample_video
from mixtconv.data.clips import as_frames
from mixtconv.data.transforms import center_crop
from mixtconv.models.streaming import StreamingClassifier, StreamState
from mixtconv.video.reader import iterate_frames

BACKBONES = ("resnet18", "resnet50", "mobilenetv2_100")


def frames_of(video: Path, size: int) -> Iterator[Tensor]:
    """uint8 (1, 3, S, S), repeated without end."""
    while True:
        for picture in iterate_frames(video):
            yield center_crop(as_frames(picture[None]), size)[0]


@torch.inference_mode()
def largest_difference(backbone: str, pictures: Tensor) -> tuple[float, float]:
    """Largest difference and largest logit for pictures uint8 (T, 3, S, S)."""
    torch.manual_seed(0)
    model = mixtconv.create_model(
        f"mstnet_{backbone}",
        num_classes=174,
        num_frames=len(pictures),
        image_size=pictures.shape[-1],
        causal=True,
    ).eval()
    streaming, state = StreamingClassifier(model), StreamState(num_streams=1)
    one_by_one = [streaming(model.normalize(picture[None]), state) for picture in pictures]
    together = model.forward_frames(model.normalize(pictures[None]))[0]  # (T, K)
    difference = (torch.cat(one_by_one) - together).abs().max()
    return float(difference), float(together.abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--video", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = options.video or write_sample_video(Path(folder, "sample.mp4"))
        frames = itertools.islice(frames_of(video, options.image_size), options.frames)
        pictures = torch.cat(list(frames))  # (T, 3, S, S)
    print(f"{'backbone':18} {'difference':>12} {'of the largest logit':>22}")
    for backbone in BACKBONES:
        difference, largest = largest_difference(backbone, pictures)
        print(f"{backbone:18} {difference:12.2e} {difference / largest:22.2e}")


if __name__ == "__main__":
    main()
