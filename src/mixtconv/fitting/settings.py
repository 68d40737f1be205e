"""Settings of `mixtconv fit`: what the user gives, the rest is chosen from the data.

A field that is None is chosen; one that is given is fixed. Loads without torch and NumPy.
"""

from dataclasses import dataclass, fields
from typing import Any, Literal

from mixtconv._names import flag, refuse_below
from mixtconv.data.listing import DataSource
from mixtconv.training.settings import NAMED_WEIGHTS


@dataclass(frozen=True)
class FitBudget:
    """Time and folder."""

    minutes: float = 10.0
    """Minutes in all, from the first look at the videos to the report."""
    folds: int | None = None
    """Folds of the cross-validation that estimates the score; 0 leaves it out; default 2 to 5, by
    the clips and the time."""
    out: str = "runs/fit"
    """Folder of the result: model.safetensors, report.html, fit.json, config.yaml, trials."""
    resume: bool = False
    """Go on with what the folder `out` has, for as many minutes again."""


@dataclass(frozen=True)
class FitChoices:
    """Choices, each made from the data unless it is given."""

    model: str | None = None
    """Recognizer, as mstnet_small_resnet10."""
    modality: Literal["rgb", "motion"] | None = None
    """Pictures, or pictures less the clip's median picture, which suits a camera that stands
    still."""
    num_frames: int | None = None
    """Frames of a clip."""
    image_size: int | None = None
    """Height and width of the network's input, in pixels."""
    lr: float | None = None
    """Learning rate for a batch of 64 clips."""
    epochs: int | None = None
    """Passes over the clips in the last training; default as many as the time allows."""
    batch_size: int | None = None
    """Clips of a batch."""
    flip: bool | None = None
    """Mirror half of the clips."""
    weights: str = "auto"
    """Weights to start from: auto (none, and ImageNet's where they are available and pay),
    imagenet, none, or with --model a file or a mixtconv model."""
    causal: bool = False
    """Make a recognizer for streams, which looks back only."""


@dataclass(frozen=True)
class FitExecution:
    """Devices, processes and chance."""

    seed: int = 0
    """Seed of all random numbers."""
    workers: int | None = None
    """Processes that read clips while one trains; default one a core, at most 8."""
    device: str = "auto"
    """auto, cpu, cuda or mps."""
    skip_unreadable: bool = False
    """Leave out videos that cannot be read, and report them, instead of stopping."""


@dataclass(frozen=True)
class FitSettings(FitExecution, FitChoices, FitBudget, DataSource):
    """Settings of a fit.

    Raises:
        ValueError: a value out of range; the message names its flag.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        refuse_below(1, self, "num_frames", "epochs", "batch_size")
        refuse_below(16, self, "image_size")
        refuse_below(0, self, "seed", "workers", "folds")
        for name in ("minutes", "lr"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise ValueError(f"{flag(name)} is {value}; give more than 0")
        if self.folds == 1:
            raise ValueError("--folds is 1; give 0 for none, or 2 or more")
        if self.weights not in NAMED_WEIGHTS and self.model is None:
            raise ValueError(
                f"--weights is {self.weights}, of a network that is not named; give its --model as "
                "well, or auto, imagenet or none"
            )

    def fixed(self) -> dict[str, Any]:
        """The choices that the user made, by the names of the training's settings."""
        names = {field.name for field in fields(FitChoices)} - {"weights", "epochs"}
        given = {name: getattr(self, name) for name in sorted(names)}
        return {name: value for name, value in given.items() if value is not None}
