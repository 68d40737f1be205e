"""The model that a training run starts from: ImageNet weights, those of a file, or random ones."""

import hashlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from mixtconv.models import ModelSpec, VideoClassifier, create_model, load_model
from mixtconv.models.backbone import (
    average_first_layer,
)
from mixtconv.models.checkpoint_file import StateDict
from mixtconv.models.file import is_model_file
from mixtconv.models.frozen_trunk import WeightsOrigin, mark_origin
from mixtconv.models.location import HUB_PREFIX, find_model_file
from mixtconv.models.published_weights import (
    NoPublishedWeightsError,
)
from mixtconv.models.spec import TemporalSettings
from mixtconv.models.systems.causal import causal_weights
from mixtconv.training.backbone_layers import layer_lr_factors
from mixtconv.training.settings import NAMED_WEIGHTS, TrainingSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class InitialModel:
    """A recognizer before its first step."""

    model: VideoClassifier
    weights: str
    """Origin of its weights, for the record."""


def make_initial_model(settings: TrainingSettings, classes: tuple[str, ...]) -> InitialModel:
    """Make the recognizer that a run trains.

    Raises:
        ValueError: an unknown model, weights that are unavailable or do not fit, or a backbone that
            does not have what the settings use of it: drop path, checkpoints, groups of layers.
    """
    initial = _make(settings, classes)
    if settings.checkpoint_gradients:
        initial.model.set_grad_checkpointing()
    layer_lr_factors(initial.model, settings.layer_decay)  # raises before videos are opened
    return initial


def _make(settings: TrainingSettings, classes: tuple[str, ...]) -> InitialModel:
    def create(pretrained: bool | Path) -> VideoClassifier:
        return create_model(
            settings.model,
            classes=classes,
            pretrained=pretrained,
            drop_path_rate=settings.drop_path,
            **model_settings(settings),
        )

    if settings.weights == "none":
        return InitialModel(create(False), "random")
    if settings.weights == "imagenet":
        return InitialModel(create(True), "ImageNet")
    if settings.weights == "auto":
        model = create(False)  # raises for a wrong name or setting, before weights are looked for
        return _imagenet_or_random(model, create)
    path = Path(settings.weights)
    if not path.exists() and not settings.weights.startswith(HUB_PREFIX):
        raise ValueError(
            f"--weights is {settings.weights!r}; give auto, imagenet, none, a file or folder that "
            "exists, or hf:owner/name"
        )
    path = find_model_file(settings.weights)
    if is_model_file(path):
        return _fine_tuned(create(False), path)
    return InitialModel(create(path), str(path))


def content_of_weights(weights: str) -> str | None:
    """SHA-256 of a file to start from, or of that in a folder; None of names and of the hub."""
    if weights in NAMED_WEIGHTS or not Path(weights).exists():
        return None
    return hashlib.sha256(find_model_file(weights).read_bytes()).hexdigest()


def is_recognizer(weights: str) -> bool:
    """Whether weights to start from are a trained recognizer, here or on the hub."""
    if weights in NAMED_WEIGHTS:
        return False
    path = Path(weights)
    is_local = path.exists() and is_model_file(find_model_file(path))
    return is_local or weights.startswith(HUB_PREFIX)


def _imagenet_or_random(
    model: VideoClassifier, create: Callable[[bool], VideoClassifier]
) -> InitialModel:
    """The recognizer with ImageNet weights, if they are available, and which it is."""
    try:
        return InitialModel(create(True), "ImageNet")
    except NoPublishedWeightsError as error:
        logger.info("training from nothing: %s", error)
    except ValueError as error:
        logger.warning("starting from random weights: %s (--weights FILE)", error)
    return InitialModel(model, "random")


def model_settings(settings: TrainingSettings) -> dict[str, Any]:
    """The keyword arguments of `create_model` that the settings of a run give.

    They are the fields that both dataclasses have; None leaves a field to the model's default.
    """
    names = [field.name for field in fields(ModelSpec) if hasattr(settings, field.name)]
    values = {name: getattr(settings, name) for name in names}
    return {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()
        if value is not None
    }


def _fine_tuned(model: VideoClassifier, path: Path) -> InitialModel:
    """Load the weights of a trained recognizer; the last layer only if the classes are the same.

    Those of an RGB recognizer also fit differences and flow, see `average_first_layer`, and those
    of a centred one a causal one, see `causal_weights`.
    """
    trained = load_model(path)
    operation = model.spec.fields_of(TemporalSettings)
    for name, before in trained.spec.fields_of(TemporalSettings).items():
        if before != operation[name]:
            logger.warning("%s has %s %s, this run has %s", path, name, before, operation[name])
    if model.spec.causal and not trained.spec.causal:
        logger.info("%s is centred: its taps of later frames move to the frame itself", path)
    if trained.spec.classes != model.spec.classes:
        logger.info("%s has other classes: its last layer is not used", path)
    model.load_state_dict(_fitting_weights(trained, model, path), strict=False)
    frozen = trained.frozen_trunk
    of_file = WeightsOrigin(trained.spec.name, path.name, file=str(path.resolve()))
    mark_origin(model, of_file if frozen is None else frozen.origin)
    return InitialModel(model, str(path))


def refuse_unfit_weights(weights: str, models: Iterable[VideoClassifier]) -> None:
    """Refuse to start from a trained recognizer that does not fit all models.

    Args:
        weights: as of `--weights`; of what is no trained recognizer nothing is checked.
        models: may be without values (`torch.device("meta")`).

    Raises:
        ValueError: the weights have other names or shapes, or are of a causal recognizer alone.
    """
    if not is_recognizer(weights):
        return
    path = find_model_file(weights)
    trained = load_model(path)
    for model in models:
        _fitting_weights(trained, model, path)


def _fitting_weights(trained: VideoClassifier, model: VideoClassifier, path: Path) -> StateDict:
    """The weights of a trained recognizer that another one starts from.

    Raises:
        ValueError: they do not fit.
    """
    state = trained.state_dict()
    if trained.spec.causal and not model.spec.causal:
        raise ValueError(f"{path} is causal; train it with --causal, or start from other weights")
    if model.spec.causal and not trained.spec.causal:
        state = causal_weights(trained)
    if trained.spec.modality == "rgb":
        state = average_first_layer(state, model)
    if trained.spec.classes != model.spec.classes:
        state = {key: value for key, value in state.items() if not key.startswith("head.")}
    expected = model.state_dict()
    unfit = [key for key in state if key not in expected or expected[key].shape != state[key].shape]
    missing = [key for key in expected if key not in state and not key.startswith("head.")]
    if unfit or missing:
        raise ValueError(
            f"{path} is a {_described(trained)}, whose weights do not fit {_described(model)} "
            f"({(unfit + missing)[0]} and {len(unfit + missing) - 1} more): train the same model"
        )
    return state


def _described(model: VideoClassifier) -> str:
    """A recognizer's name, with its modality unless that is RGB."""
    modality = model.spec.modality
    return model.spec.name if modality == "rgb" else f"{model.spec.name} of modality {modality}"
