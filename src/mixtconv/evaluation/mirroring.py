"""What a mirror does to the classes of a model file."""

from pathlib import Path

from mixtconv.data.labels import MirrorLabels, choose_pairs
from mixtconv.models import read_metadata


def model_mirroring(path: str | Path) -> MirrorLabels:
    """The pairs of classes that the model's training took for mirror images of each other.

    A model file that does not say, such as one of imported weights, has those that the class names
    tell.

    Raises:
        ValueError: a file that is no model.
    """
    about = read_metadata(path)
    return choose_pairs(about["spec"]["classes"], about["notes"].get("flip_pairs", "auto"))
