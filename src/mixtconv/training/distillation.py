"""The loss of students that learn from teachers, from each other, or both.

Of each student it is (1 - w) times its loss on the labels, and w times its distance from the mean
of the probabilities of its teachers, of which the other student is one ("Deep Mutual Learning",
arXiv 1706.00384). Different from that paper: both students take a step after the same scores, not
one after the other, and the temperature is that of the teachers.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mixtconv.data.dataset import VideoBatch
from mixtconv.models import VideoClassifier
from mixtconv.models.systems.whole_clip import EnsembleClassifier
from mixtconv.training.loss import ClipLoss
from mixtconv.training.mixed_clips import mix_clips
from mixtconv.training.settings import TrainingSettings
from mixtconv.training.soft_targets import feature_loss, soft_loss, soften
from mixtconv.training.teachers import NetworkTeacher, Teachers


class Losses(NamedTuple):
    """The losses of a batch."""

    total: Tensor
    """What gradients are of: the sum over the students."""
    first: Tensor
    """That of the first student."""


class DistillationLoss:
    """The mean loss of a batch of clips for students with teachers.

    Args:
        labelled: the loss on the labels.
        settings: the recipe.
        teachers: they score the clips, too.
        several: whether a video may have several labels.
    """

    def __init__(
        self, labelled: ClipLoss, settings: TrainingSettings, teachers: Teachers, *, several: bool
    ) -> None:
        self.labelled, self.teachers, self.several = labelled, teachers, several
        self.weight = settings.teacher_weight
        self.temperature = settings.temperature
        self.feature_weight = settings.teacher_features

    def __call__(
        self,
        students: Sequence[VideoClassifier],
        batch: VideoBatch,
        projections: Iterable[nn.Module] = (),
    ) -> Losses:
        """The losses of a batch.

        Args:
            students: one or two, in training mode.
            batch: clips as they are read.
            projections: from the features of the first student to those of each teacher.
        """
        first, layers = students[0], list(projections)
        video, target, mixture = mix_clips(
            self.labelled, first.normalize(batch.frames), batch.labels
        )
        taught = self.teachers.targets(batch, mixture, self.temperature)
        videos = [video]
        videos += [mixture.clips(each.normalize(batch.frames)) for each in students[1:]]
        features, logits = None, []
        for student, clips in zip(students, videos, strict=True):
            if layers and student is first:
                features = student.forward_features(clips)
                scored = student.forward_head(features)
            elif target.ndim == 3:  # the frames are what is averaged over
                scored = student.forward_frames(clips).flatten(0, 1)
            else:
                scored = student(clips)
            logits.append(scored.float())
        target = target.flatten(0, 1) if target.ndim == 3 else target
        wanted = [each.flatten(0, -2) for each, _ in taught]
        losses = []
        for own, scored in enumerate(logits):
            others = [each.detach() for place, each in enumerate(logits) if place != own]
            peers = [soften(each, self.temperature, several=self.several) for each in others]
            losses.append(self._loss(scored, target, [*wanted, *peers]))
        if features is not None:
            pooled = features.float().mean(dim=1)  # (B, D)
            known = [each for _, each in taught if each is not None]
            pairs = zip(layers, known, strict=True)
            parts = [feature_loss(layer(pooled).float(), each) for layer, each in pairs]
            losses[0] = losses[0] + self.feature_weight * torch.stack(parts).mean()
        return Losses(torch.stack(losses).sum(), losses[0].detach())

    def _loss(self, logits: Tensor, target: Tensor, sources: Sequence[Tensor]) -> Tensor:
        mean = torch.stack(list(sources)).mean(dim=0)  # (B, K)
        soft = soft_loss(logits, mean, self.temperature, several=self.several)
        if self.weight == 1:
            return soft
        return (1 - self.weight) * self.labelled.of_logits(logits, target) + self.weight * soft


def make_projections(student: VideoClassifier, teachers: Teachers, *, seed: int) -> nn.ModuleList:
    """Linear layers from the pooled features of a student to those of each teacher.

    Raises:
        ValueError: a student whose logits are not those of one head on its features.
    """
    if isinstance(student, EnsembleClassifier):
        raise ValueError(
            f"--teacher-features compares features of one network, and {student.spec.name} is of "
            "several: leave it out"
        )
    widths = [each.num_features for each in teachers.members if isinstance(each, NetworkTeacher)]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.ModuleList(nn.Linear(student.num_features, width) for width in widths)
