"""Prediction on videos with an exported model: pictures, arrays and its engine, without torch.

Recognition on streams with an exported model, without torch.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mixtconv._types import Frame, Precision
from mixtconv.inference.engines.base import FRAME, LOGITS, VIDEO, Array, open_engine
from mixtconv.inference.predicting import VideoRecognizer
from mixtconv.inference.streams import StreamRecognizer
from mixtconv.models.spec import ModelSpec
from mixtconv.video.views import PictureViewReader, center_crop_pictures

PROTOCOLS = ("1x1", "tsm-1x1")
"""Protocols of one clip and its middle, which is what a file is exported for."""


class EngineRecognizer(VideoRecognizer):
    """An exported model made ready for prediction; one clip of a video, its middle.

    Its classes, clips and normalisation come with the file. Scores are those of `Recognizer` to the
    difference that pictures resized by Pillow and by torch have, at most one of 255 steps.

    Args:
        model: a `.onnx`, `.xml` or `.pt2` of `mixtconv export`.
        device: `auto` or `cpu`.
        protocol: `1x1`.
        precision: `auto` or `32`; int8 models are it by themselves.
        num_threads: of the engine; by default as many as it takes.

    Raises:
        ValueError: what `open_engine` refuses, a streaming model, or a device, protocol or
            precision that exported models have not.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        device: str = "auto",
        protocol: str = "1x1",
        precision: Precision = "auto",
        num_threads: int | None = None,
    ) -> None:
        refuse_settings(model, device, precision)
        if protocol not in PROTOCOLS:
            raise ValueError(
                f"{model} is an exported model, which takes one clip and its middle (protocol "
                f"1x1); protocol {protocol} needs the model file that it was made from"
            )
        self.engine = open_engine(model, num_threads=num_threads)
        self.protocol = protocol
        if self.engine.description.is_streaming:
            raise ValueError(
                f"{model} takes one frame at a time: run it with mixtconv stream, or export it "
                "without --streaming"
            )
        refuse_modality(model, self.spec)

    @property
    def spec(self) -> ModelSpec:
        """What the model is and what clips it takes."""
        return self.engine.description.spec

    @property
    def reader(self) -> PictureViewReader:
        """What reads its views of videos."""
        return PictureViewReader(self.spec)

    def batch_logits(self, views: Sequence[Array]) -> npt.NDArray[np.float32]:
        """Logits (B, K) of several videos' clips, uint8 (1, T, 3, S, S) each."""
        clips = np.concatenate([np.asarray(each) for each in views])  # (B, T, 3, S, S)
        return self.engine.run({VIDEO: self.engine.normalized(clips)})[LOGITS]


def refuse_settings(model: object, device: str, precision: str) -> None:
    """Raise ValueError for a device or a precision that exported models do not run in."""
    if device not in ("auto", "cpu"):
        raise ValueError(f"{model} is an exported model, which runs on the CPU; leave --device out")
    if precision not in ("auto", "32"):
        raise ValueError(
            f"{model} is an exported model, whose arithmetic is in the file; leave --precision out"
        )


def refuse_modality(model: object, spec: ModelSpec) -> None:
    """Raise ValueError for a model of other than pictures."""
    if spec.modality != "rgb":
        raise ValueError(
            f"{model} takes {spec.modality}; of exported models those of modality rgb are run "
            "here, for others give the model file that it was made from"
        )


class EngineStreamingRecognizer(StreamRecognizer):
    """An exported streaming model made ready for streams; used as `StreamingRecognizer` is.

    Args:
        model: a `.onnx`, `.xml` or `.pt2` of `mixtconv export --streaming`.
        max_streams: streams at once; the memory of each is a few frames of feature maps.
        device: `auto` or `cpu`.
        precision: `auto` or `32`.
        num_threads: of the engine; by default as many as it takes.

    Raises:
        ValueError: what `open_engine` refuses, or a model of whole clips.
    """

    def __init__(
        self,
        model: str | Path,
        *,
        max_streams: int = 1,
        device: str = "auto",
        precision: Precision = "auto",
        num_threads: int | None = None,
    ) -> None:
        refuse_settings(model, device, precision)
        self.engine = open_engine(model, num_threads=num_threads)
        about = self.engine.description
        if about.states is None:
            raise ValueError(
                f"{model} takes whole clips: run it with mixtconv predict, or export a causal "
                "model with --streaming"
            )
        refuse_modality(model, about.spec)
        super().__init__(about.spec, max_streams)
        self._states: dict[str, Array] = {
            state.name: np.zeros((max_streams, *state.shape), np.float32) for state in about.states
        }
        self._next_names = {state.name: state.next_name for state in about.states}

    def _logits(self, pictures: Sequence[Frame], places: Sequence[int]) -> Array:
        size = self.spec.image_size
        crops = np.concatenate([center_crop_pictures(picture[None], size) for picture in pictures])
        frames = np.ascontiguousarray(crops.transpose(0, 3, 1, 2))  # (N, 3, S, S)
        rows = list(places)
        everyone = rows == list(range(self.max_streams))
        states = {name: state if everyone else state[rows] for name, state in self._states.items()}
        results = self.engine.run({FRAME: self.engine.normalized(frames), **states})
        for name, next_name in self._next_names.items():
            if everyone:
                self._states[name] = results[next_name]
            else:
                self._states[name][rows] = results[next_name]
        return results[LOGITS]

    def _forget(self, place: int) -> None:
        for state in self._states.values():
            state[place] = 0
