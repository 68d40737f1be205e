"""Scores of videos in a file, for fusion and later analysis.

A safetensors file with the scores (N, K) and the labels (N,), and in its metadata, under
`mixtconv_scores`, JSON with the classes, the name of every video inside its data, and the sources
of the scores. Reading one cannot run code.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from mixtconv._atomic_write import refuse_unwritable, write_atomically
from mixtconv._names import composed, first_few, require
from mixtconv._types import ScoreKind
from mixtconv._version import __version__
from mixtconv.evaluation.metrics import (
    Accuracy,
    accuracy,
    class_accuracies,
    confusion,
    probabilities_of,
)
from mixtconv.evaluation.multi_label import (
    MultiLabelScore,
    cooccurrence,
    decided,
    multi_label_score,
)
from mixtconv.models.file import what_it_is

SCORES_KEY = "mixtconv_scores"


@dataclass(frozen=True)
class ScoreSource:
    """The evaluation of a model that scores come from."""

    model: str
    """Path of the model file."""
    modality: str
    """Input of the model: rgb, rgbdiff, motion, flow or rgbflow."""
    data: str
    """The data as given."""
    protocol: str
    """Name of the protocol of views."""
    protocol_description: str
    """The protocol in words."""
    weight: float = 1.0
    """Its weight, if the scores are a fusion."""


@dataclass(frozen=True)
class SavedScores:
    """Scores of videos with labels, classes and sources.

    Raises:
        ValueError: parts that do not fit each other, or scores that are not finite.
    """

    classes: tuple[str, ...]
    """Class names, in the order of the columns."""
    keys: tuple[str, ...]
    """Distinct names of the videos inside the data."""
    labels: Tensor
    """int64 (N,), the true classes; or of several labels (N, K), 1 and 0."""
    scores: Tensor
    """float32 (N, K), averaged over views; zeros for an unreadable video."""
    kind: ScoreKind
    """Whether they are logits or probabilities; of several labels these are sigmoids."""
    sources: tuple[ScoreSource, ...]
    """The evaluation that they come from, or those that were fused."""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    """Key -> reason, of the videos that could not be read; they count as wrong."""
    thresholds: tuple[float, ...] | None = None
    """Of several labels, the probability from which each holds; None where a video has one."""

    def __post_init__(self) -> None:
        num_videos, num_classes = len(self.keys), len(self.classes)
        require(
            self.scores.shape == (num_videos, num_classes)
            and self.labels.shape == ((num_videos, num_classes) if self.several else (num_videos,)),
            f"{num_videos} videos and {num_classes} classes, but scores "
            f"{tuple(self.scores.shape)} and labels {tuple(self.labels.shape)}",
        )
        require(
            (self.scores.dtype, self.labels.dtype) == (torch.float32, torch.int64),
            f"scores are {self.scores.dtype} and labels {self.labels.dtype}, not float32 and int64",
        )
        require(num_videos > 0, "no videos")
        largest = 1 if self.several else num_classes - 1
        require(
            bool(((self.labels >= 0) & (self.labels <= largest)).all()),
            f"labels outside 0 to {largest}",
        )
        require(
            self.thresholds is None or len(self.thresholds) == num_classes,
            f"{len(self.thresholds or ())} thresholds for {num_classes} classes",
        )
        require(bool(self.scores.isfinite().all()), "scores that are no finite numbers")
        require(self.kind in get_args(ScoreKind), f"scores are {self.kind!r}")
        twice = [key for key, times in Counter(self.keys).items() if times > 1]
        require(not twice, f"videos named twice: {first_few(twice)}")
        unscored = sorted(set(self.unreadable) - set(self.keys))
        require(not unscored, f"unreadable videos without scores: {first_few(unscored)}")

    @property
    def several(self) -> bool:
        """Whether a video may have several labels."""
        return self.thresholds is not None

    @property
    def readable(self) -> Tensor:
        """bool (N,)."""
        return torch.tensor([key not in self.unreadable for key in self.keys])

    @property
    def modality(self) -> str:
        """Inputs of the models, such as `rgb`, or `rgb + flow` of a fusion."""
        return " + ".join(source.modality for source in self.sources)

    @property
    def protocol(self) -> str:
        """Name of the protocol, or the different ones of a fusion joined by +."""
        return " + ".join(dict.fromkeys(source.protocol for source in self.sources))

    def accuracy(self) -> Accuracy:
        """Accuracies over all videos; an unreadable one counts as wrong."""
        self._require_one_label("accuracy")
        return accuracy(self.scores, self.labels, self.readable)

    def multi_label_score(self) -> MultiLabelScore:
        """Scores of several labels; an unreadable video has none and comes last."""
        return multi_label_score(*self.of_several(), self.readable)

    def of_several(self) -> tuple[Tensor, Tensor, tuple[float, ...]]:
        """Probabilities, labels and thresholds.

        Raises:
            ValueError: each video has one label.
        """
        if self.thresholds is None:
            raise ValueError("these scores are of one label a video, which has an accuracy")
        return self.probabilities(), self.labels, self.thresholds

    def _require_one_label(self, what: str) -> None:
        if self.several:
            raise ValueError(f"{what} is of one label a video, and these scores are of several")

    def class_accuracies(self) -> Tensor:
        """Top-1 of every class in percent, float64 (K,); NaN for a class without videos."""
        self._require_one_label("accuracy")
        return class_accuracies(self.scores, self.labels, self.readable)

    def confusion(self) -> Tensor:
        """Readable videos by true class (rows) and predicted class (columns): int64 (K, K).

        Of several labels those with the true one of a row that were given that of a column.
        """
        readable = self.readable
        if self.thresholds is not None:
            predicted = decided(self.probabilities(), self.thresholds)
            return cooccurrence(predicted[readable], self.labels[readable])
        return confusion(self.scores[readable], self.labels[readable])

    def probabilities(self) -> Tensor:
        """float32 (N, K): the scores, after softmax (of several labels sigmoid) if logits."""
        if self.kind == "probabilities":
            return self.scores
        return probabilities_of(self.scores, several=self.several)


def save_scores(scores: SavedScores, path: str | Path) -> None:
    """Write a scores file; an earlier file at `path` is replaced only by a complete one.

    Raises:
        OSError: the file cannot be written.
    """
    about = {
        "version": __version__,
        "classes": scores.classes,
        "keys": scores.keys,
        "kind": scores.kind,
        "sources": [asdict(source) for source in scores.sources],
        "unreadable": [{"key": key, "reason": reason} for key, reason in scores.unreadable.items()],
        **({"thresholds": scores.thresholds} if scores.several else {}),
    }
    tensors = {"scores": scores.scores.contiguous(), "labels": scores.labels.contiguous()}
    write_atomically(Path(path), save(tensors, metadata={SCORES_KEY: json.dumps(about)}))


def load_scores(path: str | Path) -> SavedScores:
    """Read a scores file.

    Raises:
        ValueError: a missing or damaged file, or one of another kind, which the message names.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"there is no scores file {path}; write one with mixtconv evaluate --scores"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if SCORES_KEY not in metadata:
                raise ValueError(f"{path} is a safetensors file, but not a scores file; {_REMEDY}")
            scores, labels = file.get_tensor("scores"), file.get_tensor("labels")
    except SafetensorError as error:
        raise ValueError(
            f"{path} is not a scores file: it {what_it_is(path)}; {_REMEDY}"
        ) from error
    try:
        about = json.loads(metadata[SCORES_KEY])
        return SavedScores(
            classes=tuple(map(composed, about["classes"])),
            keys=tuple(about["keys"]),
            labels=labels,
            scores=scores,
            kind=about["kind"],
            sources=tuple(ScoreSource(**source) for source in about["sources"]),
            unreadable={video["key"]: video["reason"] for video in about["unreadable"]},
            thresholds=tuple(about["thresholds"]) if "thresholds" in about else None,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is a scores file that is damaged or of another version of mixtconv: {error}; "
            f"{_REMEDY}"
        ) from error


def refuse_scores_path(path: str | Path) -> None:
    """Check, before scores are computed, that they can be written to a file.

    Raises:
        ValueError: a file without scores exists there, which is not replaced.
        OSError: the path cannot be written.
    """
    path = Path(path)
    if path.is_file():
        try:
            load_scores(path)
        except ValueError as error:
            raise ValueError(
                f"{path} exists and holds no scores, so it is not replaced; name another file for "
                "the scores"
            ) from error
    refuse_unwritable(path)


_REMEDY = "write it with mixtconv evaluate --scores"
