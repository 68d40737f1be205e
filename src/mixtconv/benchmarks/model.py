"""Speed of whole recognizers at inference: TSN, TSM and MSTNet on clips, and on streams.

`bench_model` times a batch of clips, the networks treated alike; `bench_stream` times one new frame
of each stream, beside one frame of TSN and beside a whole clip for every frame.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mixtconv._names import count_of
from mixtconv._types import Progress
from mixtconv.benchmarks.baselines import CopyingShift, PublishedMixTConv
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import (
    Comparison,
    Measured,
    compare_in_groups,
    grouped_name,
    interleave,
)
from mixtconv.evaluation.complexity import abstract_model
from mixtconv.models import (
    VideoClassifier,
    create_model,
    insert_temporal,
    optimize_for_inference,
)
from mixtconv.models.device import autocast, resolve_device
from mixtconv.models.streaming import StreamingClassifier, StreamState
from mixtconv.models.structure.attention_sites import find_attention_sites
from mixtconv.models.structure.residual_branches import find_residual_sites
from mixtconv.ops import fold_time, unfold_time

NUM_CLASSES = 174
"""Classes of Something-Something v2, on which the paper reports."""

RECOGNIZERS: dict[str, Callable[[Workload], VideoClassifier]] = {
    "TSN": lambda workload: create_recognizer("tsn", workload),
    "TSM": lambda workload: create_recognizer("tsm", workload),
    "TSM zero-filled": lambda workload: _tsn_with(lambda channels: CopyingShift(), workload),
    "MSTNet": lambda workload: create_recognizer("mstnet", workload),
    "MSTNet as published": lambda workload: _tsn_with(PublishedMixTConv, workload),
    "MSTViT": lambda workload: create_recognizer("mstvit", workload),
}
"""Name -> creates the recognizer."""


def create_recognizer(family: str, workload: Workload, **options: Any) -> VideoClassifier:
    """A recognizer with random weights for a workload; options are those of `create_model`."""
    sizes = {"num_frames": workload.num_frames, "image_size": workload.image_size}
    return create_model(f"{family}_{workload.backbone}", NUM_CLASSES, **(sizes | options))


def temporal_families(workload: Workload) -> dict[str, str]:
    """Families with a temporal operation that the backbone takes -> their names.

    Those of residual branches; of a transformer without them, that of keys and values.
    """
    network = abstract_model(f"tsn_{workload.backbone}", 1, image_size=workload.image_size).backbone
    size = workload.image_size
    if not find_residual_sites(network, image_size=size) and find_attention_sites(
        network, image_size=size
    ):
        return {"mstvit": "MSTViT"}
    return {"tsm": "TSM", "mstnet": "MSTNet"}


def _tsn_with(operation: Callable[[int], nn.Module], workload: Workload) -> VideoClassifier:
    """TSN with an operation that has no name, inserted where the named ones are."""
    model = create_recognizer("tsn", workload)
    insert_temporal(
        model.backbone,
        operation,
        num_frames=workload.num_frames,
        image_size=workload.image_size,
    )
    return model


def random_clips(workload: Workload, device: torch.device) -> Tensor:
    """Clips of noise (B, T, 3, H, W)."""
    num_clips, size = workload.clips_on(device.type), workload.image_size
    return torch.randn(num_clips, workload.num_frames, 3, size, size).to(device)


def to_channels_last(model: VideoClassifier) -> VideoClassifier:
    """Lay out the weights of the 2D network for channels-last frames, in place."""
    model.backbone.to(memory_format=torch.channels_last)
    return model


def channels_last_clips(clips: Tensor) -> Tensor:
    """The same clips (B, T, C, H, W) with the channels of a pixel adjacent in memory."""
    frames = fold_time(clips).contiguous(memory_format=torch.channels_last)  # (B * T, C, H, W)
    return unfold_time(frames, clips.shape[1])  # (B, T, C, H, W)


# Clips

MODEL_ROUNDS = 12

NCHW, CHANNELS_LAST, OPTIMISED = "eager NCHW", "eager channels-last", "optimised"

CANDIDATES = {
    NCHW: ("TSN", "TSM", "TSM zero-filled", "MSTNet", "MSTNet as published"),
    CHANNELS_LAST: ("TSN", "TSM", "MSTNet"),
    OPTIMISED: ("TSN", "TSM", "MSTNet"),
}
"""Treatment -> recognizers that get it; the first is the baseline of the others."""

TRANSFORMER_CANDIDATES = {NCHW: ("TSN", "MSTViT"), OPTIMISED: ("TSN", "MSTViT")}
"""The same where the operation is on keys and values."""

PUBLISHED = grouped_name("MSTNet as published", NCHW)

MODEL_NOTE = (
    "All treatments ran in the same rounds. Optimised is mixtconv.optimize_for_inference: batch "
    "normalisation folded, channels-last, and what the operation gains by it."
)


def bench_model(workload: Workload, progress: Progress | None = None) -> Measured:
    """Time inference of the recognizers on one batch of clips.

    One comparison a treatment, against TSN with the same treatment, and in networks of
    convolutions against the published formulation.

    Raises:
        ValueError: an unknown backbone or one that takes no temporal operation; a device or a
            precision that is not available.
    """
    device = resolve_device(workload.device)
    is_transformer = "mstvit" in temporal_families(workload)
    compared = TRANSFORMER_CANDIDATES if is_transformer else CANDIDATES
    clips = random_clips(workload, device)
    candidates = {
        grouped_name(name, treatment): _TREATMENTS[treatment](
            RECOGNIZERS[name](workload).to(device).eval(), clips
        )
        for treatment, names in compared.items()
        for name in names
    }
    with torch.inference_mode(), autocast(workload.precision, device):
        timings = interleave(
            candidates,
            rounds=workload.rounds or MODEL_ROUNDS,
            device=device,
            progress=progress,
        )
    task = f"inference of {workload.backbone}, {workload.clips_text(device.type)}"
    return Measured(
        compare_in_groups(
            timings,
            compared,
            task=task,
            reference=grouped_name("TSN", NCHW) if is_transformer else PUBLISHED,
            notes=(MODEL_NOTE,),
        )
    )


_TREATMENTS: dict[str, Callable[[VideoClassifier, Tensor], Callable[[], Tensor]]] = {
    NCHW: partial,
    CHANNELS_LAST: lambda model, clips: partial(
        to_channels_last(model), channels_last_clips(clips)
    ),
    OPTIMISED: lambda model, clips: partial(
        optimize_for_inference(model), channels_last_clips(clips)
    ),
}


# Streams

STREAM_ROUNDS = 24
FRAMES_IN_A_TURN = 8

TSN_FRAME = "TSN, one frame"

STREAM_NOTE = (
    "Every candidate gives the logits of one new frame of each stream (--batch-size streams), all "
    "optimised for inference. The clip is what a centred model must run: its last frames again. "
    f"A stream's frames come one after the other, so each candidate has {FRAMES_IN_A_TURN} in its "
    "turn; the times are those of one."
)


def bench_stream(workload: Workload, progress: Progress | None = None) -> Measured:
    """Time the logits of a new frame of each stream, against TSN's.

    Raises:
        ValueError: an unknown backbone or one without residual branches; a device or a precision
            that is not available.
    """
    device = resolve_device(workload.device)
    num_streams, size = workload.clips_on(device.type), workload.image_size
    frames = torch.randn(num_streams, 3, size, size).to(device)
    clips = frames[:, None].repeat(1, workload.num_frames, 1, 1, 1)  # (B, T, 3, S, S)
    families = temporal_families(workload)
    candidates: dict[str, Callable[[], Tensor]] = {
        TSN_FRAME: _clip_by_clip("tsn", workload, frames[:, None]),
        **{
            f"{name}, stream": _frame_by_frame(family, workload, frames)
            for family, name in families.items()
        },
    }
    family, name = list(families.items())[-1]
    candidates[f"{name}, a clip for every frame"] = _clip_by_clip(family, workload, clips)
    with torch.inference_mode(), autocast(workload.precision, device):
        timings = interleave(
            candidates,
            rounds=workload.rounds or STREAM_ROUNDS,
            repeats=FRAMES_IN_A_TURN,
            device=device,
            progress=progress,
        )
    comparison = Comparison(
        f"a frame of {count_of(num_streams, 'stream')}, {workload.backbone}, {size} pixels, clips "
        f"of {workload.num_frames}",
        TSN_FRAME,
        tuple(timings),
        notes=(STREAM_NOTE,),
        references=(f"{name}, stream",),
    )
    return Measured((comparison,))


def _clip_by_clip(family: str, workload: Workload, clips: Tensor) -> Callable[[], Tensor]:
    model = create_recognizer(family, workload, num_frames=clips.shape[1]).to(clips.device)
    return partial(optimize_for_inference(model.eval()), clips)


def _frame_by_frame(family: str, workload: Workload, frames: Tensor) -> Callable[[], Tensor]:
    model = create_recognizer(family, workload, causal=True).to(frames.device)
    return partial(StreamingClassifier(model.eval()), frames, StreamState(len(frames)))
