"""From logits to ranked labels.

What all recognizers of videos do, whichever engine runs the network.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mixtconv.models.spec import ModelSpec
from mixtconv.video.find import find_videos
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.views import ViewReader


@dataclass(frozen=True)
class Prediction:
    """A class and how sure the model is of it."""

    label: str
    """The name of the class."""
    score: float
    """Softmax of the averaged logits, 0 to 1."""


def ranked(logits: npt.ArrayLike, classes: Sequence[str], top_k: int) -> list[Prediction]:
    """The best classes, best first.

    Args:
        logits: (K,), an array or a tensor.
        classes: K names.
        top_k: how many, at most.

    Raises:
        ValueError: none is asked for.

    >>> [best] = ranked([0.0, 5.0, 1.0], ["wave", "jump", "run"], top_k=1)
    >>> best.label, round(best.score, 2)
    ('jump', 0.98)
    """
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; give at least 1")
    values = np.asarray(logits, dtype=np.float64)  # (K,)
    exponentials = np.exp(values - values.max())
    scores = exponentials / exponentials.sum()
    best = np.argsort(-scores, kind="stable")[:top_k]
    return [Prediction(classes[index], float(scores[index])) for index in best]


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


class VideoRecognizer(ABC):
    """A model made ready for prediction on videos.

    Logits and views are torch's tensors or NumPy's arrays, by the engine.
    """

    @property
    @abstractmethod
    def spec(self) -> ModelSpec:
        """What the model is and what clips it takes."""

    @property
    @abstractmethod
    def reader(self) -> ViewReader:
        """What reads its views of videos."""

    @abstractmethod
    def batch_logits(self, views: Sequence[Any]) -> Any:
        """Logits (B, K) of several videos' views, uint8 (V, T, C, S, S) each."""

    @property
    def notes(self) -> dict[str, Any]:
        """What the model's file says of the run that made it."""
        return {}

    def logits(self, video: str | Path) -> Any:
        """Logits (K,) of one video, averaged over the views of the protocol."""
        return self.view_logits(self.reader.read(Path(video)).frames)

    def view_logits(self, views: Any) -> Any:
        """Logits (K,) of one video's views, uint8 (V, T, C, S, S)."""
        return self.batch_logits([views])[0]

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
