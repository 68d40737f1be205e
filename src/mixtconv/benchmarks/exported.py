"""Speed of exported models in their engines, each beside TSN exported in the same way."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from mixtconv._names import count_of
from mixtconv._types import Progress
from mixtconv.benchmarks.model import create_recognizer, temporal_families
from mixtconv.benchmarks.settings import Workload
from mixtconv.benchmarks.timing import Comparison, Measured, interleave
from mixtconv.exporting.network import clip_network, streaming_network
from mixtconv.exporting.writing import TARGETS
from mixtconv.inference.engines.base import LOGITS, Array, Engine
from mixtconv.inference.engines.opening import open_engine
from mixtconv.inference.engines.past import PastOfStreams
from mixtconv.models import VideoClassifier
from mixtconv.models.device import resolve_device
from mixtconv.models.spec import TargetName

ROUNDS = 24

ENGINES: dict[TargetName, str] = {
    "onnx": "ONNX Runtime",
    "openvino": "OpenVINO",
    "litert": "LiteRT",
    "executorch": "ExecuTorch",
}
"""Measured targets of `mixtconv export` -> names of their engines."""

ALWAYS: tuple[TargetName, ...] = ("onnx", "openvino")
"""Targets that are always measured; the others where their packages are installed."""

BASELINE = {"tsn": "TSN"}

NOTE = (
    "Every candidate is a file of mixtconv export in float32, run on the CPU with as many threads "
    "as torch has. A stream is given its past frames as inputs; that they are kept for the next "
    "frame is part of its time."
)


def bench_export(workload: Workload, progress: Progress | None = None) -> Measured:
    """Time exported models of whole clips and of streams, against TSN's and between engines.

    Raises:
        ValueError: an unknown backbone or one without residual branches; another device than the
            CPU; an engine of those always measured that is not installed.
    """
    device = "cpu" if workload.device == "auto" else workload.device
    if resolve_device(device).type != "cpu":
        raise ValueError(f"--device is {workload.device}; exported models are measured on the CPU")
    for target in ALWAYS:
        TARGETS[target].refuse_missing_packages()
    times: list[Comparison] = []
    with TemporaryDirectory() as folder:
        for streaming in (False, True):
            times += _compare(workload, streaming, Path(folder), progress)
    return Measured(tuple(times))


def _compare(
    workload: Workload, streaming: bool, folder: Path, progress: Progress | None
) -> list[Comparison]:
    """The families in every engine, then one family in all engines."""
    what = workload.clips_text("cpu")
    if streaming:
        streams = count_of(workload.clips_on("cpu"), "stream")
        what = f"a frame of {streams}, {workload.image_size} pixels"
    task, rounds = f"{what}, {workload.backbone}", workload.rounds or ROUNDS
    comparisons: list[Comparison] = []
    by_engine: dict[str, Callable[[], object]] = {}
    for target, engine in ENGINES.items():
        if target not in ALWAYS and not TARGETS[target].is_installed:
            continue
        candidates = _candidates(workload, streaming, target, folder)
        timings = interleave(candidates, rounds=rounds, progress=progress)
        title = f"{task}, {engine}"
        comparisons.append(Comparison(title, BASELINE["tsn"], tuple(timings), notes=(NOTE,)))
        name, by_engine[engine] = list(candidates.items())[-1]
    if len(by_engine) > 1:
        timings = interleave(by_engine, rounds=rounds, progress=progress)
        comparisons.append(Comparison(f"{task}, {name}", ENGINES["onnx"], tuple(timings)))
    return comparisons


def _candidates(
    workload: Workload, streaming: bool, target: TargetName, folder: Path
) -> dict[str, Callable[[], object]]:
    """TSN and the temporal families, exported to a target and opened."""
    num_streams, num_threads = workload.clips_on("cpu"), torch.get_num_threads()
    candidates: dict[str, Callable[[], object]] = {}
    for family, name in (BASELINE | temporal_families(workload)).items():
        model = create_recognizer(family, workload, causal=streaming and family != "tsn").eval()
        path = folder / f"{family}_{streaming}"
        engine = opened(model, target, path, streaming=streaming, threads=num_threads)
        candidates[name] = runs_of(engine, num_streams)
    return candidates


def opened(
    model: VideoClassifier, target: TargetName, path: Path, *, streaming: bool, threads: int
) -> Engine:
    """A model in another engine, without the comparison of `export_model`.

    Args:
        model: the recognizer.
        target: format of the file.
        path: where it is written, without a suffix.
        streaming: frame by frame, of a causal model; else whole clips.
        threads: of the engine.
    """
    form = TARGETS[target]
    if streaming:
        portable = streaming_network(model, layout=form.stream)
    else:
        portable = clip_network(model, layout=form.layout)
    path = path.with_suffix(form.suffix)
    form.write(form.program(portable), portable, path)
    return open_engine(path, num_threads=threads)


def runs_of(engine: Engine, count: int) -> Callable[[], object]:
    """What runs an engine on noise: on so many clips, or on the next frame of so many streams."""
    random = np.random.default_rng(0)
    description = engine.description
    first, *_ = description.inputs
    inputs = {first: random.random((count, *description.inputs[first]), np.float32)}
    past = PastOfStreams(description.states or (), count)

    def run() -> Array:
        results = engine.run(inputs | past.before())
        past.after(results)
        return results[LOGITS]

    return run
