"""Parts of a run that a program gives of its own, and the settings that they replace."""

from dataclasses import dataclass

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


def refuse_own(own: OwnParts, settings: TrainingSettings) -> None:
    """Refuse settings that do not go with a caller's own parts.

    Raises:
        ValueError: names the setting.
    """
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
