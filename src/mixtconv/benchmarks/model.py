"""Speed of whole recognisers at inference: TSN, TSM and MSTNet, treated alike."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import mixtconv
from mixtconv.benchmarks.groups import compare_in_groups, grouped_name
from mixtconv.benchmarks.recognisers import (
    RECOGNISERS,
    channels_last_clips,
    random_clips,
    to_channels_last,
)
from mixtconv.benchmarks.timing import Comparison, Progress, interleave
from mixtconv.benchmarks.workload import Workload
from mixtconv.models import VideoClassifier
from mixtconv.models.device import autocast, resolve_device

ROUNDS = 12

NCHW, CHANNELS_LAST, OPTIMISED = "eager NCHW", "eager channels-last", "optimised"

CANDIDATES = {
    NCHW: ("TSN", "TSM", "TSM zero-filled", "MSTNet", "MSTNet as published"),
    CHANNELS_LAST: ("TSN", "TSM", "MSTNet"),
    OPTIMISED: ("TSN", "TSM", "MSTNet"),
}
"""Treatment -> recognisers that get it; the first is the baseline of the others."""

PUBLISHED = grouped_name("MSTNet as published", NCHW)

NOTE = (
    "All treatments ran in the same rounds. Optimised is mixtconv.optimize_for_inference: batch "
    "normalisation folded, channels-last, and what the operation gains by it."
)


def bench_model(
    workload: Workload, *, rounds: int | None = None, progress: Progress | None = None
) -> list[Comparison]:
    """Time inference of the recognisers on one batch of clips.

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
        grouped_name(name, treatment): _treated(RECOGNISERS[name](workload), treatment, clips)
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
