"""Recognition on streams with an exported model, without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from mixtconv.data.decoding import Picture
from mixtconv.data.picture_crop import center_crop_pictures
from mixtconv.inference.engine_recognizer import refuse_modality, refuse_settings
from mixtconv.inference.engines.description import FRAME, LOGITS
from mixtconv.inference.engines.engine import Array, open_engine
from mixtconv.inference.streams import StreamRecognizer


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
        precision: Literal["auto", "32", "bf16", "16"] = "auto",
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

    def _logits(self, pictures: Sequence[Picture], places: Sequence[int]) -> Array:
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
