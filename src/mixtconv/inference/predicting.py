"""Prediction on videos, whichever engine runs the network: from a file to ranked labels.

`VideoRecognizer` is the interface; `torch_recognizers` and `engine_recognizers` implement it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtconv.data.protocol import Protocol
from mixtconv.models.spec import ModelSpec
from mixtconv.video.find import find_videos
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.views import ViewReader


@dataclass(frozen=True)
class Prediction:
    """A class and its score."""

    label: str
    """Name of the class."""
    score: float
    """Softmax of the averaged logits, 0 to 1."""


@dataclass(frozen=True)
class VideoPrediction:
    """The ranked labels of one video, or the reason why there are none."""

    source: str
    """Name of the video, as given."""
    predictions: tuple[Prediction, ...]
    """The best classes, best first; empty for a video that cannot be read."""
    error: str | None = None
    """Why the video cannot be read."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv predict --format json` prints them."""
        values: dict[str, Any] = {
            "source": self.source,
            "predictions": [asdict(prediction) for prediction in self.predictions],
        }
        return values | {"error": self.error} if self.error else values


class VideoRecognizer(ABC):
    """A model ready to predict on videos.

    Logits and views are torch's tensors or NumPy's arrays, depending on the engine.

    Args:
        spec: the model and the clips that it takes.
        protocol: clips and crops of every video, and how their scores are averaged.
        reader: reads these views of a video.
        notes: what the model's file says about the run that made it.
    """

    def __init__(
        self,
        spec: ModelSpec,
        protocol: Protocol,
        reader: ViewReader,
        *,
        notes: dict[str, Any] | None = None,
    ) -> None:
        self.spec, self.protocol, self.reader = spec, protocol, reader
        self.notes = notes or {}

    @abstractmethod
    def batch_logits(self, views: Sequence[Any]) -> Any:
        """Logits (B, K) of the views of B videos, uint8 (V, T, C, S, S) each."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the logits."""
        return self.spec.classes

    def predict(self, video: str | Path, *, top_k: int = 5) -> list[Prediction]:
        """Ranked labels of one video: a file, or a folder of numbered pictures.

        Raises:
            UnreadableVideoError: the video gives no usable frame; a ValueError that names it.
        """
        return ranked(self.logits(video), self.classes, top_k)

    def try_predict(self, video: str | Path, *, top_k: int = 5) -> VideoPrediction:
        """Ranked labels of one video, or the reason why it cannot be read."""
        try:
            return VideoPrediction(str(video), tuple(self.predict(video, top_k=top_k)))
        except UnreadableVideoError as error:
            return VideoPrediction(str(video), (), str(error))

    def predict_many(
        self, videos: Iterable[str | Path], *, top_k: int = 5
    ) -> Iterator[VideoPrediction]:
        """Ranked labels of every video, one after the other, or why it cannot be read.

        Args:
            videos: files, folders and patterns such as `clips/*.mp4`.
            top_k: how many labels of each.

        Raises:
            ValueError: a name or pattern that matches no video.
        """
        for video in find_videos(list(videos)):
            yield self.try_predict(video, top_k=top_k)

    def logits(self, video: str | Path) -> Any:
        """Logits (K,) of one video, averaged over the views of the protocol."""
        return self.view_logits(self.reader.read(Path(video)).frames)

    def view_logits(self, views: Any) -> Any:
        """Logits (K,) of the views of one video, uint8 (V, T, C, S, S)."""
        return self.batch_logits([views])[0]


def ranked(logits: npt.ArrayLike, classes: Sequence[str], top_k: int) -> list[Prediction]:
    """The best classes, best first.

    Args:
        logits: (K,), an array or a tensor.
        classes: K names.
        top_k: how many, at most.

    Raises:
        ValueError: `top_k` is below 1, or there are no classes.

    >>> [best] = ranked([0.0, 5.0, 1.0], ["wave", "jump", "run"], top_k=1)
    >>> best.label, round(best.score, 2)
    ('jump', 0.98)
    """
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; give at least 1")
    if not classes:
        raise ValueError("the model has 0 classes and gives features; predict with one of classes")
    values = np.asarray(logits, dtype=np.float64)  # (K,)
    exponentials = np.exp(values - values.max())
    scores = exponentials / exponentials.sum()
    best = np.argsort(-scores, kind="stable")[:top_k]
    return [Prediction(classes[index], float(scores[index])) for index in best]
