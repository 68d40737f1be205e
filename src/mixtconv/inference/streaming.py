"""Recognition on streams with torch: as many streams at once as there are places."""

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mixtconv._types import Frame, Precision
from mixtconv.data.transforms import center_crop
from mixtconv.inference.streams import FrameLabels, Stream, StreamRecognizer
from mixtconv.models import VideoClassifier, load_model
from mixtconv.models.device import autocast, resolve_device
from mixtconv.models.streaming import StreamingClassifier, StreamState

__all__ = ["FrameLabels", "Stream", "StreamingRecognizer"]


class StreamingRecognizer(StreamRecognizer):
    """A causal model made ready for streams.

    Args:
        model: a model file, or a recognizer in memory.
        max_streams: streams at once; the memory of each is a few frames of feature maps.
        device: `auto`, `cpu`, `cuda`, `cuda:0`, `mps`.
        precision: `auto`, `32`, `bf16` or `16`.

    Raises:
        ValueError: a file that is not a model, or a model that looks at later frames or takes other
            than pictures.

    >>> import numpy as np
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
        if model.spec.modality != "rgb":
            raise ValueError(
                f"the model takes {model.spec.modality}, which needs several frames at a time; "
                "streams take models of modality rgb"
            )
        super().__init__(model.spec, max_streams)
        self._classifier = StreamingClassifier(model.eval().to(self.device))
        self._state = StreamState(max_streams)

    def _logits(self, pictures: Sequence[Frame], places: Sequence[int]) -> Tensor:
        size = self.spec.image_size
        crops = [center_crop(_as_frame(picture), size)[0] for picture in pictures]
        with torch.inference_mode(), autocast(self.precision, self.device):
            batch = self._classifier.model.normalize(torch.cat(crops))  # (N, 3, S, S)
            return self._classifier(batch, self._state, places).float().cpu()  # (N, K)

    def _forget(self, place: int) -> None:
        self._state.forget(place)


def _as_frame(picture: Frame) -> Tensor:
    """A picture (H, W, 3) as frames (1, 3, H, W), without a copy."""
    return torch.as_tensor(picture).permute(2, 0, 1)[None]
