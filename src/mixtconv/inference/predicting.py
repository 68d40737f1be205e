"""Prediction on videos, whichever engine runs the network: from a file to ranked labels.

`VideoRecognizer` is the interface; `torch_recognizers` and `engine_recognizers` implement it.
"""

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

from mixtconv.data.parallel import in_parallel, usable_cores
from mixtconv.data.protocol import Protocol
from mixtconv.models.spec import ModelSpec
from mixtconv.video.find import find_videos
from mixtconv.video.in_memory import VideoLike, opened, several_videos
from mixtconv.video.pictures import UnreadableVideoError
from mixtconv.video.views import ViewReader

OwnKind = TypeVar("OwnKind", bound="VideoRecognizer")
Item = TypeVar("Item")
Outcome = TypeVar("Outcome")

MAX_THREADS = 16
"""Videos at a time, at most; each takes the memory of a clip's feature maps."""


@dataclass(frozen=True)
class Prediction:
    """A class and its score."""

    label: str
    """Name of the class."""
    score: float
    """Softmax of the averaged logits, 0 to 1; of several labels the sigmoid of its own."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return asdict(self)


@dataclass(frozen=True)
class VideoPrediction:
    """The ranked labels of one video, or the reason why there are none."""

    source: str
    """Name of the video, as given."""
    predictions: tuple[Prediction, ...]
    """The best classes, best first; of a recognizer of several labels those that hold, perhaps
    none. Empty for a video that is rejected or cannot be read."""
    error: str | None = None
    """Why the video cannot be read."""
    rejected: Prediction | None = None
    """The best class of a video that is rejected, whose score is below its threshold."""
    several: bool = False
    """Whether all labels hold at once."""

    @classmethod
    def of_logits(
        cls, source: str, logits: npt.ArrayLike, spec: ModelSpec, top_k: int
    ) -> "VideoPrediction":
        """What a recognizer says of a video by its logits (K,); see `labels_of_logits`."""
        labels = labels_of_logits(logits, spec, top_k)
        rejected = rejected_label(logits, spec)
        return cls(source, tuple(labels), rejected=rejected, several=spec.several_labels)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv predict --format json` prints them."""
        values: dict[str, Any] = {
            "source": self.source,
            "predictions": [asdict(prediction) for prediction in self.predictions],
        }
        if self.rejected is not None:
            values["rejected"] = asdict(self.rejected)
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

    decoder_threads: int | None = None
    """Threads of the decoder of a video; None for the codec's choice."""
    cores: int | None = None
    """What videos at a time share; None for all cores that are usable."""

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

    @overload
    def predict(self, video: list[Any], *, top_k: int = 5, batch_size: int = 8) -> list[Any]: ...

    @overload
    def predict(
        self, video: VideoLike, *, top_k: int = 5, batch_size: int = 8
    ) -> list[Prediction]: ...

    def predict(self, video: VideoLike, *, top_k: int = 5, batch_size: int = 8) -> list[Any]:
        """Ranked labels of one video, `list[Prediction]`, or of each in a list of videos.

        Args:
            video: a file or a folder of numbered pictures, an address (`https://...`), the bytes
                of a file or a binary file, or frames: an array or tensor, uint8 (T, H, W, 3) or
                (T, 3, H, W), a list of pictures, of Pillow or uint8 (H, W, 3), or `VideoFrames`.
                Or a list of these.
            top_k: how many; a recognizer of several labels gives all that hold, and none of a
                video that is rejected.
            batch_size: of a list, videos that pass the network together.

        Returns:
            The best labels, best first, each with `label`, `score` and `to_dict()`; of a list of
            videos a list of such lists.

        Raises:
            UnreadableVideoError: a video gives no usable frame; a ValueError that names it.
            ValueError: frames of another shape or type.
        """
        videos = several_videos(video)
        if videos is None:
            return labels_of_logits(self.logits(video), self.spec, top_k)
        return [
            labels_of_logits(logits, self.spec, top_k)
            for views in self._batches(videos, batch_size)
            for logits in self.batch_logits(views)
        ]

    def _batches(self, videos: list[VideoLike], batch_size: int) -> Iterator[list[Any]]:
        """The views of videos that pass the network together, while the next ones are read."""
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}; give at least 1")
        workers = min(self._default_threads, len(videos))
        reader = self._with_decoder_threads(workers) if workers > 1 else self
        with closing(in_parallel(videos, reader._read, workers=workers, in_order=True)) as done:
            batch: list[Any] = []
            for _, views in done:
                batch.append(views.result())
                if len(batch) == batch_size:
                    yield batch
                    batch = []
            if batch:
                yield batch

    @property
    def _default_threads(self) -> int:
        """Videos at a time, by default."""
        return min(self.cores or usable_cores(), MAX_THREADS)

    def _with_decoder_threads(self: OwnKind, num_videos: int) -> OwnKind:
        """This recognizer, whose decoders divide the cores between so many videos at a time."""
        own = copy.copy(self)
        own.decoder_threads = max(1, (self.cores or usable_cores()) // num_videos)
        return own

    @contextmanager
    def concurrent(self: OwnKind, num_videos: int) -> Iterator[OwnKind]:
        """This recognizer as several threads use it, one video in each, on its part of the cores.

        Args:
            num_videos: threads, 1 or more.
        """
        yield self._with_decoder_threads(num_videos)

    def _read(self, video: VideoLike) -> Any:
        """The views of a video, uint8 (V, T, C, S, S)."""
        with opened(video) as source:
            return self.reader.read(source, num_threads=self.decoder_threads).frames

    def try_predict(self, video: str | Path, *, top_k: int = 5) -> VideoPrediction:
        """Ranked labels of one video, or the reason why it cannot be read."""
        try:
            return VideoPrediction.of_logits(str(video), self.logits(video), self.spec, top_k)
        except UnreadableVideoError as error:
            return VideoPrediction(str(video), (), str(error))

    def in_threads(
        self: OwnKind,
        work: Callable[[OwnKind, Item], Outcome],
        videos: Sequence[Item],
        *,
        workers: int | None = None,
        in_order: bool = False,
    ) -> Generator[tuple[Item, Outcome], None, None]:
        """Yield each video with what was made of it, in the order of completion.

        Each thread decodes a video and then runs the network on it. So a core that has nothing to
        decode computes and the other way round, and none waits for another, as those that share the
        work on one network do after each of its layers.

        Args:
            work: of this recognizer and a video.
            videos: the videos.
            workers: threads; by default one a core, `MAX_THREADS` at most.
            in_order: yield them in their order instead.
        """
        workers = min(workers or self._default_threads, len(videos))
        if workers <= 1:
            yield from ((video, work(self, video)) for video in videos)
            return
        with self.concurrent(workers) as own:
            done = in_parallel(videos, partial(work, own), workers=workers, in_order=in_order)
            with closing(done):
                yield from ((video, outcome.result()) for video, outcome in done)

    def predict_many(
        self, videos: Iterable[str | Path], *, top_k: int = 5
    ) -> Iterator[VideoPrediction]:
        """Ranked labels of every video, in their order, or why it cannot be read.

        Args:
            videos: files, folders and patterns such as `clips/*.mp4`.
            top_k: how many labels of each.

        Raises:
            ValueError: a name or pattern that matches no video.
        """
        predict = partial(type(self).try_predict, top_k=top_k)
        for _, prediction in self.in_threads(predict, find_videos(list(videos)), in_order=True):
            yield prediction

    def logits(self, video: VideoLike) -> Any:
        """Logits (K,) of one video, averaged over the views of the protocol; see `predict`."""
        return self.view_logits(self._read(video))

    def view_logits(self, views: Any) -> Any:
        """Logits (K,) of the views of one video, uint8 (V, T, C, S, S)."""
        return self.batch_logits([views])[0]


def scores_of_logits(logits: npt.ArrayLike, spec: ModelSpec) -> npt.NDArray[np.float64]:
    """The scores of all classes: (..., K) -> same.

    They are the softmax of the logits, or of a recognizer of several labels the sigmoid of each.

    >>> one = ModelSpec("tsn_resnet18", ("wave", "jump"))
    >>> several = ModelSpec("tsn_resnet18", ("wave", "jump"), label_thresholds=(0.5, 0.5))
    >>> scores_of_logits([0.0, 0.0], one).tolist()
    [0.5, 0.5]
    >>> scores_of_logits([0.0, -50.0], several).round(2).tolist()
    [0.5, 0.0]
    """
    values = np.asarray(logits, dtype=np.float64)  # (..., K)
    if spec.several_labels:
        return 0.5 * (1 + np.tanh(values / 2))  # the sigmoid, which does not overflow
    return _softmax(values)


def _softmax(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def labels_of_logits(logits: npt.ArrayLike, spec: ModelSpec, top_k: int) -> list[Prediction]:
    """What a recognizer says of one video, best first.

    Args:
        logits: (K,), an array or a tensor.
        spec: the recognizer.
        top_k: how many classes, at most; of several labels all that hold are given, whose score
            reaches the threshold of their class, perhaps none. None of a video that is rejected,
            see `rejected_label`.

    Raises:
        ValueError: `top_k` is below 1, or there are no classes.

    >>> spec = ModelSpec("tsn_resnet18", ("wave", "jump", "run"), label_thresholds=(0.9, 0.2, 0.3))
    >>> [each.label for each in labels_of_logits([1.0, -1.0, 3.0], spec, top_k=1)]
    ['run', 'jump']
    """
    if spec.label_thresholds is None:
        best = ranked(logits, spec.classes, top_k)
        return [] if _is_rejected(best[0], spec) else best
    _check_ranking(spec.classes, top_k)
    scores = scores_of_logits(logits, spec)  # (K,)
    return [
        Prediction(spec.classes[index], float(scores[index]))
        for index in np.argsort(-scores, kind="stable").tolist()
        if scores[index] >= spec.label_thresholds[index]
    ]


def rejected_label(logits: npt.ArrayLike, spec: ModelSpec) -> Prediction | None:
    """The best class of a video that shows none of the classes, by the thresholds of the model.

    None of one that has a label, and of a recognizer that rejects nothing.

    >>> spec = ModelSpec("tsn_resnet18", ("wave", "jump"), rejection_thresholds=(0.7, 0.9))
    >>> [rejected_label([2.0, 0.0], spec), rejected_label([0.0, 2.0], spec).label]
    [None, 'jump']
    """
    if spec.rejection_thresholds is None:
        return None
    [best] = ranked(logits, spec.classes, top_k=1)
    return best if _is_rejected(best, spec) else None


def _is_rejected(best: Prediction, spec: ModelSpec) -> bool:
    limits = spec.rejection_thresholds
    return limits is not None and best.score < limits[spec.classes.index(best.label)]


def _check_ranking(classes: Sequence[str], top_k: int) -> None:
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; give at least 1")
    if not classes:
        raise ValueError("the model has 0 classes and gives features; predict with one of classes")


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
    _check_ranking(classes, top_k)
    values = np.asarray(logits, dtype=np.float64)  # (K,)
    scores = _softmax(values)
    best = np.argsort(-scores, kind="stable")[:top_k]
    return [Prediction(classes[index], float(scores[index])) for index in best]
