"""MSTNet beside TSN and TSM, and the published formulation: inference, training steps, compiled.

Candidates of a comparison take turns; each is launched by Python (eager) and as a CUDA graph, which
shows what the GPU takes. A row's `times_baseline` is the ratio to TSN treated and launched the same
way, in the same rounds.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from gpu_sections.run import Run
from gpu_sections.timing import (
    Graphs,
    Step,
    in_turn,
    inference,
    milliseconds,
    peak_of,
    products,
    times,
    with_fewer_clips,
)
from mixtconv.benchmarks.model import (
    RECOGNIZERS,
    channels_last_clips,
    random_clips,
    to_channels_last,
)
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.training_step import training_step
from mixtconv.models import VideoClassifier, optimize_for_inference

NCHW, CHANNELS_LAST, OPTIMISED = "NCHW", "channels-last", "optimised"
EAGER, GRAPH = "eager", "CUDA graph"
PUBLISHED = "MSTNet as published"

AT_INFERENCE = {
    NCHW: ("TSN", "MSTNet", PUBLISHED),
    CHANNELS_LAST: ("TSN", "MSTNet"),
    OPTIMISED: ("TSN", "TSM", "MSTNet"),
}
IN_TRAINING = {NCHW: ("TSN", "MSTNet", PUBLISHED), CHANNELS_LAST: ("TSN", "TSM", "MSTNet")}
"""Treatment -> recognizers that get it; the first is the baseline."""

AUTOCAST: dict[str, Literal["bf16", "32"]] = {"bf16": "bf16", "tf32": "32", "float32": "32"}
"""Precision here -> in settings."""


def workload_of(run: Run, num_clips: int, **others: Any) -> Workload:
    """The sizes of a run as settings."""
    sizes = run.sizes
    chosen: dict[str, Any] = {
        "backbone": sizes.backbone,
        "num_frames": sizes.num_frames,
        "image_size": sizes.image_size,
        "batch_size": num_clips,
        "device": str(run.device),
    }
    return Workload(**(chosen | others))


def compare(
    run: Run, steps: dict[tuple[str, str], Step], details: dict[tuple[str, str], dict[str, Any]]
) -> None:
    """Time steps by (recognizer, treatment), eager and as graphs, and record them beside TSN's.

    Args:
        run: where they are recorded.
        steps: the first recognizer of a treatment is the baseline of that; each was taken once.
        details: what else a row has.
    """
    graphs = Graphs(run.device)
    candidates: dict[str, Step] = {}
    for key, step in steps.items():
        candidates["|".join((*key, EAGER))] = step
    for key, step in steps.items():
        with run.attempt(f"CUDA graph of {', '.join(key)}"):
            candidates["|".join((*key, GRAPH))] = graphs.record(step)
    timings = in_turn(run, candidates)
    baselines: dict[tuple[str, str], str] = {}
    for name, timing in timings.items():
        recognizer, treatment, launch = name.split("|")
        baseline = baselines.setdefault((treatment, launch), name)
        run.record(
            recognizer=recognizer,
            treatment=treatment,
            launch=launch,
            **milliseconds(timing),
            beside=baseline.partition("|")[0],
            times_baseline=times(timing, timings[baseline]),
            **details[recognizer, treatment],
        )


# inference


def infer(run: Run) -> None:
    """Record inference of one batch of clips, by number of clips and precision."""
    models: dict[tuple[str, str], VideoClassifier] = {}
    workload = workload_of(run, 1)
    for treatment, names in AT_INFERENCE.items():
        for name in names:
            with run.attempt(f"{name}, {treatment}"):
                model = RECOGNIZERS[name](workload).to(run.device).eval()
                models[name, treatment] = _TREATED[treatment](model)
    for num_clips in run.sizes.clips:
        for precision in run.sizes.precisions:
            what = f"{precision}, {num_clips} clips"
            if run.has_time(what, 15 if num_clips > 1 else 6):
                with run.attempt(what):
                    with_fewer_clips(run, partial(_infer, run, models, precision), num_clips)
                run.free()


def _infer(
    run: Run, models: dict[tuple[str, str], VideoClassifier], precision: str, num_clips: int
) -> None:
    clips = random_clips(workload_of(run, num_clips), run.device)
    channels_last = channels_last_clips(clips)
    steps: dict[tuple[str, str], Step] = {}
    for (name, treatment), model in models.items():
        if num_clips == 1 and treatment != OPTIMISED:
            continue
        with run.attempt(f"{name}, {treatment}", passes=(torch.OutOfMemoryError,)):
            step = inference(model, clips if treatment == NCHW else channels_last, precision)
            step()
            steps[name, treatment] = step
    compare(run, steps, {key: {"precision": precision, "clips": num_clips} for key in steps})


_TREATED: dict[str, Callable[[VideoClassifier], VideoClassifier]] = {
    NCHW: lambda model: model,
    CHANNELS_LAST: to_channels_last,
    OPTIMISED: optimize_for_inference,
}


# training steps


def train(run: Run) -> None:
    """Record a training step's time and peak memory, by precision."""
    for precision in run.sizes.precisions:
        if run.has_time(precision, 20):
            with run.attempt(precision):
                with_fewer_clips(run, partial(_train, run, precision), run.sizes.training_clips)
            run.free()


def _train(run: Run, precision: str, num_clips: int) -> None:
    steps: dict[tuple[str, str], Step] = {}
    details: dict[tuple[str, str], dict[str, Any]] = {}
    for layout, names in IN_TRAINING.items():
        for name in names:
            with run.attempt(f"{name}, {layout}", passes=(torch.OutOfMemoryError,)):
                prepare = partial(_prepared_step, run, precision, num_clips, name, layout)
                steps[name, layout], peak = peak_of(run, prepare)
                sizes = {"precision": precision, "clips": num_clips}
                details[name, layout] = {**sizes, "peak_bytes": peak}
    compare(run, steps, details)


def _prepared_step(run: Run, precision: str, num_clips: int, name: str, layout: str) -> Step:
    workload = workload_of(run, num_clips)
    model = RECOGNIZERS[name](workload).to(run.device).train()
    clips = random_clips(workload, run.device)
    if layout == CHANNELS_LAST:
        model, clips = to_channels_last(model), channels_last_clips(clips)
    return _step(model, model.parameters(), clips, precision)


def _step(
    model: Callable[[Tensor], Tensor],
    parameters: Iterable[torch.nn.Parameter],
    clips: Tensor,
    precision: str,
) -> Step:
    optimizer = torch.optim.SGD(parameters, lr=0.01, momentum=0.9)
    step = training_step(model, clips, optimizer, precision=AUTOCAST[precision])

    def run_step() -> Tensor:
        with products(precision):
            return step()

    return run_step


# compiled

SECONDS_TO_COMPILE = 45
"""Of one network with its backward pass, expected of a new machine."""


def compiled(run: Run) -> None:
    """Record inference and training steps of what torch.compile makes of TSN and MSTNet, in bf16.

    The network has to be one graph (`fullgraph`): the operation breaks none.
    """
    for what, prepare, seconds in (
        ("inference", _compiled_inference, SECONDS_TO_COMPILE),
        ("training step", _compiled_step, 2 * SECONDS_TO_COMPILE),
    ):
        if run.has_time(what, seconds):
            with run.attempt(what):
                torch._dynamo.reset()
                steps = {(name, what): prepare(run, name) for name in ("TSN", "MSTNet")}
                compare(run, steps, {key: {"precision": "bf16"} for key in steps})
            run.free()


def _compiler(run: Run) -> Callable[[Any], Callable[[Tensor], Tensor]]:
    options: dict[str, Any] = {} if run.on_gpu else {"backend": "eager"}
    return partial(torch.compile, fullgraph=True, dynamic=False, **options)


def _compiled_inference(run: Run, name: str) -> Step:
    workload = workload_of(run, run.sizes.clips[0])
    model = optimize_for_inference(RECOGNIZERS[name](workload).to(run.device).eval())
    clips = channels_last_clips(random_clips(workload, run.device))
    step = inference(_compiler(run)(model), clips, "bf16")
    step()
    return step


def _compiled_step(run: Run, name: str) -> Step:
    workload = workload_of(run, run.sizes.training_clips)
    model = to_channels_last(RECOGNIZERS[name](workload).to(run.device).train())
    clips = channels_last_clips(random_clips(workload, run.device))
    step = _step(_compiler(run)(model), model.parameters(), clips, "bf16")
    step()
    return step
