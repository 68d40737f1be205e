"""The ablation of "MixTConv" (arXiv 2001.06769): temporal operations compared at the same budget.

Every operation is trained from the same settings with several seeds. The folder of a run is named
for a hash of everything that its result depends on, so no run is trained twice: a stopped ablation
continues, and one with more operations or seeds trains only the new runs.

Scores are those of the best epoch, which a run's model file holds: a little too high, and alike for
all operations.
"""

import hashlib
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from torch import nn

from mixtconv._atomic_write import write_atomically
from mixtconv._folder_lock import alone_in
from mixtconv._names import unknown_name
from mixtconv._processes import find_launch, is_rank_zero
from mixtconv._stopping import Stopped
from mixtconv._strict_json import to_json
from mixtconv._types import Position
from mixtconv.data.contents import recorded_contents, refuse_changed
from mixtconv.evaluation.complexity import Complexity, abstract_model, complexity
from mixtconv.evaluation.spread import Difference, Spread, differences, spread
from mixtconv.models.frozen_trunk import trained_parameters
from mixtconv.models.location import MODEL_FILE
from mixtconv.models.systems.factory import FAMILIES, FAMILY_DEFAULTS, split_name
from mixtconv.ops import MixTConv, TemporalConv, create_operation
from mixtconv.training.fit import train
from mixtconv.training.initial_weights import (
    content_of_weights,
    model_settings,
    refuse_unfit_weights,
)
from mixtconv.training.open_teachers import content_of_teacher
from mixtconv.training.plan import (
    fingerprint,
    resolve_settings,
    training_catalog,
    videos_by_name,
)
from mixtconv.training.run_folder import EpochRecord, RunFiles, is_complete, load_epochs
from mixtconv.training.settings import AblationAxes, TrainingSettings

logger = logging.getLogger(__name__)

RUNS = "runs"
"""Folder of the runs, in that of the ablation."""

TITLES = {
    "tsn": "TSN",
    "tsm": "TSM",
    "conv1d": "ordinary 1D",
    "ks3": "{3}",
    "ks5": "{5}",
    "ks7": "{7}",
    "ks13": "{1, 3}",
    "ks135": "{1, 3, 5}",
    "ks1357": "{1, 3, 5, 7}",
    "ks357dilated": "{3}, dilated",
}
"""Families of the paper's table and their titles; `{...}` are kernel sizes of depthwise filters."""


@dataclass(frozen=True)
class Variant:
    """One row of the table: an operation at a position, in some stages."""

    family: str
    position: Position
    stages: tuple[int, ...] | None
    """None for all."""

    @property
    def name(self) -> str:
        """Its name in files and comparisons.

        >>> Variant("ks3", "inner", (2, 3)).name
        'ks3-inner-stages2,3'
        """
        where = "" if self.stages is None else f"-stages{','.join(map(str, self.stages))}"
        return f"{self.family}-{self.position}{where}" if FAMILIES[self.family] else self.family


@dataclass(frozen=True)
class AblationRow:
    """The results of one variant."""

    variant: Variant
    title: str
    """The operation in the paper's table."""
    learnable: bool | None
    """Whether the operation has weights; None without an operation."""
    kernel_size: tuple[int, ...]
    dilation: tuple[int, ...]
    params: int
    macs: int
    """Multiply-accumulates of one clip."""
    top1: tuple[float, ...]
    """Percent, by seed."""
    spread: Spread
    """Of `top1`."""
    seconds: float
    """Training and validation of all seeds."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv ablate --format json` prints them."""
        variant = self.variant
        placed = FAMILIES[variant.family] is not None
        return {
            "operation": variant.family,
            "title": self.title,
            "position": variant.position if placed else None,
            "stages": None if variant.stages is None else list(variant.stages),
            "learnable": self.learnable,
            "kernel_size": list(self.kernel_size),
            "dilation": list(self.dilation),
            "params": self.params,
            "macs": self.macs,
            "top1": list(self.top1),
            "top1_mean": self.spread.mean,
            "top1_std": self.spread.std,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Ablation:
    """The table, and which of its differences are significant."""

    rows: tuple[AblationRow, ...]
    differences: tuple[Difference, ...]
    """Of all pairs of variants, by name; none with one seed."""
    num_classes: int

    def beyond(self, row: AblationRow) -> list[str]:
        """Names of the variants that a row exceeds by more than the spread of the seeds."""
        return [
            pair.lower
            for pair in self.differences
            if pair.beyond_spread and pair.higher == row.variant.name
        ]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `ablation.json` holds them."""
        return {
            "rows": [row.to_dict() for row in self.rows],
            "differences": [
                {**asdict(pair), "beyond_spread": pair.beyond_spread} for pair in self.differences
            ],
        }


def ablate(settings: TrainingSettings, axes: AblationAxes) -> Ablation:
    """Train and compare temporal operations; writes `runs/` and `ablation.json` into `out`.

    Args:
        settings: of every run. The axes replace the family of `model`, `position` and `stages`;
            `seed` is the first of the seeds, and `out` the folder of the ablation.
        axes: what is compared.

    Raises:
        ValueError: settings or data that cannot be used, or an operation that cannot be inserted
            into the backbone.
    """
    if settings.resume:
        raise ValueError("an ablation continues by itself where it stopped; leave out --resume")
    if not settings.val_fraction:
        raise ValueError("an ablation compares scores, and --val-fraction 0 has none: leave it out")
    if RunFiles(Path(settings.out)).config.exists():
        raise ValueError(f"{settings.out} holds a training run; give the ablation another --out")
    with alone_in(Path(settings.out), "ablate") if is_rank_zero() else nullcontext():
        try:
            return _ablate(resolve_settings(settings, find_launch()), axes)
        except Stopped as stop:  # in a run, of which something is kept
            raise Stopped.after(stop, stop.kept, go_on="same") from stop
        except KeyboardInterrupt as stop:
            if not list(Path(settings.out).glob(f"{RUNS}/*/{MODEL_FILE}")):
                raise
            kept = f"{settings.out} keeps what is trained"
            raise Stopped.after(stop, kept, go_on="same") from stop


def _ablate(settings: TrainingSettings, axes: AblationAxes) -> Ablation:
    variants = list(dict.fromkeys(_variants(settings, axes)))
    catalog = training_catalog(settings)
    if catalog.several:
        raise ValueError(
            f"{catalog.source} gives a video several labels, and an ablation compares top-1 of one "
            "label a video"
        )
    num_classes = len(catalog.classes)
    contents = recorded_contents(videos_by_name(catalog))
    # Building every model first refuses impossible variants before anything is trained.
    costs: dict[Variant, Complexity] = {}
    models = []
    for variant in variants:
        run = _of_variant(settings, variant)
        model = abstract_model(run.model, num_classes, **model_settings(run))
        if run.train == "temporal":
            trained_parameters(model)  # raises if there are none
        costs[variant] = complexity(model)
        models.append(model)
    refuse_unfit_weights(settings.weights, models)
    hashes = [fingerprint(catalog)]
    if (weights := content_of_weights(settings.weights)) is not None:
        hashes.append(weights)
    hashes += [content_of_teacher(name) for name in settings.teacher_names]
    runs = [
        (variant, _run_settings(settings, variant, seed=seed, content=hashes))
        for seed in range(settings.seed, settings.seed + axes.seeds)
        for variant in variants
    ]
    trained: dict[Variant, list[tuple[EpochRecord, ...]]] = {variant: [] for variant in variants}
    for number, (variant, run) in enumerate(runs, 1):
        logger.info("run %d of %d: %s, seed %d", number, len(runs), variant.name, run.seed)
        trained[variant].append(_trained_epochs(run, contents))
    rows = tuple(_row(variant, trained[variant], costs[variant], settings) for variant in variants)
    pairs = differences({row.variant.name: row.top1 for row in rows})
    result = Ablation(rows, pairs, num_classes)
    content = to_json(result.to_dict(), indent=2).encode()
    write_atomically(Path(settings.out) / "ablation.json", content, alone=True)
    return result


def _variants(settings: TrainingSettings, axes: AblationAxes) -> Iterator[Variant]:
    """All combinations of the axes; TSN, which has no operation to place, repeats itself."""
    families = axes.operations or list(TITLES)
    positions: Sequence[Position | None] = axes.positions or [settings.position]
    stage_sets: Sequence[list[int] | None] = axes.stage_sets or [settings.stages]
    for family, position, stages in product(families, positions, stage_sets):
        if family not in FAMILIES:
            raise unknown_name("operation", family, FAMILIES)
        if FAMILIES[family] is None:
            yield Variant(family, settings.position or "head", None)
        else:
            place = position or FAMILY_DEFAULTS.get(family, {}).get("position", "head")
            yield Variant(family, place, None if stages is None else tuple(stages))


def _of_variant(settings: TrainingSettings, variant: Variant) -> TrainingSettings:
    _, backbone = split_name(settings.model)
    return replace(
        settings,
        model=f"{variant.family}_{backbone}",
        position=variant.position,
        stages=None if variant.stages is None else list(variant.stages),
    )


def _run_settings(
    settings: TrainingSettings, variant: Variant, *, seed: int, content: Sequence[str]
) -> TrainingSettings:
    """The settings of one run, in a folder named for a hash of them and of the content.

    Args:
        content: hashes of the data, of a file to start from and of each teacher.
    """
    run = replace(_of_variant(settings, variant), seed=seed)
    decisive = json.dumps([run.decisive(), *content], sort_keys=True)
    digest = hashlib.sha256(decisive.encode()).hexdigest()[:12]
    folder = Path(settings.out) / RUNS / f"{variant.name}-seed{seed}-{digest}"
    return replace(run, out=str(folder))


def _trained_epochs(run: TrainingSettings, contents: Mapping[str, str]) -> tuple[EpochRecord, ...]:
    """The epochs of a run, which is trained or continued unless it is complete.

    Raises:
        ValueError: it is complete, and the videos hold something else since.
    """
    files = RunFiles(Path(run.out))
    if files.metrics.exists():
        epochs = load_epochs(files.metrics)
        if is_complete(epochs, run):
            refuse_changed(files.videos, contents, begun=f"the run in {files.folder}")
            logger.info("done before, in %s", run.out)
            return epochs
    if files.config.exists():
        return train(replace(run, resume=True)).epochs
    # As published, whatever the videos are like: rows of a table are of one modality.
    return train(replace(run, modality=run.modality or "rgb")).epochs


def _row(
    variant: Variant,
    runs: Sequence[tuple[EpochRecord, ...]],
    cost: Complexity,
    settings: TrainingSettings,
) -> AblationRow:
    operation = FAMILIES[variant.family]
    layer = None if operation is None else create_operation(operation, 64)
    kernel_size, dilation = _kernel(layer)
    top1 = tuple(_score(epochs, settings) for epochs in runs)
    return AblationRow(
        variant=variant,
        title=TITLES.get(variant.family, variant.family),
        learnable=None if layer is None else any(True for _ in layer.parameters()),
        kernel_size=kernel_size,
        dilation=dilation,
        params=cost.params,
        macs=cost.macs,
        top1=top1,
        spread=spread(top1),
        seconds=sum(epoch.seconds for epochs in runs for epoch in epochs),
    )


def _score(epochs: tuple[EpochRecord, ...], settings: TrainingSettings) -> float:
    """Top-1 of a run: of its best epoch, or of the last one that was scored."""
    scored = [epoch for epoch in epochs if not math.isnan(epoch.top1)]
    if settings.keep == "last":
        return scored[-1].top1
    measure = settings.measure(several=False)
    best = max(scored, key=lambda epoch: (getattr(epoch, measure), -epoch.val_loss))
    return best.top1


def _kernel(layer: nn.Module | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Kernel sizes and dilations of an operation; a shift equals a fixed kernel of three taps."""
    if layer is None:
        return (), ()
    if isinstance(layer, MixTConv):
        return layer.kernel_sizes, layer.dilations
    if isinstance(layer, TemporalConv):
        return (layer.weight.shape[-1],), (layer.dilation,)
    return (3,), (1,)
