"""Parts of a run that a program gives of its own, and the settings that they replace."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import Logger

from mixtconv._names import flag, in_short
from mixtconv.data.training_clips import Transform
from mixtconv.evaluation.scores_file import SavedScores
from mixtconv.inference.torch_recognizers import Recognizer
from mixtconv.models import ModelSpec, VideoClassifier
from mixtconv.training.loss import LossOfLogits
from mixtconv.training.open_teachers import OwnTeacher, open_teachers
from mixtconv.training.optimizer import MakeOptimizer
from mixtconv.training.plan import RunPlan
from mixtconv.training.settings import TrainingSettings
from mixtconv.training.teachers import Teachers


@dataclass(frozen=True)
class OwnParts:
    """What a caller gives in place of, or beside, the parts of a run."""

    callbacks: tuple[Callback, ...]
    loggers: tuple[Logger, ...]
    loss: LossOfLogits | None
    optimizer: MakeOptimizer | None
    transform: Transform | None
    teachers: tuple[OwnTeacher, ...] = ()
    """Those that are objects, beside those that the settings name."""

    def open_teachers(self, plan: RunPlan, spec: ModelSpec) -> Teachers:
        """The teachers of a run, those that the settings name first."""
        return open_teachers((*plan.settings.teacher_names, *self.teachers), plan, spec)


def named_teachers(
    given: OwnTeacher | Sequence[OwnTeacher] | None,
) -> tuple[list[str], tuple[OwnTeacher, ...]]:
    """Teachers that a caller gives: names, which are settings, and objects.

    Raises:
        ValueError: none in a list, or what is no teacher.
    """
    if given is None:
        return [], ()
    several = cast("Sequence[OwnTeacher]", given if isinstance(given, list | tuple) else [given])
    for each in several:
        if isinstance(each, type) or not (isinstance(each, _TEACHERS) or callable(each)):
            raise ValueError(f"teacher is {in_short(each)}; give {_A_TEACHER}")
    if not several:
        raise ValueError(f"teacher is {given!r}; give {_A_TEACHER}, or leave it out")
    names = [str(each) for each in several if isinstance(each, str | Path)]
    return names, tuple(each for each in several if not isinstance(each, str | Path))


_TEACHERS = (str, Path, VideoClassifier, Recognizer, SavedScores)
_A_TEACHER = (
    "the name of a model or a scores file, a recognizer, SavedScores, or a function of clips"
)


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
                    f"{name} holds {in_short(part)}; give a list of {name} of Lightning, such as "
                    f"{_SUCH_AS[name]}"
                )
    for name, call in (
        ("loss", own.loss),
        ("optimizer", own.optimizer),
        ("transform", own.transform),
    ):
        if call is not None and not callable(call):
            raise ValueError(f"{name} is {in_short(call)}; give {_CALLS[name]}")
    if own.transform is not None and settings.train == "head":
        raise ValueError(
            "transform changes clips in each epoch, and train='head' takes features computed once: "
            "leave one out"
        )
    _refuse_teachers(own, settings)
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


def _refuse_teachers(own: OwnParts, settings: TrainingSettings) -> None:
    if own.teachers and settings.train == "head":
        raise ValueError(
            "teacher scores clips, and train='head' trains on features that are computed once: "
            "leave one out"
        )
    if not (own.teachers or settings.teacher_names):
        of_both = () if settings.mutual else ("teacher_weight", "temperature")
        for name in (*of_both, "teacher_features"):
            if getattr(settings, name) != _DEFAULTS[name]:
                raise ValueError(f"{flag(name)} is for a --teacher, and there is none: give one")


_DEFAULTS = {field.name: field.default for field in fields(TrainingSettings)}
