"""Speed of exported models in their engines, each beside TSN exported in the same way."""

from functools import partial
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
from mixtconv.exporting.writing import TARGETS, TargetName
from mixtconv.inference.engines.base import Array, Engine
from mixtconv.inference.engines.opening import open_engine
from mixtconv.models.device import resolve_device

ROUNDS = 24

ENGINES: dict[TargetName, str] = {"onnx": "ONNX Runtime", "openvino": "OpenVINO"}
"""Measured targets of `mixtconv export` -> names of their engines."""

BASELINE = {"tsn": "TSN"}

NOTE = (
    "Every candidate is a file of mixtconv export in float32, run on the CPU with as many threads "
    "as torch has. A stream is given its past frames as inputs and gives them back as outputs."
)


def bench_export(workload: Workload, progress: Progress | None = None) -> Measured:
    """Time exported models of whole clips and of streams, against TSN's.

    Raises:
        ValueError: an unknown backbone or one without residual branches; another device than the
            CPU; an engine that is not installed.
    """
    device = "cpu" if workload.device == "auto" else workload.device
    if resolve_device(device).type != "cpu":
        raise ValueError(f"--device is {workload.device}; exported models are measured on the CPU")
    for target in ENGINES:
        TARGETS[target].refuse_missing_packages()
    with TemporaryDirectory() as folder:
        times = (
            _compare(workload, streaming, target, Path(folder), progress)
            for streaming in (False, True)
            for target in ENGINES
        )
        return Measured(tuple(times))


def _compare(
    workload: Workload,
    streaming: bool,
    target: TargetName,
    folder: Path,
    progress: Progress | None,
) -> Comparison:
    form = TARGETS[target]
    candidates = {}
    for family, name in (BASELINE | temporal_families(workload)).items():
        model = create_recognizer(family, workload, causal=streaming and family != "tsn").eval()
        portable = (
            streaming_network(model) if streaming else clip_network(model, layout=form.layout)
        )
        path = folder / f"{family}_{streaming}{form.suffix}"
        form.write(form.program(portable), portable, path)
        engine = open_engine(path, num_threads=torch.get_num_threads())
        candidates[name] = partial(engine.run, random_inputs(engine, workload.clips_on("cpu")))
    timings = interleave(candidates, rounds=workload.rounds or ROUNDS, progress=progress)
    what = workload.clips_text("cpu")
    if streaming:
        streams = count_of(workload.clips_on("cpu"), "stream")
        what = f"a frame of {streams}, {workload.image_size} pixels"
    title = f"{what}, {workload.backbone}, {ENGINES[target]}"
    return Comparison(title, BASELINE["tsn"], tuple(timings), notes=(NOTE,))


def random_inputs(engine: Engine, count: int) -> dict[str, Array]:
    """Noise for so many clips or streams, by the names of an engine's inputs."""
    random = np.random.default_rng(0)
    sizes = engine.description.inputs
    return {name: random.random((count, *size), np.float32) for name, size in sizes.items()}
