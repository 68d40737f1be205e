"""The loss of training clips: cross entropy, mixed, smoothed and weighted as the settings say.

Weights of classes are inverse frequencies, as in "Learning Deep Representation for Imbalanced
Classification" (CVPR 2016) and many others. Different here: they are scaled such that a video of
the training set has the weight 1 on average, so that --lr means the same with and without them.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from mixtconv.models import VideoClassifier
from mixtconv.training.settings import TrainingSettings


def class_weights(labels: Sequence[int], num_classes: int) -> Tensor:
    """The inverse frequency of each class, such that the mean over the labels is 1: float32 (K,).

    A class without labels has the weight 0.

    >>> class_weights([0, 0, 0, 2], 3)
    tensor([0.6667, 0.0000, 2.0000])
    """
    counts = torch.tensor(labels).bincount(minlength=num_classes)  # (K,)
    present = int((counts > 0).sum())
    weights = len(labels) / (present * counts.clamp(min=1))
    return weights * (counts > 0)


def weighted_cross_entropy(
    logits: Tensor, target: Tensor, weights: Tensor | None = None, *, label_smoothing: float = 0.0
) -> Tensor:
    """The mean over a batch of the cross entropy of each sample, times the weight of its label.

    Unlike in `F.cross_entropy` the divisor is the number of samples, not the sum of their weights,
    which would take the weight from a batch of one class.

    Args:
        logits: (B, K).
        target: int64 (B,), or the shares of the classes (B, K), whose weights are averaged by them.
        weights: (K,); None for 1.
        label_smoothing: fraction of the target that is spread over all classes.
    """
    losses = F.cross_entropy(logits, target, reduction="none", label_smoothing=label_smoothing)
    if weights is None:
        return losses.mean()
    weights = weights.to(logits.device)
    own = target @ weights if target.is_floating_point() else weights[target]  # (B,)
    return (losses * own).mean()


class ClipLoss:
    """The mean loss of a batch of clips.

    Args:
        settings: the recipe.
        labels: classes of the training videos, for --balance weights.
        num_classes: K.
    """

    def __init__(
        self, settings: TrainingSettings, labels: Sequence[int], *, num_classes: int
    ) -> None:
        self.mix = make_mix(settings, num_classes)
        self.label_smoothing = settings.label_smoothing
        is_weighted = settings.balance == "weights"
        self.weights = class_weights(labels, num_classes) if is_weighted else None

    def __call__(self, model: VideoClassifier, clips: Tensor, labels: Tensor) -> Tensor:
        """The loss of clips as they are read, uint8 (B, T, C, S, S).

        Args:
            model: the recognizer.
            clips: as they are read.
            labels: int64 (B,), or of each frame the shares of the classes, float32 (B, T, K).
        """
        video, target = model.normalize(clips), labels
        if self.mix is not None:
            video, target = self.mix(tv_tensors.Video(video), target)
            video = video.as_subclass(Tensor)
        if target.ndim == 3:
            logits, target = model.forward_frames(video).float().flatten(0, 1), target.flatten(0, 1)
        else:
            logits = model(video).float()  # (B, K)
        return weighted_cross_entropy(
            logits, target, self.weights, label_smoothing=self.label_smoothing
        )


def make_mix(settings: TrainingSettings, num_classes: int) -> Any:
    """Mixup and cutmix by the settings; with both, each batch gets one at random."""
    mixes = {v2.MixUp: settings.mixup, v2.CutMix: settings.cutmix}
    chosen = [mix(alpha=alpha, num_classes=num_classes) for mix, alpha in mixes.items() if alpha]
    return v2.RandomChoice(chosen) if chosen else None
