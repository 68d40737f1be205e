"""Recognition of streams, whichever engine runs the network: a frame in, labels out.

`recognize_stream` takes a source from its first frame to its last. `StreamRecognizer` is the
interface; `torch_recognizers` and `engine_recognizers` implement it. A `Stream` is one of the
streams that a recognizer serves at the same time; each has a slot in the recognizer's state.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtconv._types import Frame, FrameLike
from mixtconv.inference.predicting import Prediction, labels_of_logits
from mixtconv.models.spec import ModelSpec
from mixtconv.video.live import at_rate
from mixtconv.video.sources import FrameSource


@dataclass(frozen=True)
class FrameLabels:
    """The labels of a stream after one of its frames."""

    frame: int
    """Number of the frame in its stream, from 0."""
    predictions: tuple[Prediction, ...]
    """Classes ranked by the average logits of the last T frames, T being the frames of a clip."""
    logits: Any
    """float32 (K,), of this frame alone; torch's tensor or NumPy's array, by the engine."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv stream --format json` prints them."""
        return {
            "frame": self.frame,
            "predictions": [asdict(prediction) for prediction in self.predictions],
        }


class StreamRecognizer(ABC):
    """A causal model ready for streams.

    Args:
        spec: the model.
        max_streams: streams at once, the number of slots.
        notes: what the model's file says about the run that made it.
    """

    def __init__(
        self, spec: ModelSpec, max_streams: int, *, notes: dict[str, Any] | None = None
    ) -> None:
        if max_streams < 1:
            raise ValueError(f"there are {max_streams} streams; give at least 1")
        self.spec = spec
        self.notes = notes or {}
        self.max_streams = max_streams
        self._free = list(range(max_streams))

    @abstractmethod
    def _logits(self, pictures: Sequence[Frame], slots: Sequence[int]) -> Any:
        """Logits (N, K) of the next picture (H, W, 3) of the streams in N slots."""

    @abstractmethod
    def _reset(self, slot: int) -> None:
        """Clear the past frames of a slot."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self.spec.classes

    def start(self) -> "Stream":
        """Begin a stream, which has a slot until it is ended.

        Raises:
            ValueError: all slots are in use.
        """
        if not self._free:
            raise ValueError(
                f"all {self.max_streams} streams are in use; end one, or give max_streams"
            )
        slot = self._free.pop(0)
        self._reset(slot)
        return Stream(self, slot)

    def push(
        self, frames: "Mapping[Stream, FrameLike]", *, top_k: int = 5
    ) -> "dict[Stream, FrameLabels]":
        """Give several streams their next frame; all pass the network together.

        Args:
            frames: stream -> uint8 RGB (H, W, 3), of any size; other streams stay as they are.
            top_k: how many labels of each.

        Returns:
            stream -> labels.

        Raises:
            ValueError: a stream that was ended or belongs to another recognizer, or an array that
                is not a frame.
        """
        if not frames:
            return {}
        slots = [self._slot_of(stream) for stream in frames]
        pictures = [_checked(frame) for frame in frames.values()]
        logits = self._logits(pictures, slots)  # (N, K)
        return {
            stream: stream._append(frame_logits, top_k)
            for stream, frame_logits in zip(frames, logits, strict=True)
        }

    def _slot_of(self, stream: "Stream") -> int:
        if stream.recognizer is not self or stream.slot is None:
            raise ValueError("the stream was ended, or another recognizer's; start a new one")
        return stream.slot


class Stream:
    """One stream of a recognizer; a `with` block ends it on exit."""

    def __init__(self, recognizer: StreamRecognizer, slot: int) -> None:
        self.recognizer = recognizer
        self.slot: int | None = slot
        """Slot in the recognizer's state; None after the end."""
        self.num_frames = 0
        """Frames pushed so far."""
        self._recent: deque[npt.NDArray[np.float32]] = deque(maxlen=recognizer.spec.num_frames)

    def push(self, frame: FrameLike, *, top_k: int = 5) -> FrameLabels:
        """Give it the next frame, uint8 RGB (H, W, 3); see `StreamRecognizer.push`."""
        return self.recognizer.push({self: frame}, top_k=top_k)[self]

    def end(self) -> None:
        """Free its slot for another stream; a second call does nothing."""
        if self.slot is not None:
            self.recognizer._free.append(self.slot)
        self.slot = None

    def _append(self, logits: Any, top_k: int) -> FrameLabels:
        """The labels after one more frame, from its logits (K,)."""
        self._recent.append(np.asarray(logits))
        average = np.mean(self._recent, axis=0)  # (K,)
        self.num_frames += 1
        predictions = labels_of_logits(average, self.recognizer.spec, top_k)
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
class RecognizedFrame:
    """The labels of a source after one of its frames."""

    number: int
    """Number of the frame in the source, from 0."""
    seconds: float
    """Time since the first frame, by the source's clock."""
    labels: FrameLabels
    """The labels."""
    num_dropped: int
    """Frames of the source dropped so far, because they came too fast."""

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
) -> Iterator[RecognizedFrame]:
    """Labels after every frame of a source.

    Args:
        recognizer: with a free slot.
        source: an open source.
        frames_per_second: frames a second that are recognized, by their times; by default all.
        top_k: how many labels.

    Raises:
        ValueError: a rate that is not above 0, or a source without a frame.
        BrokenSourceError: the source failed after its first frames.
    """
    if frames_per_second is not None and not frames_per_second > 0:
        raise ValueError(f"--fps is {frames_per_second}; give more than 0")
    return _recognize(recognizer, source, frames_per_second, top_k)


def _recognize(
    recognizer: StreamRecognizer,
    source: FrameSource,
    frames_per_second: float | None,
    top_k: int,
) -> Iterator[RecognizedFrame]:
    with recognizer.start() as stream:
        for frame in at_rate(source, frames_per_second):
            labels = stream.push(frame.to_rgb(), top_k=top_k)
            yield RecognizedFrame(frame.number, frame.seconds, labels, source.num_dropped)


def sampling_note(spec: ModelSpec, source_rate: float | None) -> str:
    """How clips were sampled in training, and which `--fps` of a stream fits that.

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
