"""Teachers of a run: models, exported files and kept scores, asked for probabilities of a batch.

Models see each clip of the student (function matching, "Knowledge distillation: A good teacher is
patient and consistent", arXiv 2106.05237). Kept scores of a video stay as they are, however its
clips are cropped and changed; only a mirrored clip exchanges the classes of its flip pairs.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mixtconv._names import count_of, first_few, in_short
from mixtconv.data.dataset import VideoBatch
from mixtconv.data.labels import MirrorLabels
from mixtconv.data.listing import VideoSample
from mixtconv.evaluation.scores_file import SavedScores
from mixtconv.inference.engine_recognizers import EngineRecognizer
from mixtconv.inference.engines.base import LOGITS, VIDEO
from mixtconv.models import ModelSpec, VideoClassifier, optimize_for_inference
from mixtconv.models.spec import Modality
from mixtconv.training.mixed_clips import Mixture
from mixtconv.training.soft_targets import soften
from mixtconv.training.teacher_content import (
    content_of_engine,
    content_of_model,
    content_of_scores,
)

logger = logging.getLogger(__name__)

ScoreClips = Callable[[Tensor], Tensor]
"""A teacher of one's own: clips as the student takes them, uint8 (B, T, C, S, S), to logits (B, K)
in the order of the run's classes."""

LEAST_PROBABILITY = 1e-6
"""What kept probabilities are at least, so that they have logits."""


class Teacher(ABC):
    """Scores clips of a batch.

    Args:
        name: as it was given.
        sha256: of its content; None if that is not known.
        several: whether a video may have several labels.
    """

    spec: ModelSpec | None = None
    """The clips that it takes; None for those of the student, or for none."""
    gives_features = False

    def __init__(self, name: str, sha256: str | None, *, several: bool) -> None:
        self.name, self.sha256, self.several = name, sha256, several

    @abstractmethod
    def targets(
        self, clips: Tensor, batch: VideoBatch, mixture: Mixture, temperature: float
    ) -> tuple[Tensor, Tensor | None]:
        """Probabilities (B, K) in the order of the run's classes, and pooled features (B, D).

        Args:
            clips: as the teacher takes them, uint8 (B, T, C, S, S).
            batch: the batch that they are of.
            mixture: of its clips.
            temperature: of the probabilities.
        """

    def to(self, device: torch.device) -> None:  # noqa: B027, most have nothing to move
        """Move it to where the student is."""

    def begin(self, samples: Sequence[VideoSample]) -> None:  # noqa: B027, nor to look up
        """Look the training videos up, whose places the batches name.

        Raises:
            ValueError: it needs to know them and lacks one.
        """


class NetworkTeacher(Teacher):
    """A recognizer, in evaluation mode; where frames have labels of their own, of each frame."""

    gives_features = True

    def __init__(
        self, name: str, model: VideoClassifier, classes: Sequence[str], *, frames: bool = False
    ) -> None:
        super().__init__(name, content_of_model(model), several=model.spec.several_labels)
        self.columns = class_columns(name, model.spec.classes, classes)
        self.spec, self.frames = model.spec, frames
        self.model = optimize_for_inference(model)
        self.num_features = model.num_features

    def targets(
        self, clips: Tensor, batch: VideoBatch, mixture: Mixture, temperature: float
    ) -> tuple[Tensor, Tensor | None]:
        video = mixture.clips(self.model.normalize(clips))
        if self.frames:
            logits = self.model.forward_frames(video).float()[..., self.columns]
            return soften(logits, temperature, several=self.several), None  # (B, T, K)
        features = self.model.forward_features(video)
        logits = self.model.forward_head(features).float()[:, self.columns]  # (B, K)
        return soften(logits, temperature, several=self.several), features.float().mean(dim=1)

    def to(self, device: torch.device) -> None:
        self.model.to(device)


class EnsembleTeacher(NetworkTeacher):
    """A recognizer whose logits are not those of one layer on its features, which it keeps."""

    gives_features = False

    def targets(
        self, clips: Tensor, batch: VideoBatch, mixture: Mixture, temperature: float
    ) -> tuple[Tensor, Tensor | None]:
        logits = self.model(mixture.clips(self.model.normalize(clips))).float()
        return soften(logits[:, self.columns], temperature, several=self.several), None


class EngineTeacher(Teacher):
    """An exported file, run by its engine on the CPU; one that takes pixels gets mixed pixels."""

    def __init__(self, name: str, classes: Sequence[str]) -> None:
        recognizer = EngineRecognizer(name)
        spec = recognizer.spec
        super().__init__(name, content_of_engine(Path(name)), several=spec.several_labels)
        self.columns = class_columns(name, spec.classes, classes)
        self.spec, self.engine = spec, recognizer.engine

    def targets(
        self, clips: Tensor, batch: VideoBatch, mixture: Mixture, temperature: float
    ) -> tuple[Tensor, Tensor | None]:
        values = self.engine.normalized(clips.cpu().numpy())
        mixed = mixture.clips(torch.from_numpy(values).float()).numpy()
        if values.dtype == np.uint8:
            mixed = mixed.round().astype(np.uint8)
        logits = torch.from_numpy(self.engine.run({VIDEO: mixed})[LOGITS]).to(clips.device)
        return soften(logits[:, self.columns], temperature, several=self.several), None


class ScoresTeacher(Teacher):
    """Scores of the training videos that were computed before.

    Args:
        name: of the file.
        scores: its scores.
        classes: of the run.
        mirroring: what a mirror does to the labels.

    Raises:
        ValueError: scores that lack a class.
    """

    def __init__(
        self,
        name: str,
        scores: SavedScores,
        classes: Sequence[str],
        mirroring: MirrorLabels,
    ) -> None:
        super().__init__(name, content_of_scores(scores), several=scores.several)
        self.logits = _logits_of(scores)[:, class_columns(name, scores.classes, classes)]
        self.exchanged = torch.tensor(mirroring.target)
        places = {key: place for place, key in enumerate(scores.keys)}
        self.places = {key: place for key, place in places.items() if key not in scores.unreadable}
        self.rows = torch.empty(0, dtype=torch.long)

    def begin(self, samples: Sequence[VideoSample]) -> None:
        missing = [sample.key for sample in samples if sample.key not in self.places]
        if missing:
            raise ValueError(
                f"{self.name} has no scores of {count_of(len(missing), 'training video')}, such as "
                f"{first_few(missing)}: write it with mixtconv evaluate --split train --scores on "
                "the same data (--split all if they have no splits)"
            )
        self.rows = torch.tensor([self.places[sample.key] for sample in samples])

    def targets(
        self, clips: Tensor, batch: VideoBatch, mixture: Mixture, temperature: float
    ) -> tuple[Tensor, Tensor | None]:
        logits = self.logits[self.rows[batch.indices.cpu()]]  # (B, K)
        mirrored = batch.mirrored.cpu()[:, None]
        logits = torch.where(mirrored, logits[:, self.exchanged], logits)
        values = soften(logits, temperature, several=self.several)
        return mixture.targets(values).to(clips.device), None


class FunctionTeacher(Teacher):
    """A function of a program."""

    def __init__(self, function: ScoreClips, classes: Sequence[str], *, several: bool) -> None:
        name = getattr(function, "__qualname__", type(function).__qualname__)
        super().__init__(name, None, several=several)
        self.function, self.num_classes = function, len(classes)

    def targets(
        self, clips: Tensor, batch: VideoBatch, mixture: Mixture, temperature: float
    ) -> tuple[Tensor, Tensor | None]:
        given, wanted = self.function(clips), (len(clips), self.num_classes)
        try:
            logits = torch.as_tensor(given)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(
                f"the teacher {self.name} gave {in_short(given)}; give logits of shape {wanted}"
            ) from error
        if tuple(logits.shape) != wanted:
            raise ValueError(
                f"the teacher {self.name} gave logits of shape {tuple(logits.shape)} for "
                f"{len(clips)} clips of {self.num_classes} classes; give {wanted}"
            )
        if not bool(logits.isfinite().all()):
            raise ValueError(
                f"the teacher {self.name} gave logits that are not finite numbers; give such that "
                "are for every clip"
            )
        values = soften(logits.detach().float(), temperature, several=self.several)
        return mixture.targets(values).to(clips.device), None


@dataclass(frozen=True)
class Teachers:
    """The teachers of a run and the clips that they take."""

    members: tuple[Teacher, ...]
    """The teachers, in their order."""
    specs: tuple[ModelSpec, ...]
    """Clips that are read for them beside those of the student."""
    places: tuple[int | None, ...]
    """Of each teacher which of these it takes; None for the student's."""

    def __deepcopy__(self, memo: Any) -> "Teachers":
        return self  # an average of the weights copies what trains, and they do not

    def to(self, device: torch.device) -> None:
        """Move them to where the student is."""
        for teacher in self.members:
            teacher.to(device)

    def begin(self, samples: Sequence[VideoSample]) -> None:
        """`Teacher.begin` of each."""
        for teacher in self.members:
            teacher.begin(samples)

    @torch.no_grad()
    def targets(
        self, batch: VideoBatch, mixture: Mixture, temperature: float
    ) -> list[tuple[Tensor, Tensor | None]]:
        """`Teacher.targets` of each."""
        return [
            teacher.targets(
                batch.frames if place is None else batch.others[place], batch, mixture, temperature
            )
            for teacher, place in zip(self.members, self.places, strict=True)
        ]

    @property
    def modalities(self) -> dict[Modality, str]:
        """Modalities of the clips that are read for them, each with the first that takes it."""
        members = zip(self.members, self.places, strict=True)
        first: dict[Modality, str] = {}
        for teacher, place in members:
            if place is not None:
                first.setdefault(self.specs[place].modality, f"the teacher {teacher.name}")
        return first

    def described(self) -> list[dict[str, str | None]] | None:
        """Their names and hashes, for the record of the run; None without any."""
        found = [{"model": each.name, "sha256": each.sha256} for each in self.members]
        return found or None


NO_TEACHERS = Teachers((), (), ())


def class_columns(name: str, known: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Where a teacher has the scores of the classes of a run.

    Raises:
        ValueError: it does not know one.

    >>> class_columns("teacher", ["jump", "run", "wave"], ["wave", "jump"])
    [2, 0]
    """
    missing = [each for each in classes if each not in known]
    if missing:
        raise ValueError(
            f"the teacher {name} has {count_of(len(known), 'class')} and does not know "
            f"{first_few(missing)} of the {len(classes)} of the data: give one that was trained on "
            "all of them"
        )
    return [list(known).index(each) for each in classes]


def _logits_of(scores: SavedScores) -> Tensor:
    """Logits (N, K), of probabilities those that give them."""
    if scores.kind == "logits":
        return scores.scores
    values = scores.scores.double().clamp(LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return (values.logit() if scores.several else values.log()).float()
