"""The recognizers that are compared, by name: TSN, and what temporal operations make of it.

Speed of whole recognizers at inference: TSN, TSM and MSTNet, treated alike.
"""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

import mixtconv
from mixtconv._types import Progress
from mixtconv.benchmarks.baselines import CopyingShift, PublishedMixTConv
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import Comparison, compare_in_groups, grouped_name, interleave
from mixtconv.models import VideoClassifier, create_model, insert_temporal
from mixtconv.models.device import autocast, resolve_device
from mixtconv.ops import fold_time, unfold_time

NUM_CLASSES = 174
"""Classes of Something-Something v2, on which the paper reports."""

RECOGNIZERS: dict[str, Callable[[Workload], VideoClassifier]] = {
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


ROUNDS = 12

NCHW, CHANNELS_LAST, OPTIMISED = "eager NCHW", "eager channels-last", "optimised"

CANDIDATES = {
    NCHW: ("TSN", "TSM", "TSM zero-filled", "MSTNet", "MSTNet as published"),
    CHANNELS_LAST: ("TSN", "TSM", "MSTNet"),
    OPTIMISED: ("TSN", "TSM", "MSTNet"),
}
"""Treatment -> recognizers that get it; the first is the baseline of the others."""

PUBLISHED = grouped_name("MSTNet as published", NCHW)

NOTE = (
    "All treatments ran in the same rounds. Optimised is mixtconv.optimize_for_inference: batch "
    "normalisation folded, channels-last, and what the operation gains by it."
)


def bench_model(
    workload: Workload, *, rounds: int | None = None, progress: Progress | None = None
) -> list[Comparison]:
    """Time inference of the recognizers on one batch of clips.

    Args:
        workload: backbone, clips, device and precision.
        rounds: `ROUNDS` by default.
        progress: called after every round.

    Returns:
        One comparison a treatment, against TSN with the same treatment, and against the published
        formulation.

    Raises:
        ValueError: an unknown backbone or one without residual branches; a device or a precision
            that cannot be had.
    """
    device = resolve_device(workload.device)
    clips = random_clips(workload, device)
    candidates = {
        grouped_name(name, treatment): _treated(RECOGNIZERS[name](workload), treatment, clips)
        for treatment, names in CANDIDATES.items()
        for name in names
    }
    with torch.inference_mode(), autocast(workload.precision, device):
        timings = interleave(
            candidates,
            rounds=ROUNDS if rounds is None else rounds,
            device=device,
            progress=progress,
        )
    return compare_in_groups(
        timings,
        CANDIDATES,
        task=f"inference of {workload.backbone}, {workload.clips_text(device.type)}",
        reference=PUBLISHED,
        notes=(NOTE,),
    )


def _treated(model: VideoClassifier, treatment: str, clips: Tensor) -> Callable[[], Tensor]:
    """One inference of the model, made ready in one of the ways."""
    return _TREATMENTS[treatment](model.to(clips.device).eval(), clips)


def _eager(model: VideoClassifier, clips: Tensor) -> Callable[[], Tensor]:
    return partial(model, clips)


def _channels_last(model: VideoClassifier, clips: Tensor) -> Callable[[], Tensor]:
    return partial(to_channels_last(model), channels_last_clips(clips))


def _optimised(model: VideoClassifier, clips: Tensor) -> Callable[[], Tensor]:
    return partial(mixtconv.optimize_for_inference(model), channels_last_clips(clips))


_TREATMENTS = {NCHW: _eager, CHANNELS_LAST: _channels_last, OPTIMISED: _optimised}
