"""The ablation of "MixTConv" (arXiv 2001.06769): temporal operations compared at the same budget.

Every operation is trained from the same settings with several seeds. A run is kept in a folder
named for everything that its result depends on, so that no run is trained twice: an ablation that
was stopped goes on where it was, and one with more operations or seeds trains only what is new.

Scores are those of the best epoch, which is what a run's model file holds: a little too high, and
for all operations alike.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

from torch import nn

from mixtconv._atomic_write import write_atomically
from mixtconv._names import unknown_name
from mixtconv.evaluation.complexity import Complexity, abstract_model, complexity
from mixtconv.evaluation.spread import Difference, Spread, differences, spread
from mixtconv.models.systems.factory import FAMILIES, split_name
from mixtconv.ops import MixTConv, TemporalConv, create_operation
from mixtconv.training.ablation_axes import AblationAxes
from mixtconv.training.data import training_catalog
from mixtconv.training.fit import fingerprint, settled, train
from mixtconv.training.initial_weights import model_shape
from mixtconv.training.run_folder import RunFiles
from mixtconv.training.settings import TrainingSettings

logger = logging.getLogger(__name__)

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
"""The rows of the paper's table, by family; `{...}` are the kernel sizes of a depthwise filter."""


@dataclass(frozen=True)
class Variant:
    """One row of the table: an operation at its place."""

    family: str
    position: Literal["head", "inner"]
    stages: tuple[int, ...] | None
    """None for all."""

    @property
    def name(self) -> str:
        """As files and comparisons call it.

        >>> Variant("ks3", "inner", (2, 3)).name
        'ks3-inner-stages2,3'
        """
        where = "" if self.stages is None else f"-stages{','.join(map(str, self.stages))}"
        return f"{self.family}-{self.position}{where}" if FAMILIES[self.family] else self.family


@dataclass(frozen=True)
class AblationRow:
    """What came out for one variant."""

    variant: Variant
    title: str
    """As the paper's table calls the operation."""
    learnable: bool | None
    """Whether the operation has weights; None where there is no operation."""
    kernel_size: tuple[int, ...]
    dilation: tuple[int, ...]
    params: int
    macs: int
    """Multiply-accumulates of one clip."""
    top1: tuple[float, ...]
    """Percent, a seed each."""
    spread: Spread
    seconds: float
    """Training with its validations, all seeds."""

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
    """The table, and which of its differences are more than chance."""

    rows: tuple[AblationRow, ...]
    differences: tuple[Difference, ...]
    """All pairs of variants by name; none with one seed."""

    num_classes: int

    def beyond(self, row: AblationRow) -> list[str]:
        """Names of the variants that a row is higher than, beyond the spread of the seeds."""
        pairs = [pair for pair in self.differences if pair.beyond_spread]
        return [pair.lower for pair in pairs if pair.higher == row.variant.name]

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `ablation.json` holds them."""
        return {
            "rows": [row.to_dict() for row in self.rows],
            "differences": [
                {**vars(pair), "beyond_spread": pair.beyond_spread} for pair in self.differences
            ],
        }


def ablate(settings: TrainingSettings, axes: AblationAxes) -> Ablation:
    """Train and compare temporal operations; writes `runs/` and `ablation.json` into `out`.

    Args:
        settings: of every run. The family of `model`, `position` and `stages` give way to the axes,
            `seed` is the first of the seeds, and `out` is the folder of the ablation.
        axes: what is compared.

    Raises:
        ValueError: settings or data that cannot be used, or a family that the backbone cannot take.
    """
    if settings.resume:
        raise ValueError("an ablation goes on by itself where it stopped; leave out --resume")
    if RunFiles(Path(settings.out)).config.exists():
        raise ValueError(f"{settings.out} holds a training run; give the ablation another --out")
    settings = settled(settings)
    variants = list(dict.fromkeys(_variants(settings, axes)))
    catalog = training_catalog(settings)
    num_classes, data = len(catalog.classes), fingerprint(catalog)
    # What a backbone cannot take is refused here, before anything is trained.
    costs = {variant: _cost(settings, variant, num_classes) for variant in variants}
    runs = [
        (variant, _run_settings(settings, variant, seed=seed, data=data))
        for seed in range(settings.seed, settings.seed + axes.seeds)
        for variant in variants
    ]
    scores: dict[Variant, list[_Score]] = {variant: [] for variant in variants}
    for number, (variant, run) in enumerate(runs, 1):
        logger.info("run %d of %d: %s, seed %d", number, len(runs), variant.name, run.seed)
        scores[variant].append(_finished(run) or _trained(run))
    rows = tuple(_row(variant, scores[variant], costs[variant]) for variant in variants)
    pairs = differences({row.variant.name: row.top1 for row in rows})
    result = Ablation(rows, pairs, num_classes)
    content = json.dumps(result.to_dict(), indent=2).encode()
    write_atomically(Path(settings.out) / "ablation.json", content)
    return result


@dataclass(frozen=True)
class _Score:
    top1: float
    seconds: float


def _variants(settings: TrainingSettings, axes: AblationAxes) -> Iterator[Variant]:
    """All combinations; TSN, which has no operation to place, is the same in all."""
    families = axes.operations or list(TITLES)
    positions = axes.positions or [settings.position]
    stage_sets: Sequence[list[int] | None] = axes.stage_sets or [settings.stages]
    for family, position, stages in product(families, positions, stage_sets):
        if family not in FAMILIES:
            raise unknown_name("operation", family, FAMILIES)
        if FAMILIES[family] is None:
            yield Variant(family, settings.position, None)
        else:
            yield Variant(family, position, None if stages is None else tuple(stages))


def _of_variant(settings: TrainingSettings, variant: Variant) -> TrainingSettings:
    _, backbone = split_name(settings.model)
    return replace(
        settings,
        model=f"{variant.family}_{backbone}",
        position=variant.position,
        stages=None if variant.stages is None else list(variant.stages),
    )


def _run_settings(
    settings: TrainingSettings, variant: Variant, *, seed: int, data: str
) -> TrainingSettings:
    """The settings of one run, in the folder that is named for them and for the data."""
    run = replace(_of_variant(settings, variant), seed=seed)
    decisive = json.dumps([run.decisive(), data], sort_keys=True)
    digest = hashlib.sha256(decisive.encode()).hexdigest()[:12]
    folder = Path(settings.out) / "runs" / f"{variant.name}-seed{seed}-{digest}"
    return replace(run, out=str(folder))


def _finished(run: TrainingSettings) -> _Score | None:
    """The score of a run that has had all its epochs."""
    metrics = RunFiles(Path(run.out)).metrics
    if not metrics.exists():
        return None
    record = json.loads(metrics.read_text())
    if len(record["epochs"]) < run.epochs:
        return None
    logger.info("done before, in %s", run.out)
    return _Score(record["best"]["top1"], sum(epoch["seconds"] for epoch in record["epochs"]))


def _trained(run: TrainingSettings) -> _Score:
    begun = RunFiles(Path(run.out)).config.exists()
    result = train(replace(run, resume=begun))
    return _Score(result.best.top1, sum(epoch.seconds for epoch in result.epochs))


def _cost(settings: TrainingSettings, variant: Variant, num_classes: int) -> Complexity:
    run = _of_variant(settings, variant)
    return complexity(abstract_model(run.model, num_classes, **model_shape(run)))


def _row(variant: Variant, scores: Sequence[_Score], cost: Complexity) -> AblationRow:
    operation = FAMILIES[variant.family]
    layer = None if operation is None else create_operation(operation, 64)
    kernel_size, dilation = _reach(layer)
    top1 = tuple(score.top1 for score in scores)
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
        seconds=sum(score.seconds for score in scores),
    )


def _reach(layer: nn.Module | None) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Kernel sizes and dilations of an operation; a shift reaches as far as a kernel of three."""
    if layer is None:
        return (), ()
    if isinstance(layer, MixTConv):
        return layer.kernel_sizes, layer.dilations
    if isinstance(layer, TemporalConv):
        return (layer.weight.shape[-1],), (layer.dilation,)
    return (3,), (1,)
