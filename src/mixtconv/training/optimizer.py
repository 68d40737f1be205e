"""The optimiser and its learning rate schedule.

The recipe for SGD follows "Temporal Segment Networks" (TSN, arXiv 1608.00859) and "TSM" (arXiv
1811.08383). TSM multiplies the learning rate of the last layer by five, and with optical flow that
of the first one too; these are `head_lr_factor` and `first_layer_lr_factor` here.
"""

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from mixtconv.training.backbone_layers import layer_lr_factors
from mixtconv.training.settings import Schedule, TrainingSettings

REFERENCE_BATCH = 64
"""Clips of a step for which learning rates are given."""
SCALING = {"sgd": 1.0, "adamw": 0.5}
"""Power of the clips of a step with which the learning rate grows: linearly with sgd ("Accurate,
Large Minibatch SGD", arXiv 1706.02677), by the square root with AdamW, which divides the gradient
by its own size ("On the SDEs and Scaling Rules for Adaptive Gradient Algorithms", arXiv
2205.10287)."""
BIAS_LR_FACTOR = 2
"""Factor of the learning rate of biases, with sgd."""
STEP_FACTOR = 0.1
"""Factor of the step schedule at each milestone."""
Kind = Literal["weight", "bias", "norm"]
"""Treatment of a parameter; `norm` are the scales and biases of normalisation, and other scales."""
KINDS = get_args(Kind)
DEFAULT_LR = {"adamw": 2e-3, "sgd": 1e-2}
DEFAULT_WEIGHT_DECAY = {"adamw": 0.05, "sgd": 5e-4}


MakeOptimizer = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]
"""Makes an optimiser of groups of parameters, each with its rate and its decay."""


def make_optimizer(
    model: nn.Module,
    settings: TrainingSettings,
    *,
    make: MakeOptimizer | None = None,
    partner: nn.Module | None = None,
    beside: nn.Module | None = None,
) -> torch.optim.Optimizer:
    """The optimiser of all parameters that require gradients.

    Args:
        model: the network.
        settings: which optimiser, its rates and its decay.
        make: makes another one, of groups with these rates.
        partner: a second network, whose layers have the same factors.
        beside: other layers, without any.
    """
    lr = settings.lr if settings.lr is not None else DEFAULT_LR[settings.optimizer]
    if settings.scale_lr:
        lr *= (settings.clips_per_step / REFERENCE_BATCH) ** SCALING[settings.optimizer]
    decay = settings.weight_decay
    if decay is None:
        decay = DEFAULT_WEIGHT_DECAY[settings.optimizer]
    networks = [each for each in (model, partner) if each is not None]
    lr_factors = {k: v for each in networks for k, v in _lr_factors(each, settings).items()}
    trained = nn.ModuleList([*networks, *([] if beside is None else [beside])])
    bias_factor = BIAS_LR_FACTOR if settings.optimizer == "sgd" else 1
    groups: dict[tuple[float, Kind], dict[str, Any]] = {}
    # One group for each combination of kind and factor, as a group has one rate and one decay.
    for parameter, kind in parameter_kinds(trained).items():
        factor = lr_factors.get(parameter, 1.0)
        group = groups.setdefault((factor, kind), {"params": []})
        group["params"].append(parameter)
        group["lr"] = lr * factor * (bias_factor if kind == "bias" else 1)
        group["weight_decay"] = decay if kind == "weight" else 0.0
    # The rate of the first group is reported: that of the weights without a factor, or with layer
    # decay of the last layer. Checkpoints hold the state of the optimiser in this order.
    by_layer = settings.layer_decay != 1

    def order(key: tuple[float, Kind]) -> tuple[bool, float, int]:
        return key[0] != 1, -key[0] if by_layer else 0.0, KINDS.index(key[1])

    ordered = [groups[key] for key in sorted(groups, key=order)]
    if make is not None:
        return make(ordered)
    if settings.optimizer == "sgd":
        return torch.optim.SGD(ordered, momentum=settings.momentum)
    return torch.optim.AdamW(ordered)


def _lr_factors(model: nn.Module, settings: TrainingSettings) -> dict[nn.Parameter, float]:
    """Factors of the learning rate by layer, of the first convolution and of the last layer."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    convolutions = [module for module in model.modules() if isinstance(module, kinds)]
    linear = [module for module in model.modules() if isinstance(module, nn.Linear)]
    factors = layer_lr_factors(model, settings.layer_decay)
    for first in convolutions[:1]:
        for parameter in first.parameters():
            factors[parameter] = factors.get(parameter, 1.0) * settings.first_layer_lr_factor
    for last in linear[-1:]:
        for parameter in last.parameters():
            factors[parameter] = factors.get(parameter, 1.0) * settings.head_lr_factor
    return factors


def parameter_kinds(model: nn.Module) -> dict[nn.Parameter, Kind]:
    """The kinds of the parameters that require gradients.

    A parameter with one axis that is not a bias counts as a scale, as in normalisation layers of
    other packages.
    """
    normalisations = (nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm)
    kinds: dict[nn.Parameter, Kind] = {}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if not parameter.requires_grad:
                continue
            if isinstance(module, normalisations):
                kinds[parameter] = "norm"
            elif name == "bias":
                kinds[parameter] = "bias"
            else:
                kinds[parameter] = "weight" if parameter.ndim > 1 else "norm"
    return kinds


def make_schedule(
    optimizer: torch.optim.Optimizer, settings: TrainingSettings, *, steps_per_epoch: int
) -> LambdaLR:
    """The factor of the optimiser's learning rate in every step."""
    course = SCHEDULES[settings.schedule](settings)
    warmup_steps = settings.warmup_epochs * steps_per_epoch

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / (warmup_steps + 1)
        return course(step / steps_per_epoch)

    return LambdaLR(optimizer, factor)


def _cosine(settings: TrainingSettings) -> Callable[[float], float]:
    """From 1 at the end of warm-up to 0 at the end of the last epoch."""
    start, end = min(settings.warmup_epochs, settings.epochs), settings.epochs

    def course(epoch: float) -> float:
        done = (epoch - start) / max(end - start, 1e-9)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    return course


def _step(settings: TrainingSettings) -> Callable[[float], float]:
    milestones = settings.milestones
    if milestones is None:
        milestones = [0.4 * settings.epochs, 0.8 * settings.epochs]
    return lambda epoch: STEP_FACTOR ** sum(epoch >= milestone for milestone in milestones)


SCHEDULES: dict[Schedule, Callable[[TrainingSettings], Callable[[float], float]]] = {
    "cosine": _cosine,
    "step": _step,
    "constant": lambda settings: lambda epoch: 1.0,
}
"""Name -> settings -> finished epochs -> factor of the learning rate."""
