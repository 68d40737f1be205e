"""Which of the processes that train together this one is."""

import os

_RANKS = ("NODE_RANK", "GROUP_RANK", "LOCAL_RANK", "RANK", "SLURM_PROCID")


def is_first_process() -> bool:
    """Whether this process speaks and writes for all: the first one of the first machine.

    Known before the processes have met, from what the launchers of torch, Lightning and Slurm set.
    """
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)
