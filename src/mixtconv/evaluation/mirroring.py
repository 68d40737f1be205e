"""What a mirror does to the classes of a model."""

from mixtconv.data.labels import MirrorLabels, choose_pairs
from mixtconv.models import VideoClassifier


def model_mirroring(model: VideoClassifier) -> MirrorLabels:
    """The pairs of classes that the model's training took for mirror images of each other.

    A model whose file does not say, such as one of imported weights, has those that the class names
    tell.
    """
    return choose_pairs(model.spec.classes, model.notes.get("flip_pairs", "auto"))
