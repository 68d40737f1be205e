"""Settings of labels: classes of uneven size, several labels a video, how epochs are compared."""

from dataclasses import dataclass
from typing import Literal

from mixtconv._names import flag, refuse_unless

BestBy = Literal["top1", "macro", "map", "f1"]

_MEASURES: dict[BestBy, tuple[str, bool]] = {
    "top1": ("top1", False),
    "macro": ("mean_class_accuracy", False),
    "map": ("mean_average_precision", True),
    "f1": ("macro_f1", True),
}
"""Measure -> the field of an epoch's record that holds it, and whether it is of several labels."""


@dataclass(frozen=True)
class LabelSettings:
    """Classes of uneven size, and several labels a video."""

    balance: Literal["none", "sampler", "weights"] = "none"
    """Classes of uneven size: sampler draws all classes equally often in an epoch, so that videos
    of small ones come several times; weights multiplies the loss of a video by the inverse of the
    frequency of its class, 1 on average; none takes the videos as they are."""
    best_by: BestBy | None = None
    """Measure by which epochs and heads are compared, for --keep best and --patience: top1, or
    macro, the mean of the accuracies of the classes; of several labels a video map, the mean of
    their average precisions, or f1, of F1 at the best thresholds; default top1, of several map."""
    gamma_negative: float = 0.0
    """Of several labels a video: exponent by which labels that do not hold, and are known not to,
    count less in the loss (asymmetric loss; published 4); 0 is binary cross entropy."""
    gamma_positive: float = 0.0
    """The same of labels that hold (published 0 or 1)."""
    negative_margin: float = 0.0
    """Of several labels a video: score up to which a label that does not hold costs nothing
    (asymmetric loss; published 0.05)."""
    frame_labels: bool = False
    """Train on clips from anywhere in recordings, each of whose frames has the label that is
    annotated for it, or else background: for events, whose starts and ends such a model knows.
    Clips are of --num-frames frames (default 16), every --frame-stride-th (default that of about 8
    a second)."""

    def __post_init__(self) -> None:
        refuse_unless(lambda value: value >= 0, "0 or more", self, *_OF_SEVERAL[:2])
        refuse_unless(lambda value: 0 <= value < 1, "0 to below 1", self, "negative_margin")

    def check_labels(self, *, several: bool) -> None:
        """Refuse what is not for the labels of the data.

        Raises:
            ValueError: a measure or a loss of the other kind of labels, or a sampler where a video
                may have several.
        """
        if several and self.balance == "sampler":
            raise ValueError(
                "--balance sampler draws each class equally often, and here a video may have "
                "several labels: give --balance weights"
            )
        if self.best_by is not None and _MEASURES[self.best_by][1] != several:
            allowed = " or ".join(name for name, each in _MEASURES.items() if each[1] == several)
            kind = "several labels" if several else "one label"
            raise ValueError(
                f"--best-by is {self.best_by}, and the videos have {kind}: give {allowed}"
            )
        changed = [name for name in _OF_SEVERAL if getattr(self, name)]
        if changed and not several:
            raise ValueError(
                f"{flag(changed[0])} is for videos of several labels, and these have one: leave it "
                "out"
            )

    def check_frame_labels(self) -> None:
        """Refuse settings of a run, which has these among its own, that frames with labels exclude.

        Raises:
            ValueError: one that is for clips with one label as a whole.
        """
        for name, allowed in _OF_FRAME_LABELS.items() if self.frame_labels else ():
            value = getattr(self, name)
            if value not in allowed:
                given = [str(each) for each in allowed if each is not None]
                remedy = f"give {' or '.join(given)}, or leave it out" if given else "leave it out"
                raise ValueError(
                    f"{flag(name)} is {value}, and with --frame-labels each frame of a clip has a "
                    f"label of its own: {remedy}"
                )

    def measure(self, *, several: bool) -> str:
        """The field of an epoch's record by which epochs are compared.

        >>> LabelSettings(best_by="macro").measure(several=False)
        'mean_class_accuracy'
        """
        return _MEASURES[self.best_by or ("map" if several else "top1")][0]


_OF_FRAME_LABELS: dict[str, tuple[object, ...]] = {
    "sampling": (None, "dense"),
    "train": ("all", "temporal"),
    "protocol": ("1x1",),
    "mixup": (0,),
    "cutmix": (0,),
    "background": (None,),
    "without": (None, []),  # whose time would count as nothing
    "cache": ("auto", "off"),
}
"""Settings of a run that frames with labels leave open only in part -> what they may be."""

_OF_SEVERAL = ("gamma_negative", "gamma_positive", "negative_margin")
