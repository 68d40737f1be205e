"""The loss of training clips: cross entropy, mixed, smoothed and weighted as the settings say.

Of several labels a video it is binary cross entropy, or "Asymmetric Loss For Multi-Label
Classification" (arXiv 2009.14119). Different here: the factors that focus have gradients too, as in
the paper's formula, not in its code.

Weights of classes are inverse frequencies, as in "Learning Deep Representation for Imbalanced
Classification" (CVPR 2016) and many others. Different here: they are scaled such that a video of
the training set has the weight 1 on average, so that --lr means the same with and without them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from mixtconv.data.background import BACKGROUND
from mixtconv.data.listing import VideoSample, labels_of
from mixtconv.data.recordings import seconds_of
from mixtconv.models import ModelSpec, VideoClassifier
from mixtconv.training.settings import TrainingSettings

FRAME_POWER = 0.5
"""Exponent of the inverse frequency where frames have labels: most of the time is background, and
the whole inverse would have it found nowhere."""


def class_weights(counts: Sequence[float], *, power: float = 1.0) -> Tensor:
    """The inverse frequency of each class, such that the mean over what is counted is 1: (K,).

    A class without any has the weight 0.

    Args:
        counts: (K,), videos with each class, or seconds.
        power: exponent of the inverse.

    >>> class_weights([3, 0, 1])
    tensor([0.6667, 0.0000, 2.0000])
    """
    values = torch.tensor(counts, dtype=torch.float64)  # (K,)
    weights = torch.where(values > 0, values.clamp(min=1e-9).pow(-power), 0.0)
    return (weights * values.sum() / (values * weights).sum()).float()


def label_counts(samples: Sequence[VideoSample], spec: ModelSpec) -> list[float]:
    """How many videos have each class; where frames have labels of their own, how many seconds."""
    recordings = {id(each.annotated): each.annotated for each in samples if each.annotated}
    nothing = None if spec.several_labels or not recordings else spec.classes.index(BACKGROUND)
    counts = [0.0] * spec.num_classes
    for recording in recordings.values():
        for label, seconds in seconds_of(recording, nothing=nothing).items():
            counts[label] += float(seconds)
    for sample in samples if not recordings else ():
        for label in labels_of(sample.label):
            counts[label] += 1
    return counts


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


def multi_label_loss(
    logits: Tensor,
    target: Tensor,
    weights: Tensor | None = None,
    *,
    label_smoothing: float = 0.0,
    gamma_positive: float = 0.0,
    gamma_negative: float = 0.0,
    margin: float = 0.0,
) -> Tensor:
    """Asymmetric loss of independent labels, summed over the classes, the mean over the batch.

    With gammas and margin of 0 it is binary cross entropy.

    Args:
        logits: (B, K).
        target: (B, K), 1 where a label holds, 0 where not; or between, of mixed clips.
        weights: (K,), factors of the labels that hold; None for 1.
        label_smoothing: fraction of the target that is replaced by one half.
        gamma_positive, gamma_negative: exponents of the factors of labels that hold, and of others.
        margin: taken from the scores of the others before, down to 0.
    """
    target = target * (1 - label_smoothing) + label_smoothing / 2
    positive = -F.logsigmoid(logits)
    if gamma_positive:
        positive = positive * (1 - logits.sigmoid()).pow(gamma_positive)
    if margin:
        shifted = (logits.sigmoid() - margin).clamp(min=0)
        negative = -torch.log1p(-shifted)
    else:
        shifted = logits.sigmoid()
        negative = -F.logsigmoid(-logits)
    if gamma_negative:
        negative = negative * shifted.pow(gamma_negative)
    if weights is not None:
        positive = positive * weights.to(logits.device)
    return (target * positive + (1 - target) * negative).sum(dim=1).mean()


LossOfLogits = Callable[[Tensor, Tensor], Tensor]
"""The mean loss of logits (B, K) and their labels; see `fit.train`."""


class ClipLoss:
    """The mean loss of a batch of clips.

    Args:
        settings: the recipe.
        samples: the training videos, for --balance weights.
        spec: the model: its classes, and whether a video may have several.
        own: in place of the cross entropy.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        samples: Sequence[VideoSample],
        spec: ModelSpec,
        *,
        own: LossOfLogits | None = None,
    ) -> None:
        self.mix = make_mix(settings, spec.num_classes)
        weights = None
        if settings.balance == "weights":
            power = FRAME_POWER if settings.frame_labels else 1.0
            weights = class_weights(label_counts(samples, spec), power=power)
        self.of_logits: LossOfLogits
        if own is not None:
            self.of_logits = own
        elif spec.several_labels:
            self.of_logits = partial(
                multi_label_loss,
                weights=weights,
                label_smoothing=settings.label_smoothing,
                gamma_positive=settings.gamma_positive,
                gamma_negative=settings.gamma_negative,
                margin=settings.negative_margin,
            )
        else:
            self.of_logits = partial(
                weighted_cross_entropy, weights=weights, label_smoothing=settings.label_smoothing
            )

    def __call__(self, model: VideoClassifier, clips: Tensor, labels: Tensor) -> Tensor:
        """The loss of clips as they are read, uint8 (B, T, C, S, S).

        Args:
            model: the recognizer.
            clips: as they are read.
            labels: int64 (B,), or of several labels float32 (B, K); where frames have labels of
                their own, the shares of the classes in each, float32 (B, T, K).
        """
        video, target = self.mixed(model.normalize(clips), labels)
        if target.ndim == 3:  # the frames are what is averaged over
            logits = model.forward_frames(video).float()  # (B, T, K)
            return self.of_logits(logits.flatten(0, 1), target.flatten(0, 1))
        return self.of_logits(model(video).float(), target)

    def mixed(self, video: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised clips (B, T, C, S, S) and their labels, by mixup and cutmix of the settings.

        Chance is that of torch's generator of the CPU.
        """
        if self.mix is None:
            return video, labels
        mixed, target = self.mix(tv_tensors.Video(video), labels)
        return mixed.as_subclass(Tensor), target


def make_mix(settings: TrainingSettings, num_classes: int) -> Any:
    """Mixup and cutmix by the settings; with both, each batch gets one at random."""
    mixes = {v2.MixUp: settings.mixup, v2.CutMix: settings.cutmix}
    chosen = [mix(alpha=alpha, num_classes=num_classes) for mix, alpha in mixes.items() if alpha]
    return v2.RandomChoice(chosen) if chosen else None
