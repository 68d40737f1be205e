"""Labels of clips as tensors: one class, several, or those of each frame."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mixtconv.data.background import BACKGROUND
from mixtconv.data.labels import MirrorLabels
from mixtconv.data.listing import Label, VideoSample, labels_of
from mixtconv.data.recordings import frame_targets
from mixtconv.models.spec import ModelSpec
from mixtconv.video.segment import Segment
from mixtconv.video.segment_frames import shown_at


def label_of(sample: VideoSample, indices: Sequence[int], spec: ModelSpec) -> Label | Tensor:
    """The label of a video, or those of its frames, float32 (T, K), where they have their own.

    Args:
        sample: the video.
        indices: (T,), its frames.
        spec: the model; unless it takes several labels, its class `background` is that of frames
            without another one.
    """
    if sample.annotated is None or not isinstance(sample.video, Segment):
        return sample.label
    return torch.from_numpy(
        frame_targets(
            sample.annotated,
            shown_at(sample.video, indices),
            num_classes=spec.num_classes,
            nothing=None if spec.several_labels else spec.classes.index(BACKGROUND),
        )
    )


def classes_in(label: Label | Tensor) -> Sequence[int]:
    """The classes of a label, or of the frames of a clip."""
    if not isinstance(label, Tensor):
        return labels_of(label)
    return [int(number) for number in label.any(dim=0).nonzero()[:, 0]]


def label_in_clip(label: Label | Tensor) -> Label:
    """A label, or of frames 1 for each class that any of them has."""
    if not isinstance(label, Tensor):
        return label
    return tuple(int(held) for held in label.any(dim=0))


def mirrored_label(label: Label | Tensor, mirroring: MirrorLabels) -> Label | Tensor:
    """The label of a mirrored clip, or those of its frames."""
    if not isinstance(label, Tensor):
        return mirroring.mirrored(label)
    moved = torch.empty_like(label)
    moved[:, list(mirroring.target)] = label
    return moved


def label_tensor(labels: Sequence[Label | Tensor]) -> Tensor:
    """Labels as the loss and the metrics take them: int64 (N,), or of several float32 (N, K).

    Those of frames, float32 (T, K) each, are float32 (N, T, K).

    >>> label_tensor([2, 0]).shape, label_tensor([(1, 0, 1), (0, 0, 0)]).shape
    (torch.Size([2]), torch.Size([2, 3]))
    """
    tensors = [label for label in labels if isinstance(label, Tensor)]
    if tensors:
        return torch.stack(tensors)
    several = bool(labels) and not isinstance(labels[0], int)
    return torch.tensor(labels, dtype=torch.float32 if several else torch.int64)
