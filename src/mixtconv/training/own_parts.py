"""Parts of a run that a program gives of its own, and the settings that they replace."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from mixtconv.data.dataset import Transform
from mixtconv.training.loss import LossOfLogits
from mixtconv.training.optimizer import MakeOptimizer
from mixtconv.training.settings import TrainingSettings


@dataclass(frozen=True)
class OwnParts:
    """What a caller gives in place of, or beside, the parts of a run."""

    callbacks: tuple[Callback, ...]
    loggers: tuple[Logger, ...]
    loss: LossOfLogits | None
    optimizer: MakeOptimizer | None
    transform: Transform | None


def listed(parts: Any) -> tuple[Any, ...]:
    """Several parts, or the one that was given without a list.

    >>> listed([1, 2]), listed("csv")
    ((1, 2), ('csv',))
    """
    return tuple(parts) if isinstance(parts, Iterable) and not isinstance(parts, str) else (parts,)


_SUCH_AS = {"callbacks": "[LearningRateMonitor()]", "loggers": '[CSVLogger("logs")]'}

_CALLS = {
    "loss": "a function of logits (B, K) and labels",
    "optimizer": "a function of groups of parameters, or the name of one of ours",
    "transform": "a function of a clip, uint8 (T, 3, S, S)",
}


def refuse_own(own: OwnParts, settings: TrainingSettings) -> None:
    """Refuse parts that are none, and settings that do not go with a caller's own parts.

    Raises:
        ValueError: names the part or the setting.
    """
    for name, parts, method in (
        ("callbacks", own.callbacks, "on_fit_start"),
        ("loggers", own.loggers, "log_metrics"),
    ):
        for part in parts:
            if not callable(getattr(part, method, None)) or isinstance(part, type):
                raise ValueError(
                    f"{name} holds {part!r}; give a list of {name} of Lightning, such as "
                    f"{_SUCH_AS[name]}"
                )
    for name, call in (
        ("loss", own.loss),
        ("optimizer", own.optimizer),
        ("transform", own.transform),
    ):
        if call is not None and not callable(call):
            raise ValueError(f"{name} is {call!r}; give {_CALLS[name]}")
    if own.transform is not None and settings.train == "head":
        raise ValueError(
            "transform changes clips in each epoch, and train='head' takes features computed once: "
            "leave one out"
        )
    if own.loss is None:
        return
    defaults = {"label_smoothing": 0.0, "gamma_negative": 0.0, "gamma_positive": 0.0}
    for name, default in {**defaults, "negative_margin": 0.0}.items():
        if getattr(settings, name) != default:
            raise ValueError(
                f"{name} is {getattr(settings, name)}, and belongs to the loss that your own "
                "replaces: leave one out"
            )
    if settings.balance == "weights":
        raise ValueError(
            "balance is weights, and belongs to the loss that your own replaces: leave one out"
        )
