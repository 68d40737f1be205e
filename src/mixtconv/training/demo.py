"""The demonstration: the main job on the synthetic dataset, start to end.

Synthesises videos, trains TSN (arXiv 1608.00859), TSM (arXiv 1811.08383) and MSTNet (arXiv
2001.06769) on the same small backbone with the same budget, scores them, and writes a report. The
classes come in pairs that are each other's reverse in time, so a network that averages its frames
cannot pass 50 %: what the temporal operation adds is plain to see.
"""

import json
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path

from mixtconv._version import __version__
from mixtconv.data.catalog import load_catalog
from mixtconv.data.protocol import Protocol
from mixtconv.data.synthetic import SyntheticDataset, classes, synthesize
from mixtconv.evaluation.complexity import complexity
from mixtconv.evaluation.scoring import score_videos
from mixtconv.models import load_model
from mixtconv.models.device import autocast, resolve_device
from mixtconv.models.file import write_atomically
from mixtconv.training.demo_report import DemoRun, make_report
from mixtconv.training.fit import TrainingResult, train
from mixtconv.training.settings import TrainingSettings
from mixtconv.visualization.report import write_report

logger = logging.getLogger(__name__)

BACKBONE = "test_resnet"
FAMILIES = {"tsn": "TSN", "tsm": "TSM", "mstnet": "MSTNet"}
"""Families that are compared, with the names of their papers."""

ShowProgress = Callable[[int, int], None]
Progress = Callable[[str], AbstractContextManager[ShowProgress]]


@dataclass(frozen=True)
class DemoScale:
    """How much of everything."""

    class_pairs: int
    """Pairs of classes."""
    train_clips: int
    """Videos of each class to train on."""
    val_clips: int
    """Videos of each class to score."""
    image_size: int
    """Height and width in pixels."""
    epochs: int
    """Passes over the training videos."""
    batch_size: int
    """Clips of a step."""
    lr: float
    """Learning rate for a batch of 64 clips."""


FULL = DemoScale(
    class_pairs=8, train_clips=60, val_clips=15, image_size=56, epochs=4, batch_size=16, lr=8e-3
)
QUICK = DemoScale(
    class_pairs=2, train_clips=24, val_clips=8, image_size=48, epochs=4, batch_size=8, lr=1.6e-2
)


@dataclass(frozen=True)
class DemoModel:
    """One trained model of the demonstration."""

    model: str
    top1: float
    """Percent."""
    top5: float
    """Percent."""
    params: int
    macs: int
    """Multiply-accumulates of one clip."""
    seconds: float
    """Training with its validations."""


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration came to."""

    models: tuple[DemoModel, ...]
    report: Path
    results: Path
    seconds: float
    """From the first video to the report."""


def run_demo(
    out: str | Path,
    *,
    quick: bool = False,
    seed: int = 0,
    workers: int | None = None,
    device: str = "auto",
    progress: Progress,
) -> DemoResult:
    """Synthesise, train, score, report.

    Args:
        out: folder for the videos, the runs, `report.html` and `results.json`; new or empty.
        quick: a few classes and steps, to see that everything works; its scores mean little.
        seed: seed of videos and training.
        workers: processes that write and read videos; by default one a core.
        device: where the models are trained.
        progress: makes a bar for a stage: `with progress("name") as show: show(done, total)`.

    Raises:
        ValueError: `out` holds something else, or the device is not there.
    """
    start = time.perf_counter()
    folder = Path(out)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty: give another --out, or remove it")
    resolve_device(device)
    scale = QUICK if quick else FULL
    with progress("writing videos") as show:
        dataset = _synthesize(folder / "data", scale, seed=seed, workers=workers, progress=show)
    logger.info(
        "%s: %d videos of %d classes", dataset.root, dataset.num_videos, len(dataset.classes)
    )

    runs = []
    for family, title in FAMILIES.items():
        logger.info("training %s", title)
        settings = TrainingSettings(
            data=str(dataset.root),
            out=str(folder / family),
            model=f"{family}_{BACKBONE}",
            weights="none",
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
        before = time.perf_counter()
        result = train(settings)
        runs.append(_finish(title, result, settings, time.perf_counter() - before))

    report_path = write_report(
        make_report(runs, dataset, settings=asdict(scale)), folder / "report.html"
    )
    models = tuple(_summary(run) for run in runs)
    seconds = time.perf_counter() - start
    results = folder / "results.json"
    content = {
        "models": [asdict(model) for model in models],
        "version": __version__,
        "quick": quick,
        "seed": seed,
        "num_classes": len(dataset.classes),
        "protocol": runs[0].protocol.describe(runs[0].model.spec),
        "seconds": seconds,
    }
    write_atomically(results, json.dumps(content, indent=2).encode())
    return DemoResult(models, report_path, results, seconds)


def _synthesize(
    root: Path, scale: DemoScale, *, seed: int, workers: int | None, progress: ShowProgress
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


def _finish(
    title: str, result: TrainingResult, settings: TrainingSettings, seconds: float
) -> DemoRun:
    """Score the model file of a run, as `mixtconv evaluate` would."""
    device = resolve_device(settings.device)
    model = load_model(result.files.model, device=device)
    samples = load_catalog(settings.data).val
    protocol = Protocol.parse(settings.protocol)
    scores = score_videos(
        model,
        samples,
        protocol=protocol,
        batch_size=settings.batch_size,
        autocast=autocast(settings.precision, device),
    )
    logger.info("%s: top-1 %.2f %%", title, scores.accuracy().top1)
    return DemoRun(
        title=title,
        model=model,
        epochs=result.epochs,
        samples=samples,
        scores=scores,
        complexity=complexity(model),
        protocol=protocol,
        seconds=seconds,
    )


def _summary(run: DemoRun) -> DemoModel:
    accuracy = run.scores.accuracy()
    return DemoModel(
        model=run.model.spec.name,
        top1=accuracy.top1,
        top5=accuracy.top5,
        params=run.complexity.params,
        macs=run.complexity.macs,
        seconds=run.seconds,
    )
