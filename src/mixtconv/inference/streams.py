"""Recognizing one source from its first frame to its last.

What all recognizers of streams do, whichever engine runs the network: a frame in, labels out.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mixtconv._types import Frame, FrameLike
from mixtconv.inference.predicting import Prediction, ranked
from mixtconv.models.spec import ModelSpec
from mixtconv.video.live import at_rate
from mixtconv.video.sources import FrameSource

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class FrameLabels:
    """What is seen in a stream up to a frame."""

    frame: int
    """Number of the frame in its stream, from 0."""
    predictions: tuple[Prediction, ...]
    """Ranked classes by the average of the logits of the last T frames, T being those of a clip."""
    logits: Any
    """float32 (K,), of this frame alone: torch's tensor or NumPy's array, by the engine."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv stream --format json` prints them."""
        return {
            "frame": self.frame,
            "predictions": [asdict(prediction) for prediction in self.predictions],
        }


class StreamRecognizer(ABC):
    """A causal model made ready for streams.

    Args:
        spec: what the model is.
        max_streams: streams at once.
    """

    def __init__(self, spec: ModelSpec, max_streams: int) -> None:
        if max_streams < 1:
            raise ValueError(f"there are {max_streams} streams; give at least 1")
        self.spec = spec
        self.max_streams = max_streams
        self._free = list(range(max_streams))

    @abstractmethod
    def _logits(self, pictures: Sequence[Frame], places: Sequence[int]) -> Any:
        """Logits (N, K) of the next picture (H, W, 3) of the streams in N places."""

    @abstractmethod
    def _forget(self, place: int) -> None:
        """Let the stream in a place begin anew."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self.spec.classes

    def start(self) -> "Stream":
        """Begin a stream; it has a place until it is ended.

        Raises:
            ValueError: all places are taken.
        """
        if not self._free:
            raise ValueError(
                f"all {self.max_streams} streams are in use; end one, or give max_streams"
            )
        place = self._free.pop(0)
        self._forget(place)
        return Stream(self, place)

    def push(
        self, frames: "Mapping[Stream, FrameLike]", *, top_k: int = 5
    ) -> "dict[Stream, FrameLabels]":
        """Give several streams their next frame; all pass the network together.

        Args:
            frames: uint8 RGB (H, W, 3) by stream, of any size; other streams stay as they are.
            top_k: how many labels of each.

        Returns:
            The labels of each.

        Raises:
            ValueError: a stream that was ended or belongs to another recognizer, or something that
                is no frame.
        """
        if not frames:
            return {}
        places = [self._place_of(stream) for stream in frames]
        pictures = [_checked(frame) for frame in frames.values()]
        logits = self._logits(pictures, places)  # (N, K)
        return {
            stream: stream._seen(own, top_k) for stream, own in zip(frames, logits, strict=True)
        }

    def _place_of(self, stream: "Stream") -> int:
        if stream.recognizer is not self or stream.place is None:
            raise ValueError("the stream was ended, or another recognizer's; start a new one")
        return stream.place

    def _end(self, place: int) -> None:
        self._free.append(place)


class Stream:
    """One stream of a recognizer; in a `with` block it is ended at its close."""

    def __init__(self, recognizer: StreamRecognizer, place: int) -> None:
        self.recognizer = recognizer
        self.place: int | None = place
        self.num_frames = 0
        """Frames that it has had."""
        self._recent: deque[npt.NDArray[np.float32]] = deque(maxlen=recognizer.spec.num_frames)

    def push(self, frame: FrameLike, *, top_k: int = 5) -> FrameLabels:
        """Give it the next frame, uint8 RGB (H, W, 3); see `StreamRecognizer.push`."""
        return self.recognizer.push({self: frame}, top_k=top_k)[self]

    def end(self) -> None:
        """Free its place for another stream."""
        if self.place is not None:
            self.recognizer._end(self.place)
        self.place = None

    def _seen(self, logits: Any, top_k: int) -> FrameLabels:
        self._recent.append(np.asarray(logits))
        average = np.mean(self._recent, axis=0)  # (K,)
        self.num_frames += 1
        predictions = ranked(average, self.recognizer.classes, top_k)
        return FrameLabels(self.num_frames - 1, tuple(predictions), logits)

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


def _checked(frame: FrameLike) -> Frame:
    """A frame (H, W, 3) as an array, without a copy."""
    picture = np.asarray(frame)
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(
            f"got a frame of {picture.dtype} and shape {tuple(picture.shape)}; frames are uint8 "
            "RGB of shape (H, W, 3)"
        )
    return picture


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


def recognize_stream(
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
        frames_per_second: how many frames are recognized, by their times; by default all.
        top_k: how many labels.

    Raises:
        ValueError: a rate that is not above 0, or a source without a frame.
        BrokenSourceError: the source failed after frames that were recognized.
    """
    if frames_per_second is not None and not frames_per_second > 0:
        raise ValueError(f"--fps is {frames_per_second}; give more than 0")
    return _recognize(recognizer, source, frames_per_second, top_k)


def _recognize(
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
