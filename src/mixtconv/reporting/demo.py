"""The demonstration: synthesize, train, score and report, end to end.

Synthesises videos, trains TSN (arXiv 1608.00859), TSM (arXiv 1811.08383) and MSTNet (arXiv
2001.06769) on the same small backbone with the same budget, scores them, and writes a report. The
classes come in pairs that are each other's reverse in time, so a network that averages its frames
cannot exceed 50 %, which shows the effect of the temporal operation.
"""

import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixtconv._atomic_write import write_atomically
from mixtconv._stopping import Stopped
from mixtconv._strict_json import to_json
from mixtconv._types import Progress
from mixtconv._version import __version__
from mixtconv.data.synthetic import SyntheticDataset, classes, synthesize
from mixtconv.evaluation.settings import EvaluationSettings
from mixtconv.models.device import resolve_device
from mixtconv.reporting.content import make_report
from mixtconv.reporting.scored_runs import ScoredRuns, ShowStage, score_runs
from mixtconv.reporting.settings import ReportScale
from mixtconv.training.fit import train
from mixtconv.training.run_folder import read_run
from mixtconv.training.settings import TrainingSettings
from mixtconv.visualization.report.page import write_report
from mixtconv.visualization.results import ModelResult, Report

logger = logging.getLogger(__name__)

BACKBONE = "test_resnet"
FAMILIES = {"tsn": "TSN", "tsm": "TSM", "mstnet": "MSTNet"}
"""The compared families and their titles."""


@dataclass(frozen=True)
class DemoScale:
    """The size of the dataset, and the settings of the same names in `TrainingSettings`."""

    class_pairs: int
    """Pairs of classes."""
    train_clips: int
    """Videos of each class to train on."""
    val_clips: int
    """Videos of each class to score."""
    image_size: int
    epochs: int
    batch_size: int
    lr: float


FULL = DemoScale(
    class_pairs=8, train_clips=60, val_clips=15, image_size=56, epochs=4, batch_size=16, lr=4e-3
)
QUICK = DemoScale(
    class_pairs=2, train_clips=24, val_clips=8, image_size=48, epochs=4, batch_size=8, lr=5.7e-3
)


@dataclass(frozen=True)
class DemoResult:
    """The models and files of a demonstration."""

    models: tuple[ModelResult, ...]
    report: Path
    """The page."""
    results: Path
    """The scores as JSON."""
    seconds: float
    """Duration of the whole."""

    def figures(self) -> list[dict[str, Any]]:
        """Accuracy and cost of every model, as JSON holds them."""
        names = ("model", "top1", "top5", "params", "macs", "seconds")
        return [{name: getattr(model, name) for name in names} for model in self.models]


def run_demo(
    out: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    workers: int | None = None,
    device: str = "auto",
    progress: ShowStage,
) -> DemoResult:
    """Run the demonstration.

    Args:
        out: folder for the videos, the runs, `report.html` and `results.json`; new or empty.
        quick: a few classes and steps, to see that everything works; its scores mean little.
        seed: seed of videos and training.
        workers: processes that write and read videos; by default one a core.
        device: where the models are trained.
        progress: makes a bar for a stage: `with progress("name") as show: show(done, total)`.

    Raises:
        ValueError: `out` is not empty, or the device is not available.
    """
    folder = Path(out)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: give another --out, or remove it")
    resolve_device(device)
    try:
        return _run_demo(
            folder, quick=quick, seed=seed, workers=workers, device=device, progress=progress
        )
    except KeyboardInterrupt as stop:
        kept = f"a demo does not go on: remove {folder}, or give another --out"
        raise Stopped.after(stop, kept, go_on="never") from stop


def _run_demo(
    folder: Path,
    *,
    quick: bool,
    seed: int,
    workers: int | None,
    device: str,
    progress: ShowStage,
) -> DemoResult:
    start = time.perf_counter()
    scale = QUICK if quick else FULL
    with progress("writing videos") as show:
        dataset = _synthesize(folder / "data", scale, seed=seed, workers=workers, progress=show)
    logger.info(
        "%s: %d videos of %d classes", dataset.root, dataset.num_videos, len(dataset.classes)
    )

    trained = {}
    for family, title in FAMILIES.items():
        logger.info("training %s", title)
        settings = TrainingSettings(
            data=str(dataset.root),
            out=str(folder / family),
            model=f"{family}_{BACKBONE}",
            weights="none",
            modality="rgb",
            image_size=scale.image_size,
            epochs=scale.epochs,
            batch_size=scale.batch_size,
            lr=scale.lr,
            dropout=0.0,
            crop_scales=[1.0, 0.875],  # the motions reach far across the picture
            seed=seed,
            workers=workers,
            device=device,
        )
        train(settings)
        trained[title] = read_run(folder / family)

    evaluation = EvaluationSettings(batch_size=scale.batch_size, workers=workers, device=device)
    scored = score_runs(
        trained,
        dataset.root,
        settings=evaluation,
        scale=ReportScale(),
        seed=seed,
        progress=progress,
    )
    for run in scored.runs:
        logger.info("%s: top-1 %.2f %%", run.name, run.evaluation.accuracy.top1)
    report = _report(scored, dataset, scale)
    path = write_report(report, folder / "report.html")
    seconds = time.perf_counter() - start
    result = DemoResult(report.results, path, folder / "results.json", seconds)
    content = {
        "models": result.figures(),
        "version": __version__,
        "quick": quick,
        "seed": seed,
        "num_classes": len(dataset.classes),
        "protocol": scored.runs[0].evaluation.protocol_description,
        "seconds": seconds,
    }
    write_atomically(result.results, to_json(content, indent=2).encode())
    return result


def _synthesize(
    root: Path, scale: DemoScale, *, seed: int, workers: int | None, progress: Progress
) -> SyntheticDataset:
    names = [item.name for item in classes("easy") if item.is_paired]
    return synthesize(
        root,
        size=scale.image_size,
        train_clips=scale.train_clips,
        val_clips=scale.val_clips,
        seed=seed,
        class_names=names[: 2 * scale.class_pairs],
        workers=workers,
        progress=progress,
    )


def _report(scored: ScoredRuns, dataset: SyntheticDataset, scale: DemoScale) -> Report:
    return make_report(
        scored,
        title="mixtconv demo: what a temporal operation adds",
        intro=[
            f"{dataset.num_videos} short videos of {len(dataset.classes)} actions were made, and "
            f"{len(scored.runs)} recognizers were trained on them from random weights, with the "
            "same backbone, budget and seed."
        ],
        notes=[
            "Every action's reverse in time is an action as well, so a network that averages its "
            "frames without regard to their order cannot be right in more than half of the cases."
        ],
        reverse_pairs=dataset.pairs,
        settings={
            "classes": len(dataset.classes),
            "training videos of a class": scale.train_clips,
            "validation videos of a class": scale.val_clips,
        },
    )
