"""The recognisers that are compared, by name: TSN, and what temporal operations make of it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from mixtconv.benchmarks.baselines import CopyingShift, PublishedMixTConv
from mixtconv.benchmarks.workload import Workload
from mixtconv.models import VideoClassifier, create_model, insert_temporal
from mixtconv.ops import fold_time, unfold_time

NUM_CLASSES = 174
"""Classes of Something-Something v2, on which the paper reports."""

RECOGNISERS: dict[str, Callable[[Workload], VideoClassifier]] = {
    "TSN": lambda workload: _create("tsn", workload),
    "TSM": lambda workload: _create("tsm", workload),
    "TSM zero-filled": lambda workload: _with(lambda channels: CopyingShift(), workload),
    "MSTNet": lambda workload: _create("mstnet", workload),
    "MSTNet as published": lambda workload: _with(PublishedMixTConv, workload),
}
"""Name -> what makes it."""


def random_clips(workload: Workload, device: torch.device) -> Tensor:
    """Clips of noise (B, T, 3, H, W)."""
    num_clips, size = workload.clips_on(device.type), workload.image_size
    return torch.randn(num_clips, workload.num_frames, 3, size, size).to(device)


def to_channels_last(model: VideoClassifier) -> VideoClassifier:
    """Lay out the weights of the 2D network for channels-last frames, in place."""
    model.backbone.to(memory_format=torch.channels_last)
    return model


def channels_last_clips(clips: Tensor) -> Tensor:
    """The same clips (B, T, C, H, W) with the channels of a pixel side by side in memory."""
    frames = fold_time(clips).contiguous(memory_format=torch.channels_last)  # (B * T, C, H, W)
    return unfold_time(frames, clips.shape[1])  # (B, T, C, H, W)


def _create(family: str, workload: Workload) -> VideoClassifier:
    return create_model(
        f"{family}_{workload.backbone}",
        NUM_CLASSES,
        num_frames=workload.num_frames,
        image_size=workload.image_size,
    )


def _with(operation: Callable[[int], nn.Module], workload: Workload) -> VideoClassifier:
    """TSN with an operation that has no name, at the places that the named ones take."""
    model = _create("tsn", workload)
    insert_temporal(
        model.backbone,
        operation,
        num_frames=workload.num_frames,
        image_size=workload.image_size,
    )
    return model
