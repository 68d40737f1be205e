"""Settings of classes of uneven size: how they are trained, and by what epochs are compared."""

from dataclasses import dataclass
from typing import Literal

BestBy = Literal["top1", "macro"]


@dataclass(frozen=True)
class LabelSettings:
    """Classes of uneven size."""

    balance: Literal["none", "sampler", "weights"] = "none"
    """Classes of uneven size: sampler draws all classes equally often in an epoch, so that videos
    of small ones come several times; weights multiplies the loss of a video by the inverse of the
    frequency of its class, 1 on average; none takes the videos as they are."""
    best_by: BestBy = "top1"
    """Measure by which epochs and heads are compared, for --keep best and --patience: top1, or
    macro, the mean of the accuracies of the classes."""
    frame_labels: bool = False
    """Train on clips from anywhere in recordings, each of whose frames has the label that is
    annotated for it, or else background: for events, whose starts and ends such a model knows.
    Clips are of --num-frames frames (default 16), every --frame-stride-th (default that of 6 to 8 a
    second)."""

    @property
    def measure(self) -> str:
        """The field of an epoch's record that holds it.

        >>> LabelSettings(best_by="macro").measure
        'mean_class_accuracy'
        """
        return {"top1": "top1", "macro": "mean_class_accuracy"}[self.best_by]
