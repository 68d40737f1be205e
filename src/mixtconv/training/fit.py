"""Training a recognizer: from settings to the files of a run."""

import hashlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, RichProgressBar
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.utilities.exceptions import MisconfigurationException

from mixtconv._atomic_write import write_atomically
from mixtconv._names import first_few
from mixtconv._processes import find_launch, is_rank_zero
from mixtconv._types import Progress
from mixtconv.data.checking.preflight import CatalogReport, check_catalog
from mixtconv.data.datasets.catalog import VideoCatalog
from mixtconv.data.labels import MirrorLabels, choose_pairs, read_pairs
from mixtconv.data.protocol import Protocol
from mixtconv.models.device import resolve_device, resolve_precision
from mixtconv.models.spec import Modality
from mixtconv.training.checkpoint import AtomicCheckpointIO, TrainingState
from mixtconv.training.data import VideoDataModule, training_catalog
from mixtconv.training.initial_weights import make_initial_model
from mixtconv.training.module import ClassifierModule
from mixtconv.training.record import EpochRecord, RunRecord
from mixtconv.training.run_folder import RunFiles, load_settings
from mixtconv.training.settings import TrainingSettings, as_launched

logger = logging.getLogger(__name__)

CHANNELS_LAST_PAYS = ("cpu", "cuda")
"""Devices whose convolutions train faster on channels-last feature maps."""

_PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
_ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}


@dataclass(frozen=True)
class TrainingResult:
    """What a run came to."""

    files: RunFiles
    best: EpochRecord
    epochs: tuple[EpochRecord, ...]


def train(
    settings: TrainingSettings,
    *,
    progress_bar: bool = False,
    check_progress: Progress | None = None,
) -> TrainingResult:
    """Train a recognizer on videos, and write model, record, settings, checkpoints and logs.

    Args:
        settings: data, model and recipe.
        progress_bar: show the steps of every epoch on standard error.
        check_progress: called with the videos looked at and all of them, before training.

    Raises:
        ValueError: settings or data that cannot be used, or an unreadable training video.
        OSError: a file of the run cannot be written; what was written before is whole.
    """
    settings = settled(settings)
    files = RunFiles(Path(settings.out))
    catalog = training_catalog(settings)
    protocol = Protocol.parse(settings.protocol)
    mirroring = choose_pairs(catalog.classes, settings.flip_pairs)  # wrong names are said at once
    device = resolve_device(settings.device)
    checkpoint = _checkpoint_to_resume(settings, files)
    torch.manual_seed(settings.seed)
    start = settings if checkpoint is None else replace(settings, weights="none")
    initial = make_initial_model(start, catalog.classes)
    catalog, report = check_videos(
        catalog,
        modality=initial.model.spec.modality,
        skip_unreadable=settings.skip_unreadable,
        progress=check_progress,
    )
    _check_processes(settings, device, num_val=len(catalog.val))
    announce(catalog, report, settings)
    views = protocol.describe(initial.model.spec)
    logger.info("validation protocol: %s", views)

    if device.type in CHANNELS_LAST_PAYS:
        initial.model.to(memory_format=torch.channels_last)
    clips_per_epoch = -(-len(catalog.train) // settings.num_processes)
    module = ClassifierModule(initial.model, settings, clips_per_epoch=clips_per_epoch)
    record = RunRecord(
        files.folder,
        catalog.val,
        facts={
            "model": settings.model,
            "data": str(settings.data),
            "initial_weights": initial.weights,
            "protocol": views,
            "classes": list(catalog.classes),
            "num_train": len(catalog.train),
            "num_val": len(catalog.val),
            "split_rule": catalog.split_rule,
            "val_fraction": settings.val_fraction,
            "flip_pairs": mirroring.pairs,
            "data_fingerprint": fingerprint(catalog),
        },
        skip_unreadable=settings.skip_unreadable,
    )
    record.unreadable = {str(video.path): video.reason for video in report.unreadable}
    with _quiet_lightning():
        callbacks = _callbacks(record, settings, files, progress_bar)
        trainer = _make_trainer(settings, files, device, callbacks, progress_bar)
        _begin(settings, files)
        data = VideoDataModule(catalog, initial.model.spec, settings)
        try:
            trainer.fit(module, datamodule=data, ckpt_path=checkpoint, weights_only=True)
        except SystemExit as stop:  # what Lightning makes of Ctrl-C
            logger.warning("%s: go on with the same command and --resume", files.folder)
            raise KeyboardInterrupt from stop
    assert record.best is not None
    return TrainingResult(files, record.best, tuple(record.epochs))


def settled(settings: TrainingSettings) -> TrainingSettings:
    """The settings with the pairs in place of their file, and the processes that were launched.

    A run is known by what these are, not by where they were read.

    Raises:
        ValueError: a file of pairs that cannot be used, or other processes than were launched.
    """
    if settings.flip_pairs not in ("auto", "none"):
        settings = replace(settings, flip_pairs=read_pairs(settings.flip_pairs))
    return as_launched(settings)


def check_videos(
    catalog: VideoCatalog,
    *,
    modality: Modality = "rgb",
    skip_unreadable: bool,
    progress: Progress | None = None,
) -> tuple[VideoCatalog, CatalogReport]:
    """Open every video once before the first step.

    Returns:
        The catalog, without the unreadable training videos where they are skipped, and the report.

    Raises:
        ValueError: videos that cannot be read, unless they shall be skipped.
    """
    report = check_catalog(catalog, modality=modality, progress=progress)
    bad = {video.path for video in report.unreadable}
    if bad and not skip_unreadable:
        if len({video.reason for video in report.unreadable}) == 1:  # all of another modality, say
            paths = [video.path for video in report.unreadable]
            named, more = f"{first_few(paths)}: {report.unreadable[0].reason}", ""
        else:
            named = "; ".join(str(video) for video in report.unreadable[:5])
            more = f" and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise ValueError(
            f"{len(bad)} of {len(catalog.train) + len(catalog.val)} videos cannot be read: {named}"
            f"{more}; mend or remove them, or train without them with --skip-unreadable"
        )
    train = tuple(sample for sample in catalog.train if sample.path not in bad)
    trained = {sample.label for sample in train}
    if len(trained) < 2:
        raise ValueError(
            f"{catalog.source}: of {len(catalog.classes)} classes {len(trained)} have a readable "
            "training video; training takes two or more"
        )
    return replace(catalog, train=train), report


def announce(catalog: VideoCatalog, report: CatalogReport, settings: TrainingSettings) -> None:
    """Tell the user what is going to be trained on."""
    logger.info(
        "%s: %d classes, %d videos to train on, %d to validate (%s)",
        catalog.source,
        len(catalog.classes),
        len(catalog.train),
        len(catalog.val),
        catalog.split_rule,
    )
    for warning in report.warnings():
        logger.warning("%s", warning)
    if settings.flip:
        _announce_flips(choose_pairs(catalog.classes, settings.flip_pairs), settings)


def _announce_flips(mirroring: MirrorLabels, settings: TrainingSettings) -> None:
    for first, second in mirroring.pairs:
        logger.info(
            "a mirrored clip exchanges %r and %r (--flip-pairs FILE gives other pairs, "
            "--flip false turns it off)",
            first,
            second,
        )
    if mirroring.unpaired:
        logger.info("never mirrored, for lack of a partner: %s", ", ".join(mirroring.unpaired))
    if settings.flip_pairs == "none":
        logger.info("mirrored clips keep their labels, whatever these say (--flip-pairs none)")


def _checkpoint_to_resume(settings: TrainingSettings, files: RunFiles) -> Path | None:
    """The checkpoint to go on from, if any; refuses a folder that holds another run."""
    if not is_rank_zero():  # which has seen to it
        return files.checkpoint if settings.resume and files.checkpoint.exists() else None
    if files.config.exists() and not settings.resume:
        raise ValueError(
            f"{files.folder} holds a run already: give --resume to continue it, or another --out"
        )
    if settings.resume and not files.config.exists():
        raise ValueError(
            f"{files.folder} holds no run to resume: leave out --resume, or mend --out"
        )
    if settings.resume:
        changed = settings.changed_from(load_settings(files.config))
        if changed:
            raise ValueError(
                f"{files.folder} was begun with other settings ({', '.join(changed)}): resume it "
                "with the same, or start another --out"
            )
    if not settings.resume:
        return None
    if files.checkpoint.exists():
        return files.checkpoint
    logger.warning("%s has no checkpoint yet: starting from the beginning", files.folder)
    return None


def _check_processes(settings: TrainingSettings, device: torch.device, *, num_val: int) -> None:
    """Refuse numbers of processes that cannot be."""
    if device.index is not None and settings.devices > 1:
        raise ValueError(
            f"--device {device} is one device and --devices is {settings.devices}; leave out one"
        )
    if num_val < settings.num_processes:
        raise ValueError(
            f"{num_val} validation videos cannot be shared out among "
            f"{settings.num_processes} processes; give fewer --devices or --nodes, or more videos"
        )


def fingerprint(catalog: VideoCatalog) -> str:
    """A hash of classes, videos and labels, which tells whether a resumed run has the same."""
    lines = list(catalog.classes)
    for samples in (catalog.train, catalog.val):
        lines.append("--")
        lines += [f"{_relative(sample.path, catalog.source)}\t{sample.label}" for sample in samples]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _relative(path: Path, source: Path) -> Path:
    folder = source if source.is_dir() else source.parent
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def _begin(settings: TrainingSettings, files: RunFiles) -> None:
    """Write the settings into the run's folder, now that nothing speaks against the run."""
    if not is_rank_zero():
        return
    for path in (files.model, files.config, files.metrics, files.checkpoint):
        for leftover in path.parent.glob(f".{path.name}.*.part"):  # of a process that was killed
            leftover.unlink()
    values = asdict(settings) | {"resume": False}
    write_atomically(files.config, yaml.safe_dump(values, sort_keys=False).encode())


def _make_trainer(
    settings: TrainingSettings,
    files: RunFiles,
    device: torch.device,
    callbacks: list[Callback],
    progress_bar: bool,
) -> Trainer:
    try:
        return Trainer(
            accelerator=_ACCELERATORS[device.type],
            devices=settings.devices if device.index is None else [device.index],
            num_nodes=settings.nodes,
            precision=_PRECISIONS[resolve_precision(settings.precision, device)],
            max_epochs=settings.epochs,
            accumulate_grad_batches=settings.accumulate,
            gradient_clip_val=settings.clip_gradient or None,
            callbacks=callbacks,
            logger=_loggers(settings, files),
            plugins=_plugins(),
            default_root_dir=files.folder,
            enable_progress_bar=progress_bar,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,  # the loaders share out samples without repeats in val
        )
    except MisconfigurationException as error:  # more GPUs than there are, for instance
        raise ValueError(f"cannot train on {settings.devices} x {device}: {error}") from error


def _plugins() -> list[Any]:
    """Our checkpoints, and under Slurm no second kind of them beside."""
    launch = find_launch()
    if launch is None or launch.launcher != "Slurm":
        return [AtomicCheckpointIO()]
    return [AtomicCheckpointIO(), SLURMEnvironment(auto_requeue=False)]


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Keep Lightning's hints about hardware, workers and loggers out of the run's own lines."""
    loggers = [logging.getLogger(f"lightning.{part}") for part in ("pytorch", "fabric")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning|torch")
        try:
            yield
        finally:
            for each, level in zip(loggers, levels, strict=True):
                each.setLevel(level)


def _callbacks(
    record: RunRecord, settings: TrainingSettings, files: RunFiles, progress_bar: bool
) -> list[Callback]:
    """The record comes before the weight average, so that it sees the averaged weights."""
    callbacks: list[Callback] = [record]
    if settings.ema:
        callbacks.append(EMAWeightAveraging(decay=settings.ema))
    callbacks.append(TrainingState(files.checkpoint, minutes=settings.checkpoint_minutes))
    if progress_bar:
        callbacks.append(RichProgressBar(console_kwargs={"stderr": True}))
    return callbacks


def _loggers(settings: TrainingSettings, files: RunFiles) -> list[Logger]:
    loggers: list[Any] = [TensorBoardLogger(files.folder / "logs", name="tensorboard", version="")]
    if settings.wandb:
        try:
            loggers.append(WandbLogger(project=settings.wandb, save_dir=files.folder))
        except ModuleNotFoundError as error:
            raise ValueError(
                "--wandb needs the package wandb: pip install 'mixtconv[wandb]'"
            ) from error
    return loggers
