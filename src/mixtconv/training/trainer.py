"""Lightning's trainer of a run: its device, its callbacks and its loggers."""

from functools import partial

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import (
    Callback,
    EMAWeightAveraging,
    RichProgressBar,
    WeightAveraging,
)
from lightning.pytorch.loggers import Logger, TensorBoardLogger, WandbLogger
from lightning.pytorch.plugins.environments import SLURMEnvironment
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from torch import Tensor

from mixtconv._stopping import StopSignals
from mixtconv.training.checkpoint import AtomicCheckpointIO, TrainingState
from mixtconv.training.own_parts import OwnParts
from mixtconv.training.plan import RunPlan
from mixtconv.training.record import RunRecord
from mixtconv.training.run_folder import RunFiles
from mixtconv.training.settings import TrainingSettings
from mixtconv.training.step_log import StepLog

_PRECISIONS = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
_ACCELERATORS = {"cpu": "cpu", "cuda": "gpu", "mps": "mps"}


def make_trainer(
    plan: RunPlan,
    files: RunFiles,
    record: RunRecord,
    progress_bar: bool,
    own: OwnParts,
    signals: StopSignals,
) -> Trainer:
    """The trainer of a run, which trains from the beginning or from a checkpoint.

    Raises:
        ValueError: devices that are not there.
    """
    settings, device = plan.settings, plan.device
    callbacks: list[Callback] = [record]  # before the average, whose weights it is to save
    if record.partner is not None:
        callbacks.append(record.partner)
    if settings.ema and settings.train == "temporal":
        callbacks.append(WeightAveraging(avg_fn=partial(_move_average, decay=settings.ema)))
    elif settings.ema:
        callbacks.append(EMAWeightAveraging(decay=settings.ema))
    callbacks.append(
        TrainingState(files.checkpoint, minutes=settings.checkpoint_minutes, signals=signals)
    )
    callbacks.append(
        RichProgressBar(console_kwargs={"stderr": True}) if progress_bar else StepLog()
    )
    plugins: list[AtomicCheckpointIO | SLURMEnvironment] = [AtomicCheckpointIO()]
    if plan.launch is not None and plan.launch.launcher == "Slurm":
        # Lightning would requeue the job with checkpoints of its own.
        plugins.append(SLURMEnvironment(auto_requeue=False))
    try:
        return Trainer(
            accelerator=_ACCELERATORS[device.type],
            devices=settings.devices if device.index is None else [device.index],
            num_nodes=settings.nodes,
            precision=_PRECISIONS[plan.precision],
            max_epochs=settings.epochs,
            accumulate_grad_batches=settings.accumulate,
            check_val_every_n_epoch=min(settings.val_every, settings.epochs),
            gradient_clip_val=settings.clip_gradient or None,
            callbacks=[*callbacks, *own.callbacks],
            logger=[*_loggers(settings, files), *own.loggers],
            plugins=plugins,
            default_root_dir=files.folder,
            enable_progress_bar=progress_bar,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            limit_val_batches=None if plan.catalog.val else 0,
            use_distributed_sampler=False,  # ours shards validation without repeating videos
        )
    except MisconfigurationException as error:  # more GPUs than there are, for instance
        raise ValueError(f"cannot train on {settings.devices} x {device}: {error}") from error


def _move_average(average: Tensor, weights: Tensor, num_steps: object, *, decay: float) -> Tensor:
    """A moving average that leaves equal weights as they are, to the last bit: those frozen."""
    return average + (1 - decay) * (weights - average)


def _loggers(settings: TrainingSettings, files: RunFiles) -> list[Logger]:
    loggers: list[Logger] = [
        TensorBoardLogger(files.folder / "logs", name="tensorboard", version="")
    ]
    if settings.wandb:
        loggers.append(WandbLogger(project=settings.wandb, save_dir=files.folder))
    return loggers
