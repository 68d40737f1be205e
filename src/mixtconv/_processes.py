"""The processes that work together: which of them this one is, and how many a launcher started."""

import os
from dataclasses import dataclass

_RANKS = ("NODE_RANK", "GROUP_RANK", "LOCAL_RANK", "RANK", "SLURM_PROCID")

_SHELLS = ("bash", "interactive")
"""Names of Slurm jobs that are shells for a person: Lightning starts the processes there."""


def is_rank_zero() -> bool:
    """Whether this process speaks and writes for all: the first one of the first machine.

    Known before the processes have met, from what the launchers of torch, Lightning and Slurm set.
    """
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


@dataclass(frozen=True)
class Launch:
    """Processes that were started for us, all with the same command."""

    launcher: str
    """`torchrun` or `Slurm`."""
    devices: int
    """Processes on each machine."""
    nodes: int
    """Machines."""
    rank: int = 0
    """Number of this process among all, from 0."""
    local_rank: int = 0
    """Its number on its machine."""

    @property
    def num_processes(self) -> int:
        """Processes on all machines."""
        return self.devices * self.nodes


def find_launch() -> Launch | None:
    """What torchrun or Slurm started, from the environment; None if this process is alone.

    Raises:
        ValueError: machines with different numbers of processes, or too little said of them.
    """
    environment = os.environ
    if "TORCHELASTIC_RUN_ID" in environment:
        launcher, count, remedy = "torchrun", "WORLD_SIZE", "--nproc-per-node"
        devices = int(environment["LOCAL_WORLD_SIZE"])
        nodes = int(environment[count]) // devices
        ranks = ("RANK", "LOCAL_RANK")
    elif "SLURM_NTASKS" in environment and environment.get("SLURM_JOB_NAME") not in _SHELLS:
        launcher, count, remedy = "Slurm", "SLURM_NTASKS", "--nodes and --ntasks-per-node"
        devices = int(environment.get("SLURM_NTASKS_PER_NODE", "1"))
        nodes = int(environment.get("SLURM_NNODES", "1"))
        ranks = ("SLURM_PROCID", "SLURM_LOCALID")
    else:
        return None
    if devices * nodes != int(environment[count]):
        raise ValueError(
            f"{launcher} started {environment[count]} processes, which are not {nodes} x {devices}:"
            f" give every machine as many, with {remedy}"
        )
    rank, local_rank = (int(environment.get(name, "0")) for name in ranks)
    return Launch(launcher, devices, nodes, rank, local_rank)
