"""Small backbones with the operation: arithmetic, and time in each engine, beside TSN of each.

    python benchmarks/edge.py [--backbones lcnet_100 ...] [--rounds 12] [--threads 1] [--out FILE]

For each backbone four networks: TSN; MSTNet; MSTNet with the operation at one place alone, before
the first block of its stage 2, as PP-TSMv2 has its one shift; and TSM at that place. For each of
them the multiply-accumulates of a clip and of a frame, and milliseconds of one clip and of a new
frame of a stream in torch (optimised) and in the engines that are installed. The networks of a
backbone take turns in each engine; `times` is the median over the rounds of the ratio to TSN.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch

from mixtconv._atomic_write import refuse_unwritable
from mixtconv.benchmarks.environment import describe_environment
from mixtconv.benchmarks.exported import ENGINES, opened, runs_of
from mixtconv.benchmarks.timing import Comparison, interleave
from mixtconv.evaluation.complexity import abstract_model, complexity
from mixtconv.exporting.writing import TARGETS
from mixtconv.models import (
    StreamingClassifier,
    StreamState,
    VideoClassifier,
    create_model,
    optimize_for_inference,
)

BACKBONES = (
    "lcnet_100",
    "mobilenetv4_conv_small",
    "repvit_m0_9",
    "fastvit_t8",
    "starnet_s1",
    "efficientvit_b0",
)
NETWORKS = {
    "TSN": ("tsn", False),
    "MSTNet": ("mstnet", False),
    "MSTNet, one place": ("mstnet", True),
    "TSM, one place": ("tsm", True),
}
"""Name -> family, and whether its operation is at one place alone."""
CLIP, STREAM = "clip", "stream"
TORCH = "torch"
NUM_CLASSES, NUM_FRAMES, IMAGE_SIZE = 400, 8, 224


@dataclass(frozen=True)
class Row:
    """One network in one engine."""

    backbone: str
    network: str
    engine: str
    what: str
    """A clip, or a new frame of a stream."""
    macs: int
    params: int
    milliseconds: float
    times: float
    """As a multiple of TSN's."""


def model_of(backbone: str, network: str, what: str, create: Callable[..., Any]) -> VideoClassifier:
    family, at_one_place = NETWORKS[network]
    sizes = {"num_frames": NUM_FRAMES, "image_size": IMAGE_SIZE}
    causal = {"causal": True} if what == STREAM and family != "tsn" else {}
    place = one_place(backbone) if at_one_place else {}
    return create(f"{family}_{backbone}", NUM_CLASSES, **sizes, **place, **causal).eval()


@cache
def one_place(backbone: str) -> dict[str, Any]:
    """The settings of the first block of stage 2, or of the last stage that there is."""
    for stage in (2, 1, 0):
        place = {"stages": [stage], "block_step": 99}
        try:
            abstract_model(f"tsm_{backbone}", 1, **place)
        except ValueError:  # there is no such stage
            continue
        return place
    raise ValueError(f"{backbone} has no place for a temporal operation")


def in_torch(model: VideoClassifier, what: str) -> Callable[[], Any]:
    """One clip, or one frame of a stream, of a model optimised for inference."""
    clips = torch.randn(1, NUM_FRAMES, 3, IMAGE_SIZE, IMAGE_SIZE)
    if what == CLIP:
        return partial(optimize_for_inference(model), clips)
    return partial(StreamingClassifier(model), clips[:, 0], StreamState(1))


def in_engine(
    model: VideoClassifier, what: str, target: str, path: Path, num_threads: int
) -> Callable[[], Any]:
    """The same of the model as a file of `mixtconv export`."""
    engine = opened(model, target, path, streaming=what == STREAM, threads=num_threads)
    return runs_of(engine, 1)


def rows_of(backbone: str, engines: list[str], options: argparse.Namespace) -> Iterator[Row]:
    for what in (CLIP, STREAM):
        costs = {
            name: complexity(model_of(backbone, name, what, abstract_model)) for name in NETWORKS
        }
        for engine in engines:
            with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
                candidates = {}
                for number, name in enumerate(NETWORKS):
                    model = model_of(backbone, name, what, create_model)
                    if engine == TORCH:
                        candidates[name] = in_torch(model, what)
                        continue
                    path = Path(folder, str(number))
                    with torch.inference_mode(False):
                        candidates[name] = in_engine(model, what, engine, path, options.threads)
                timings = interleave(candidates, rounds=options.rounds, warmup=2)
            comparison = Comparison("", "TSN", tuple(timings))
            for timing in timings:
                cost = costs[timing.name]
                yield Row(
                    backbone,
                    timing.name,
                    engine,
                    what,
                    cost.macs // (1 if what == CLIP else NUM_FRAMES),
                    cost.params,
                    1e3 * timing.median_seconds,
                    comparison.ratio(timing),
                )


def table(rows: list[Row], engines: list[str]) -> str:
    """The rows in Markdown: a line for each network, milliseconds and in brackets times TSN's."""
    names = {TORCH: "torch", **ENGINES}
    columns = [f"{names[engine]}, {what}" for what in (CLIP, STREAM) for engine in engines]
    lines = [
        f"| backbone | network | M params | G MACs a clip | {' | '.join(columns)} |",
        f"|---|---|---|---|{'---|' * len(columns)}",
    ]
    for backbone in dict.fromkeys(row.backbone for row in rows):
        for network in NETWORKS:
            own = [row for row in rows if (row.backbone, row.network) == (backbone, network)]
            cells = [
                f"{row.milliseconds:.1f} ({row.times:.2f})"
                for what in (CLIP, STREAM)
                for engine in engines
                for row in own
                if (row.what, row.engine) == (what, engine)
            ]
            clip = own[0]
            first = f"| {backbone} | {network} | {clip.params / 1e6:.2f} | {clip.macs / 1e9:.2f} |"
            lines.append(f"{first} {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbones", nargs="+", default=BACKBONES)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a JSON file for all figures")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.out is not None:
        refuse_unwritable(options.out)
    engines = [TORCH]
    for target, name in ENGINES.items():
        try:
            TARGETS[target].refuse_missing_packages()
        except ValueError as error:
            print(f"without {name}: {error}")
        else:
            engines.append(target)
    rows: list[Row] = []
    for backbone in options.backbones:
        rows += rows_of(backbone, engines, options)
        print(table([row for row in rows if row.backbone == backbone], engines), flush=True)
        if options.out is not None:
            environment = describe_environment(torch.device("cpu")).to_dict()
            values = {"environment": environment, "rows": [asdict(row) for row in rows]}
            options.out.write_text(json.dumps(values, indent=1), encoding="utf-8")
    print(table(rows, engines))


if __name__ == "__main__":
    main()
