"""What is asked for when a recogniser is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixtconv.models.spec import ModelSpec


@dataclass(frozen=True)
class ModelRequest:
    """A name, its classes and what was said about the rest; a system fills in what was not."""

    name: str
    """Name of the recogniser."""
    classes: tuple[str, ...]
    """Class names in the order of the logits."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Other fields of `ModelSpec` that were given."""
    pretrained: bool | str | Path = False
    """2D weights to start from, as in `create_model`."""

    def spec(self, **defaults: Any) -> ModelSpec:
        """The description of the recogniser, with a system's own defaults where nothing was said.

        >>> ModelRequest("eco_8", ("a",), {"image_size": 64}).spec(image_size=224, dropout=0.2)
        ModelSpec(name='eco_8', classes=('a',), num_frames=8, image_size=64, ..., dropout=0.2, ...)
        """
        return ModelSpec(name=self.name, classes=self.classes, **{**defaults, **self.settings})
