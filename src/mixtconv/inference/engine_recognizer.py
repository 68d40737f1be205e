"""Prediction on videos with an exported model: pictures, arrays and its engine, without torch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from mixtconv.data.decoding import Picture
from mixtconv.data.picture_crop import center_crop_pictures, scoring_side
from mixtconv.data.picture_reader import read_pictures
from mixtconv.data.sampling import place_clips
from mixtconv.inference.engines.description import LOGITS, VIDEO
from mixtconv.inference.engines.engine import Array, open_engine
from mixtconv.inference.predicting import VideoRecognizer
from mixtconv.models.spec import ModelSpec

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
        precision: Literal["auto", "32", "bf16", "16"] = "auto",
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

    def logits(self, video: str | Path) -> npt.NDArray[np.float32]:
        """Logits (K,) of one video."""
        size = self.spec.image_size
        pictures = read_pictures(video, self._chosen, least_short_side=scoring_side(size))
        return self.view_logits(_as_views(center_crop_pictures(pictures.pixels, size)))

    def view_logits(self, views: Array) -> npt.NDArray[np.float32]:
        """Logits (K,) of one clip, uint8 (1, T, 3, S, S)."""
        return self.engine.run({VIDEO: self.engine.normalized(np.asarray(views))})[LOGITS][0]

    def keep(self, picture: Picture) -> Picture:
        """The middle of a frame, (S, S, 3)."""
        return center_crop_pictures(picture[None], self.spec.image_size)[0]

    def views_of(self, kept: Sequence[Picture]) -> npt.NDArray[np.uint8]:
        """The clip of a window, uint8 (1, T, 3, S, S)."""
        return _as_views(np.stack([kept[index] for index in self._chosen(len(kept))]))

    def _chosen(self, num_frames: int) -> list[int]:
        [clip] = place_clips("own", self.spec, num_frames, 1)
        return clip


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


def _as_views(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A clip (T, S, S, 3) as the only view (1, T, 3, S, S)."""
    return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)[None])
