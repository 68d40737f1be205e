"""Recipes: published ways of training a model on a dataset, one YAML file each.

A recipe gives settings of `TrainingSettings` that the user does not, with a `title`, the `source`
of the settings, the `published` score, and the recipe whose weights it `starts_from`, if not
ImageNet's. The recipes of the package are in `mixtconv/recipes`, named
`{family}_{backbone}_{dataset}_{frames}f`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import filter as matching
from pathlib import Path
from typing import Any, get_type_hints

from mixtconv._names import unknown_name
from mixtconv._settings_file import read_settings
from mixtconv.training.settings import TrainingSettings

FOLDER = Path(__file__).parents[1] / "recipes"
"""The recipes of the package."""

_ABOUT = {"title": str, "source": str, "published": str, "starts_from": str}
_NOT_IN_RECIPES = ("recipe", "resume")


@dataclass(frozen=True)
class Recipe:
    """A way of training a model."""

    name: str
    """As given: a name, or the path of a file."""
    path: Path
    """Its file."""
    values: Mapping[str, Any]
    """The settings that it gives."""
    title: str = ""
    """Model, frames and dataset in words."""
    source: str = ""
    """Publication or code that its settings are taken from."""
    published: str = ""
    """The published score, with its protocol."""
    starts_from: str = ""
    """The recipe whose trained model it fine-tunes; empty if none."""

    def settings(self, **changes: Any) -> TrainingSettings:
        """The recipe's settings, with changes.

        Raises:
            ValueError: as `check`.
        """
        settings = TrainingSettings(**{**self.values, "recipe": self.name, **changes})
        self.check(settings)
        return settings

    def check(self, settings: TrainingSettings) -> None:
        """Check for the settings that only the user can give.

        Raises:
            ValueError: the folder of the dataset, or the weights to start from, are missing.
        """
        of_package = self.path.parent == FOLDER
        if of_package and settings.root is None and settings.data == self.values["data"]:
            raise ValueError(
                f"the recipe {self.name} trains on {settings.data}: give its folder with "
                "--root DIR, or give other videos as DATA"
            )
        if self.starts_from and settings.weights == "auto":
            raise ValueError(
                f"the recipe {self.name} fine-tunes a model trained with {self.starts_from}: give "
                "its model.safetensors as --weights FILE (--weights imagenet does without)"
            )


def load_recipe(name: str | Path) -> Recipe:
    """Read a recipe of the package, or one of the user's.

    Args:
        name: a name (`list_recipes`), or the path of a YAML file.

    Raises:
        ValueError: an unknown name or key (the message lists near ones), or a value of the wrong
            type (the message has file and line).

    >>> recipe = load_recipe("mstnet_resnet50_something_v1_8f")
    >>> recipe.settings(root="/data/something").lr
    0.01
    """
    path = _find(str(name))
    hints = get_type_hints(TrainingSettings)
    kinds = {name: hints[name] for name in hints if name not in _NOT_IN_RECIPES}
    values = read_settings(path, kinds | _ABOUT)
    about = {key: values.pop(key) for key in _ABOUT if key in values}
    return Recipe(str(name), path, values, **about)


def list_recipes(pattern: str = "*") -> list[str]:
    """Sorted names of the package's recipes.

    Args:
        pattern: shell-style, such as `mstnet_*` or `*_jester_*`.

    >>> list_recipes("tsn_*_something_v1_*")
    ['tsn_resnet50_something_v1_8f']
    """
    return sorted(matching([path.stem for path in FOLDER.glob("*.yaml")], pattern))


def _find(name: str) -> Path:
    path = FOLDER / f"{name}.yaml"
    if path.parent == FOLDER and path.is_file():
        return path
    if Path(name).is_file() or name.endswith((".yaml", ".yml")):
        return Path(name)
    raise unknown_name("recipe", name, list_recipes())
