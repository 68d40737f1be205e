"""Speed of streams: a new frame, beside one frame of TSN and a clip of it and those before."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

import mixtconv
from mixtconv._types import Progress
from mixtconv.benchmarks.model import NUM_CLASSES
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import Comparison, interleave
from mixtconv.models import VideoClassifier
from mixtconv.models.device import autocast, resolve_device
from mixtconv.models.streaming import StreamingClassifier, StreamState

ROUNDS = 24
FRAMES_IN_A_TURN = 8

TSN, TSM, MSTNET, CLIP = (
    "TSN, one frame",
    "TSM, stream",
    "MSTNet, stream",
    "MSTNet, a clip for every frame",
)

NOTE = (
    "Every candidate gives the logits of one new frame of each stream (--batch-size streams), all "
    "optimised for inference. The clip is what a centred model must run: its last frames again. "
    f"A stream's frames come one after the other, so each candidate has {FRAMES_IN_A_TURN} in its "
    "turn; the times are those of one."
)


def bench_stream(
    workload: Workload, *, rounds: int | None = None, progress: Progress | None = None
) -> Comparison:
    """Time the logits of a new frame, against TSN's.

    Args:
        workload: backbone, frames of a clip, streams (`batch_size`), device and precision.
        rounds: `ROUNDS` by default.
        progress: called after every round.

    Raises:
        ValueError: an unknown backbone or one without residual branches; a device or a precision
            that cannot be had.
    """
    device = resolve_device(workload.device)
    num_streams, size = workload.clips_on(device.type), workload.image_size
    frames = torch.randn(num_streams, 3, size, size).to(device)
    candidates: dict[str, Callable[[], Tensor]] = {
        TSN: partial(_optimised("tsn", workload, 1, device), frames[:, None]),
        TSM: _stream("tsm", workload, frames),
        MSTNET: _stream("mstnet", workload, frames),
        CLIP: partial(
            _optimised("mstnet", workload, workload.num_frames, device),
            frames[:, None].repeat(1, workload.num_frames, 1, 1, 1),
        ),
    }
    with torch.inference_mode(), autocast(workload.precision, device):
        timings = interleave(
            candidates,
            rounds=ROUNDS if rounds is None else rounds,
            repeats=FRAMES_IN_A_TURN,
            device=device,
            progress=progress,
        )
    streams = f"{num_streams} stream{'s' if num_streams > 1 else ''}"
    return Comparison(
        f"a frame of {streams}, {workload.backbone}, {size} pixels, clips of {workload.num_frames}",
        TSN,
        tuple(timings),
        notes=(NOTE,),
        references=(MSTNET,),
    )


def _create(
    family: str, workload: Workload, num_frames: int, *, causal: bool = False
) -> VideoClassifier:
    return mixtconv.create_model(
        f"{family}_{workload.backbone}",
        NUM_CLASSES,
        num_frames=num_frames,
        image_size=workload.image_size,
        causal=causal,
    ).eval()


def _optimised(
    family: str, workload: Workload, num_frames: int, device: torch.device
) -> VideoClassifier:
    return mixtconv.optimize_for_inference(_create(family, workload, num_frames).to(device))


def _stream(family: str, workload: Workload, frames: Tensor) -> Callable[[], Tensor]:
    model = _create(family, workload, workload.num_frames, causal=True).to(frames.device)
    return partial(StreamingClassifier(model), frames, StreamState(len(frames)))
