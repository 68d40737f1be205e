"""The settings of a training run whose first batch is drawn: the flags of `mixtconv train`."""

from dataclasses import dataclass

from mixtconv.training.settings import TrainingSettings


@dataclass(frozen=True)
class SampleSettings(TrainingSettings):
    """Settings of a training run, of which nothing but a picture is made."""

    out: str = "sample.png"
    """File of the picture, .png or .svg; one that is there is replaced."""
