"""Recognition on streams: a frame in, labels out, as many streams at once as there are places."""

from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mixtconv.data.transforms import center_crop
from mixtconv.inference.ranking import Prediction, ranked
from mixtconv.models import VideoClassifier, load_model
from mixtconv.models.device import Precision, autocast, resolve_device
from mixtconv.models.streaming import StreamingClassifier, StreamState

Frame = npt.NDArray[np.uint8] | Tensor


@dataclass(frozen=True)
class FrameLabels:
    """What is seen in a stream up to a frame."""

    frame: int
    """Number of the frame in its stream, from 0."""
    predictions: tuple[Prediction, ...]
    """Ranked classes by the average of the logits of the last T frames, T being those of a clip."""
    logits: Tensor
    """float32 (K,), of this frame alone."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv stream --format json` prints them."""
        return {
            "frame": self.frame,
            "predictions": [asdict(prediction) for prediction in self.predictions],
        }


class StreamingRecognizer:
    """A causal model made ready for streams.

    Args:
        model: a model file, or a recogniser in memory.
        max_streams: streams at once; the memory of each is a few frames of feature maps.
        device: `auto`, `cpu`, `cuda`, `cuda:0`, `mps`.
        precision: `auto`, `32`, `bf16` or `16`.

    Raises:
        ValueError: a file that is not a model, or a model that looks at later frames or takes other
            than pictures.

    >>> from mixtconv import create_model
    >>> model = create_model("mstnet_resnet18", classes=["wave", "jump"], causal=True)
    >>> recognizer = StreamingRecognizer(model, device="cpu")
    >>> with recognizer.start() as stream:
    ...     for frame in np.zeros((3, 120, 160, 3), dtype=np.uint8):
    ...         labels = stream.push(frame)
    >>> labels.frame, len(labels.predictions)
    (2, 2)
    """

    def __init__(
        self,
        model: str | Path | VideoClassifier,
        *,
        max_streams: int = 1,
        device: str = "auto",
        precision: Precision = "auto",
    ) -> None:
        self.device = resolve_device(device)
        self.precision = precision
        if not isinstance(model, VideoClassifier):
            model = load_model(model)
        self.spec = model.spec
        if self.spec.modality != "rgb":
            raise ValueError(
                f"the model takes {self.spec.modality}, which needs several frames at a time; "
                "streams take models of modality rgb"
            )
        self._classifier = StreamingClassifier(model.eval().to(self.device))
        self._state = StreamState(max_streams)
        self._free = list(range(max_streams))

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
                f"all {self._state.num_streams} streams are in use; end one, or give max_streams"
            )
        place = self._free.pop(0)
        self._state.forget(place)
        return Stream(self, place)

    def push(
        self, frames: "Mapping[Stream, Frame]", *, top_k: int = 5
    ) -> "dict[Stream, FrameLabels]":
        """Give several streams their next frame; all pass the network together.

        Args:
            frames: uint8 RGB (H, W, 3) by stream, of any size; other streams stay as they are.
            top_k: how many labels of each.

        Returns:
            The labels of each.

        Raises:
            ValueError: a stream that was ended or belongs to another recogniser, or something that
                is no frame.
        """
        if not frames:
            return {}
        places = [self._place_of(stream) for stream in frames]
        size = self.spec.image_size
        pictures = [center_crop(_as_picture(frame), size)[0] for frame in frames.values()]
        with torch.inference_mode(), autocast(self.precision, self.device):
            batch = self._classifier.model.normalize(torch.cat(pictures))  # (N, 3, S, S)
            logits = self._classifier(batch, self._state, places).float().cpu()  # (N, K)
        return {
            stream: stream._seen(own, top_k) for stream, own in zip(frames, logits, strict=True)
        }

    def _place_of(self, stream: "Stream") -> int:
        if stream.recognizer is not self or stream.place is None:
            raise ValueError("the stream was ended, or another recogniser's; start a new one")
        return stream.place

    def _end(self, place: int) -> None:
        self._free.append(place)


class Stream:
    """One stream of a recogniser; in a `with` block it is ended at its close."""

    def __init__(self, recognizer: StreamingRecognizer, place: int) -> None:
        self.recognizer = recognizer
        self.place: int | None = place
        self.num_frames = 0
        """Frames that it has had."""
        self._recent: deque[Tensor] = deque(maxlen=recognizer.spec.num_frames)

    def push(self, frame: Frame, *, top_k: int = 5) -> FrameLabels:
        """Give it the next frame, uint8 RGB (H, W, 3); see `StreamingRecognizer.push`."""
        return self.recognizer.push({self: frame}, top_k=top_k)[self]

    def end(self) -> None:
        """Free its place for another stream."""
        if self.place is not None:
            self.recognizer._end(self.place)
        self.place = None

    def _seen(self, logits: Tensor, top_k: int) -> FrameLabels:
        self._recent.append(logits)
        average = torch.stack(tuple(self._recent)).mean(dim=0)  # (K,)
        self.num_frames += 1
        predictions = ranked(average, self.recognizer.classes, top_k)
        return FrameLabels(self.num_frames - 1, tuple(predictions), logits)

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *error: object) -> None:
        self.end()


def _as_picture(frame: Frame) -> Tensor:
    """A frame (H, W, 3) as a clip (1, 3, H, W), without a copy."""
    picture = torch.as_tensor(frame)
    if picture.dtype != torch.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
        raise ValueError(
            f"got a frame of {picture.dtype} and shape {tuple(picture.shape)}; frames are uint8 "
            "RGB of shape (H, W, 3)"
        )
    return picture.permute(2, 0, 1)[None]
