"""Settings of running a model over labelled videos: flags that several commands share.

Neither torch nor NumPy is imported, as `--help` reads the fields.
"""

from dataclasses import dataclass
from typing import Literal

from mixtconv._names import refuse_below
from mixtconv._types import Precision

SplitChoice = Literal["val", "train", "test", "all"]


@dataclass(frozen=True)
class EvaluationSettings:
    """Split, protocol and device.

    Which of the videos a model is run on, and how.

    Raises:
        ValueError: a number out of range.
    """

    split: SplitChoice | None = None
    """Videos to evaluate: val, train, test or all; default val where the data have splits, else
    all."""
    protocol: str = "1x1"
    """Views of every video: clips x crops, such as 1x1, 2x3, 1x10 or 10x3, or nonlocal-10x3."""
    batch_size: int = 8
    """Views in one pass of the network; does not change the scores."""
    workers: int | None = None
    """Processes that read videos; default one a core, at most 8."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:0 or mps."""
    precision: Precision = "auto"
    """Arithmetic: auto is bf16 on GPUs that have it and 32 elsewhere."""

    def __post_init__(self) -> None:
        refuse_below(1, self, "batch_size")
        refuse_below(0, self, "workers")
