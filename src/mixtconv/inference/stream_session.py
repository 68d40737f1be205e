"""Recognising one source from its first frame to its last."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mixtconv.data.streams.frame import at_rate
from mixtconv.data.streams.source import FrameSource
from mixtconv.inference.streams import FrameLabels, StreamRecognizer
from mixtconv.models.spec import ModelSpec


@dataclass(frozen=True)
class SeenFrame:
    """What was seen up to a frame of a source."""

    number: int
    """Number of the frame in the source, from 0."""
    seconds: float
    """Its time by the source's clock, from its first frame on."""
    labels: FrameLabels
    """The labels."""
    num_dropped: int
    """Frames of the source so far that were dropped because they came too fast."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv stream --format json` prints them."""
        return {
            **self.labels.to_dict(),
            "frame": self.number,
            "seconds": round(self.seconds, 4),
            "dropped": self.num_dropped,
        }


def recognise_stream(
    recognizer: StreamRecognizer,
    source: FrameSource,
    *,
    frames_per_second: float | None = None,
    top_k: int = 5,
) -> Iterator[SeenFrame]:
    """Labels after every frame of a source.

    Args:
        recognizer: with a place for one more stream.
        source: an open source.
        frames_per_second: how many frames are recognised, by their times; by default all.
        top_k: how many labels.

    Raises:
        ValueError: a rate that is not above 0, or a source without a frame.
        BrokenSourceError: the source failed after frames that were recognised.
    """
    if frames_per_second is not None and not frames_per_second > 0:
        raise ValueError(f"--fps is {frames_per_second}; give more than 0")
    return _recognise(recognizer, source, frames_per_second, top_k)


def _recognise(
    recognizer: StreamRecognizer,
    source: FrameSource,
    frames_per_second: float | None,
    top_k: int,
) -> Iterator[SeenFrame]:
    with recognizer.start() as stream:
        for frame in at_rate(source, frames_per_second):
            labels = stream.push(frame.to_rgb(), top_k=top_k)
            yield SeenFrame(frame.number, frame.seconds, labels, source.num_dropped)


def sampling_note(spec: ModelSpec, source_rate: float | None) -> str:
    """How the model's clips were sampled in training, and what that means for a stream.

    >>> spec = ModelSpec("tsn_resnet18", ("a", "b"), sampling="dense", frame_stride=8)
    >>> sampling_note(spec, 30.0)
    'trained on every 8th frame; if its videos had 30 frames a second too, that is --fps 3.75'
    """
    if spec.sampling == "segment":
        return (
            f"trained on {spec.num_frames} frames spread over a whole video; the rate that fits is "
            f"--fps {spec.num_frames} / (seconds that an action takes)"
        )
    rate = 25.0 if source_rate is None else source_rate
    same = "" if source_rate is None else " too"
    return (
        f"trained on every {spec.frame_stride}th frame; if its videos had {rate:g} frames a second"
        f"{same}, that is --fps {rate / spec.frame_stride:g}"
    )
