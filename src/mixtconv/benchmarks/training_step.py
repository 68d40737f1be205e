"""Speed and memory of one training step: forward, loss, backward and the optimiser's step.

On the CPU also beside busy processes, by how the threads of a step wait for each other. Of one
recognizer, also by what is trained.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional as F

from mixtconv._names import count_of
from mixtconv._processes import WAITING
from mixtconv._types import Precision, Progress
from mixtconv.benchmarks.memory import MemoryComparison, peak_bytes
from mixtconv.benchmarks.model import (
    NUM_CLASSES,
    RECOGNIZERS,
    channels_last_clips,
    random_clips,
    to_channels_last,
)
from mixtconv.benchmarks.processes import busy_processes, prepare_fresh
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import (
    Comparison,
    Measured,
    Timing,
    compare_in_groups,
    grouped_name,
    interleave,
)
from mixtconv.data.parallel import usable_cores
from mixtconv.models import VideoClassifier, create_model
from mixtconv.models.device import HALF, autocast, resolve_device, resolve_precision
from mixtconv.models.frozen_trunk import freeze_trunk, hold_in_half

ROUNDS = 6

NCHW, CHANNELS_LAST = "NCHW", "channels-last"

CANDIDATES = {
    NCHW: ("TSN", "MSTNet", "MSTNet as published"),
    CHANNELS_LAST: ("TSN", "TSM", "MSTNet"),
}
"""Layout -> recognizers that train in it; the first is the baseline of the others."""

PUBLISHED = grouped_name("MSTNet as published", NCHW)


def bench_training_step(workload: Workload, progress: Progress | None = None) -> Measured:
    """Time training steps of the recognizers, one comparison a layout, and measure their memory.

    Its peak is that of a process that creates the recognizer and trains it for two steps. On the
    CPU one more comparison has MSTNet's step alone and beside busy processes. With
    `workload.model`, steps of that recognizer instead, by what is trained.

    Raises:
        ValueError: an unknown backbone or one without residual branches; a device or a precision
            that is not available; a recognizer without temporal parts.
    """
    if workload.model is not None:
        return _compare_trained(workload, progress)
    device = resolve_device(workload.device)
    prepared = {
        grouped_name(name, layout): partial(prepare_step, workload, name, layout)
        for layout, names in CANDIDATES.items()
        for name in names
    }
    timings, peaks = _times_and_peaks(workload, prepared, device, progress)
    task = f"training step of {workload.backbone}, {workload.clips_text(device.type)}"
    times = compare_in_groups(timings, CANDIDATES, task=task, reference=PUBLISHED)
    memory = (
        MemoryComparison(
            title=f"peak memory, {comparison.title}",
            baseline=comparison.baseline,
            peaks={timing.name: peaks[timing.name] for timing in comparison.timings},
        )
        for comparison in times
    )
    beside_others = (_compare_waiting(workload, progress),) if device.type == "cpu" else ()
    return Measured((*times, *beside_others), tuple(memory))


def _times_and_peaks(
    workload: Workload,
    prepared: Mapping[str, Callable[[], Callable[[], Tensor]]],
    device: torch.device,
    progress: Progress | None,
) -> tuple[list[Timing], dict[str, int]]:
    """The times of steps by name, in turns, and the peak of the memory of each by itself."""
    timings = interleave(
        {name: prepare() for name, prepare in prepared.items()},
        rounds=workload.rounds or ROUNDS,
        device=device,
        progress=progress,
    )
    return timings, {name: peak_bytes(each, device=device) for name, each in prepared.items()}


def prepare_step(workload: Workload, name: str, layout: str) -> Callable[[], Tensor]:
    """A training step of a recognizer, always on the same clips; returns the loss before it."""
    device = resolve_device(workload.device)
    model = RECOGNIZERS[name](workload).to(device).train()
    clips = random_clips(workload, device)
    if layout == CHANNELS_LAST:
        model, clips = to_channels_last(model), channels_last_clips(clips)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return training_step(model, clips, optimizer, precision=workload.precision)


def training_step(
    model: Callable[[Tensor], Tensor],
    clips: Tensor,
    optimizer: torch.optim.Optimizer,
    *,
    precision: Precision,
) -> Callable[[], Tensor]:
    """A step that can be repeated, and recorded as a CUDA graph: it leaves no gradients behind.

    Args:
        model: the recognizer, or what `torch.compile` makes of it.
        clips: (B, T, C, H, W).
        optimizer: of its parameters.
        precision: of forward and backward pass.

    Returns:
        Takes a step; returns the loss before it.
    """
    device = clips.device
    labels = torch.arange(len(clips), device=device) % NUM_CLASSES

    def step() -> Tensor:
        with autocast(precision, device):
            loss = F.cross_entropy(model(clips), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return loss.detach()

    return step


# By what is trained

TRAINED = ("all", "temporal", "head")
"""What is trained, as `mixtconv train --train` has it; the first is the baseline. Of `head` the
features are computed in the step here, by the whole network."""

TRAINED_NOTE = (
    "The memory of a step is that of weights, gradients, states of AdamW and what is kept for the "
    "backward pass."
)


def _compare_trained(workload: Workload, progress: Progress | None) -> Measured:
    device = resolve_device(workload.device)
    prepared = {what: partial(prepare_trained_step, workload, what) for what in TRAINED}
    timings, peaks = _times_and_peaks(workload, prepared, device, progress)
    title = f"training step of {workload.model}, {workload.clips_text(device.type)}, by what trains"
    return Measured(
        (Comparison(title, TRAINED[0], tuple(timings), notes=(TRAINED_NOTE,)),),
        (MemoryComparison(f"peak memory, {title}", TRAINED[0], peaks),),
    )


def prepare_trained_step(workload: Workload, what: str) -> Callable[[], Tensor]:
    """A training step of one recognizer with AdamW, always on the same clips; returns the loss.

    Args:
        workload: names the recognizer.
        what: of `TRAINED`.
    """
    device = resolve_device(workload.device)
    name, size = str(workload.model), workload.image_size
    model = create_model(name, NUM_CLASSES, num_frames=workload.num_frames, image_size=size)
    _TRAINS[what](model.to(device))
    dtype = HALF.get(resolve_precision(workload.precision, device))
    if dtype is not None and what != "all":
        hold_in_half(model, dtype)
    optimizer = torch.optim.AdamW(
        filter(lambda each: each.requires_grad, model.parameters()),
        capturable=device.type == "cuda",  # counts its steps on the GPU
    )
    clips = channels_last_clips(random_clips(workload, device))
    model = to_channels_last(model)
    return training_step(model, clips, optimizer, precision=workload.precision)


def _train_all(model: VideoClassifier) -> None:
    model.train()


def _train_temporal(model: VideoClassifier) -> None:
    freeze_trunk(model.train())


def _train_head(model: VideoClassifier) -> None:
    model.requires_grad_(False).eval()
    model.dropout.train()
    model.head.requires_grad_(True).train()


_TRAINS: dict[str, Callable[[VideoClassifier], None]] = {
    "all": _train_all,
    "temporal": _train_temporal,
    "head": _train_head,
}


# Beside busy processes

DEFAULT, PASSIVE = "waiting by default", "waiting passively"

POLICIES: dict[str, dict[str, str | None]] = {
    DEFAULT: dict.fromkeys(WAITING),
    PASSIVE: dict.fromkeys(WAITING) | {"OMP_WAIT_POLICY": "passive"},
}
"""How the threads of a step wait for each other -> the environment that says so."""

ALONE, BESIDE = "alone", "beside busy processes"

WAITING_NOTE = (
    "Threads that wait by default spin, and take time on busy cores that others need; passive ones "
    "sleep, as in mixtconv train and all other commands but stream, serve, bench and profile. "
    "Twice the time alone is a fair share beside one busy process a core."
)


def _compare_waiting(workload: Workload, progress: Progress | None) -> Comparison:
    """MSTNet's step alone and beside one busy process a core, for each way of waiting.

    Each way needs a process of its own, since OpenMP reads it once.
    """
    prepare = partial(prepare_step, workload, "MSTNet", CHANNELS_LAST)
    cores = usable_cores()
    with ExitStack() as stack:
        keep_busy = stack.enter_context(busy_processes(cores))
        steps = {
            name: stack.enter_context(prepare_fresh(prepare, environment=environment))
            for name, environment in POLICIES.items()
        }

        def beside(step: Callable[[], None]) -> None:
            keep_busy(True)
            step()
            keep_busy(False)

        candidates = {grouped_name(name, ALONE): step for name, step in steps.items()}
        candidates |= {
            grouped_name(name, BESIDE): partial(beside, step) for name, step in steps.items()
        }
        timings = interleave(candidates, rounds=workload.rounds or ROUNDS, progress=progress)
    return Comparison(
        f"training step of MSTNet, {workload.backbone}, {workload.clips_text('cpu')}, alone and "
        f"beside {count_of(cores, 'busy process')}",
        grouped_name(DEFAULT, ALONE),
        tuple(timings),
        notes=(WAITING_NOTE,),
        references=(grouped_name(PASSIVE, ALONE),),
    )
