"""What `mixtconv profile` can be told, besides the models."""

from dataclasses import dataclass
from typing import Literal

ROUNDS = 5


@dataclass(frozen=True)
class ProfileSettings:
    """What is profiled, besides the models: for a model file, most of it is in the file."""

    num_classes: int = 400
    """Classes of a model that is named; a model file has its own."""
    num_frames: int | None = None
    """Frames of a clip; default those of the model."""
    image_size: int | None = None
    """Height and width of a frame in pixels; default that of the model, 224 for a name."""
    batch_size: int = 1
    """Clips that pass the network together."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:0 or mps."""
    precision: Literal["auto", "32", "bf16", "16"] = "auto"
    """Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere."""
    rounds: int = ROUNDS
    """Times that each model runs."""

    def __post_init__(self) -> None:
        for name in ("num_classes", "batch_size", "rounds"):
            if getattr(self, name) < 1:
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag} is {getattr(self, name)}; give 1 or more")
