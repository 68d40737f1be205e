"""Cost of a recognizer: parameters and multiply-accumulates counted, time and memory measured.

Time and memory are those of prediction, by the result of `optimize_for_inference`, on clips of
noise that are already on the device.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mixtconv._types import Progress
from mixtconv.benchmarks.environment import Environment, describe_environment
from mixtconv.benchmarks.memory import peak_bytes
from mixtconv.benchmarks.settings import ProfileSettings
from mixtconv.benchmarks.timing import Timing, interleave
from mixtconv.evaluation.complexity import (
    Complexity,
    StageCost,
    complexity,
    complexity_by_stage,
)
from mixtconv.models import VideoClassifier, create_model, load_model, optimize_for_inference
from mixtconv.models.device import autocast, resolve_device


@dataclass(frozen=True)
class ModelProfile:
    """Cost of one recognizer."""

    clip: str
    """Frames and pixels of a clip."""
    cost: Complexity
    """Counts for one clip."""
    stages: tuple[StageCost, ...]
    """The same by stage."""
    timing: Timing
    """Time of a batch, round by round, under the name or the file of the model."""
    batch_size: int
    """Clips of a batch."""
    peak_bytes: int
    """Peak memory of creating and running it, beyond that of the imports."""

    @property
    def clips_per_second(self) -> float:
        """Throughput at the median time."""
        return self.batch_size / self.timing.median_seconds

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return {
            "model": self.timing.name,
            "clip": self.clip,
            "params": self.cost.params,
            "temporal_params": self.cost.temporal_params,
            "macs": self.cost.macs,
            "macs_without_attention": self.cost.macs_without_attention,
            "stages": [asdict(stage) for stage in self.stages],
            "batch_size": self.batch_size,
            **self.timing.to_dict(),
            "clips_per_second": self.clips_per_second,
            "peak_bytes": self.peak_bytes,
        }


@dataclass(frozen=True)
class ProfileReport:
    """Profiles of models that ran in the same rounds."""

    profiles: tuple[ModelProfile, ...]
    """One for each model."""
    environment: Environment
    """Machine and software."""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `mixtconv profile --format json` prints them."""
        return {
            "environment": self.environment.to_dict(),
            "models": [profile.to_dict() for profile in self.profiles],
        }


def profile_models(
    sources: Sequence[str], settings: ProfileSettings, *, progress: Progress | None = None
) -> ProfileReport:
    """Count and measure models, named or in files.

    Args:
        sources: names that `create_model` takes, or model files.
        settings: clips, device, rounds.
        progress: called after every round.

    Raises:
        ValueError: a model that is named twice or cannot be created, or settings out of range.
    """
    if len(set(sources)) < len(sources):
        raise ValueError(f"models are {', '.join(sources)}; name each one once")
    device = resolve_device(settings.device)
    models = {source: _make(source, settings) for source in sources}
    environment = describe_environment(device)
    counted = {
        source: (complexity(model), complexity_by_stage(model)) for source, model in models.items()
    }
    clips = {
        source: f"{model.num_frames}x{model.spec.image_size}x{model.spec.image_size}"
        for source, model in models.items()
    }
    runs = {source: _ready(model, settings) for source, model in models.items()}
    timings = interleave(runs, rounds=settings.rounds, device=device, progress=progress)
    profiles = [
        ModelProfile(
            clip=clips[timing.name],
            cost=counted[timing.name][0],
            stages=tuple(counted[timing.name][1]),
            timing=timing,
            batch_size=settings.batch_size,
            peak_bytes=peak_bytes(partial(_prepare, timing.name, settings), device=device),
        )
        for timing in timings
    ]
    return ProfileReport(tuple(profiles), environment)


def _make(source: str, settings: ProfileSettings) -> VideoClassifier:
    num_frames, image_size = settings.num_frames, settings.image_size
    if not _is_file(source):
        sizes: dict[str, Any] = {"num_frames": num_frames, "image_size": image_size}
        chosen = {name: value for name, value in sizes.items() if value is not None}
        return create_model(source, settings.num_classes, **chosen).eval()
    model = load_model(source)
    if image_size not in (None, model.spec.image_size):
        raise ValueError(
            f"--image-size is {image_size}, {source} takes {model.spec.image_size} pixels: leave "
            "the flag out"
        )
    if num_frames is not None:
        model.set_num_frames(num_frames)
    return model


def _is_file(source: str) -> bool:
    return Path(source).is_file() or Path(source).suffix == ".safetensors" or "/" in source


def _prepare(source: str, settings: ProfileSettings) -> Callable[[], Tensor]:
    """Create a model and return one run of it, in the measured process."""
    return _ready(_make(source, settings), settings)


def _ready(model: VideoClassifier, settings: ProfileSettings) -> Callable[[], Tensor]:
    device = resolve_device(settings.device)
    spec = model.spec
    channels, size = spec.snippet.in_channels, spec.image_size
    clips = torch.randn(settings.batch_size, spec.num_frames, channels, size, size, device=device)
    fast = optimize_for_inference(model.to(device))

    def run() -> Tensor:
        with torch.inference_mode(), autocast(settings.precision, device):
            return fast(clips)

    return run
