"""What recipes need on this machine: weights that are available, and time.

The time of a step is measured before any training; that of a training follows from a trial.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from mixtconv._types import Precision
from mixtconv.fitting.ladder import Candidate, candidates
from mixtconv.fitting.settings import FitSettings
from mixtconv.models import VideoClassifier
from mixtconv.models.device import autocast, resolve_device
from mixtconv.models.feature_head import FeatureClassifier
from mixtconv.training.features import trunk_features
from mixtconv.training.fit import CHANNELS_LAST_PAYS
from mixtconv.training.head_run import make_trunk, with_head
from mixtconv.training.head_search import candidates as head_candidates
from mixtconv.training.initial_weights import InitialModel, make_initial_model
from mixtconv.training.settings import TrainingSettings

NUM_TIMED = 3
"""Steps of which the fastest is a recipe's cost."""


@dataclass(frozen=True)
class TrainingCost:
    """What a training costs, in seconds."""

    fixed: float
    """Outside its epochs."""
    clip: float
    """Of one clip in one epoch."""

    def epochs(self, seconds: float, *, num_train: int) -> float:
        """Passes over so many clips that fit into a time."""
        return max(0.0, seconds - self.fixed) / (self.clip * num_train)

    def seconds(self, epochs: int, *, num_train: int) -> float:
        """Time of so many passes over so many clips."""
        return self.fixed + epochs * num_train * self.clip


def with_usable_weights(
    settings: FitSettings, classes: tuple[str, ...], *, device: torch.device
) -> FitSettings:
    """Settings whose weights are those that the user's model starts from in all trainings.

    Raises:
        ValueError: a model or weights that cannot be used, which is found before any video is read.
    """
    if settings.model is None and settings.weights in ("auto", "none"):
        return settings
    recipe = candidates(settings, is_camera_still=True, device=device.type)[0]
    initial = _initial(TrainingSettings(data="", **recipe.settings), classes)
    if settings.model is None or settings.weights != "auto":
        return settings
    return replace(settings, weights="imagenet" if initial.weights == "ImageNet" else "none")


def _initial(training: TrainingSettings, classes: tuple[str, ...]) -> InitialModel:
    """What a training starts from; of a head alone, the frozen trunk."""
    return (make_trunk if training.train == "head" else make_initial_model)(training, classes)


@dataclass(frozen=True)
class Cost:
    """What a recipe costs here."""

    recipe: Candidate
    """In the arithmetic that is fastest."""
    step: float
    """Seconds of a training step, by clip."""
    once: float = 0.0
    """Seconds of a clip's features where a head alone is trained; they are kept."""


def measure_cost(recipe: Candidate, settings: FitSettings, classes: tuple[str, ...]) -> Cost | str:
    """Measure a recipe on a few steps.

    On a CPU bfloat16 takes half the time of float32 where the processor has instructions for it,
    and several times as long where it has none, so both are measured.

    Returns:
        Why the recipe cannot be used, if its model or its weights are unavailable.
    """
    try:
        return _cost(recipe, settings, classes)
    except (ValueError, OSError) as error:
        return str(error)


def _cost(recipe: Candidate, settings: FitSettings, classes: tuple[str, ...]) -> Cost:
    device = resolve_device(settings.device)
    training = TrainingSettings(data="", **recipe.settings)
    is_whole = training.train != "head"
    model = _initial(training, classes).model.to(device)
    if device.type in CHANNELS_LAST_PAYS:
        model.to(memory_format=torch.channels_last)
    spec, size, once = model.spec, training.batch_size, 0.0
    shape = (spec.num_frames, spec.snippet.channels, spec.image_size, spec.image_size)
    clips = torch.randint(0, 256, (size if is_whole else 1, *shape), dtype=torch.uint8)
    if not is_whole:
        once = (1 + training.crops) * _least_time(lambda: trunk_features(model, clips))
        clips = trunk_features(model, clips).expand(size, -1, -1, -1, -1)
        head = with_head(training, head_candidates(training)[0], model)
        model = FeatureClassifier(head).to(device).train()
    labels = torch.arange(size, device=device) % len(classes)
    precisions: tuple[Precision, ...] = ("32", "bf16") if device.type == "cpu" else ("auto",)
    times = {name: _step_time(model, clips, labels, name) / size for name in precisions}
    fastest = min(times, key=lambda name: times[name])
    fast = replace(recipe, settings={**recipe.settings, "precision": fastest})
    return Cost(fast, times[fastest], once)


def _step_time(
    model: VideoClassifier, clips: Tensor, labels: Tensor, precision: Precision
) -> float:
    """Seconds of a training step."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.0)

    def step() -> None:
        with autocast(precision, labels.device):
            loss = F.cross_entropy(model(model.normalize(clips)).float(), labels)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        loss.item()

    return _least_time(step)


def _least_time(work: Callable[[], object]) -> float:
    """Seconds of some work, the fastest of a few times."""
    times = []
    for _ in range(NUM_TIMED + 1):  # the first also warms up
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times[1:])
