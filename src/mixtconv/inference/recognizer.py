"""Prediction on videos: a file in, ranked labels out."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixtconv.data.find_videos import find_videos
from mixtconv.data.labels import MirrorLabels
from mixtconv.data.protocol import Protocol
from mixtconv.data.video import UnreadableVideoError
from mixtconv.data.views import read_views
from mixtconv.evaluation.mirroring import model_mirroring
from mixtconv.evaluation.scoring import view_logits
from mixtconv.inference.ranking import Prediction, ranked
from mixtconv.models import VideoClassifier, load_model, optimize_for_inference
from mixtconv.models.device import Precision, autocast, resolve_device


@dataclass(frozen=True)
class VideoPrediction:
    """The labels of one video, or why there are none."""

    source: str
    """The video as it was named."""
    predictions: tuple[Prediction, ...]
    """The best classes, best first; empty where the video could not be read."""
    error: str | None = None
    """Why the video could not be read."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv predict --format json` prints them."""
        values: dict[str, Any] = {
            "source": self.source,
            "predictions": [asdict(prediction) for prediction in self.predictions],
        }
        return values | {"error": self.error} if self.error else values


class Recognizer:
    """A model file made ready for prediction.

    Args:
        model: a model file, the folder of one, `hf:owner/name[@revision]`, or a recogniser in
            memory.
        device: `auto`, `cpu`, `cuda`, `cuda:0`, `mps`.
        protocol: views of every video, such as `1x1`, `2x3` or `nonlocal-10x3`.
        precision: `auto`, `32`, `bf16` or `16`.

    Raises:
        ValueError: a file that is not a model, an unknown device or protocol, or one that the
            model has no clips for.
    """

    def __init__(
        self,
        model: str | Path | VideoClassifier,
        *,
        device: str = "auto",
        protocol: str | Protocol = "1x1",
        precision: Precision = "auto",
    ) -> None:
        self.device = resolve_device(device)
        self.protocol = Protocol.parse(protocol) if isinstance(protocol, str) else protocol
        self.precision = precision
        self.mirroring: MirrorLabels | None = None
        if not isinstance(model, VideoClassifier):
            model = load_model(model)
            self.mirroring = model_mirroring(model)
        self.protocol.check_model(model.spec)
        self.model = optimize_for_inference(model.eval().to(self.device))

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self.model.spec.classes

    def predict(self, video: str | Path, *, top_k: int = 5) -> list[Prediction]:
        """Ranked labels of one video: a file, or a folder of numbered pictures.

        Raises:
            UnreadableVideoError: the video gives no usable frame; a ValueError that names it.
        """
        return ranked(self.logits(video), self.classes, top_k)

    def predict_many(
        self, videos: Iterable[str | Path], *, top_k: int = 5
    ) -> Iterator[VideoPrediction]:
        """Ranked labels of every video, one after the other; one that cannot be read says why.

        Args:
            videos: files, folders and patterns such as `clips/*.mp4`.
            top_k: how many labels of each.

        Raises:
            ValueError: a name or pattern that no video answers to.
        """
        for video in find_videos(list(videos)):
            yield self.try_predict(video, top_k=top_k)

    def try_predict(self, video: str | Path, *, top_k: int = 5) -> VideoPrediction:
        """Ranked labels of one video, or why it cannot be read."""
        try:
            return VideoPrediction(str(video), tuple(self.predict(video, top_k=top_k)))
        except UnreadableVideoError as error:
            return VideoPrediction(str(video), (), str(error))

    def logits(self, video: str | Path) -> Tensor:
        """Logits (K,) of one video, averaged over the views of the protocol, on the CPU."""
        return self.view_logits(read_views(Path(video), self.model.spec, self.protocol))

    def view_logits(self, views: Tensor) -> Tensor:
        """Logits (K,) of one video's views, uint8 (V, T, C, S, S), on the CPU."""
        with torch.inference_mode(), autocast(self.precision, self.device):
            return view_logits(self.model, views[None], self.protocol, mirroring=self.mirroring)[
                0
            ].cpu()  # (K,)
