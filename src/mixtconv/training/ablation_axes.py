"""What an ablation compares; apart from it so that the command explains itself without torch."""

from dataclasses import dataclass, fields
from typing import Literal

from mixtconv.training.settings import flag


@dataclass(frozen=True)
class AblationAxes:
    """What an ablation compares: every combination of operation, position and stages."""

    operations: list[str] | None = None
    """Families to compare, such as [tsm,ks3,mstnet]; default the ten rows of the paper's table."""
    seeds: int = 3
    """Runs of each, with the seeds from --seed on."""
    positions: list[Literal["head", "inner"]] | None = None
    """Places of the operation to compare, such as [head,inner]; default --position alone."""
    stage_sets: list[list[int]] | None = None
    """Sets of stages to compare, such as [[0,1,2,3],[2,3]]; default --stages alone."""

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise ValueError(f"--seeds is {self.seeds}; give 1 or more")
        for field in fields(self):
            if getattr(self, field.name) == []:
                raise ValueError(f"{flag(field.name)} is empty; name one or more, or leave it out")
