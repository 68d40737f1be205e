"""Processes: those that a launcher started together, and how they share cores with others."""

import os
import sys
from dataclasses import dataclass

_RANKS = ("NODE_RANK", "GROUP_RANK", "LOCAL_RANK", "RANK", "SLURM_PROCID")

_SHELLS = ("bash", "interactive")
"""Names of interactive Slurm jobs, in which Lightning starts the processes."""


def is_rank_zero() -> bool:
    """Whether this process is the one that prints and writes: the first of the first machine.

    From the variables of torch's, Lightning's and Slurm's launchers, so that it is known before the
    process group is initialized.
    """
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


@dataclass(frozen=True)
class Launch:
    """Processes that a launcher started, all with the same command."""

    launcher: str
    """`torchrun` or `Slurm`."""
    devices: int
    """Processes on each machine."""
    nodes: int
    """Machines."""
    rank: int = 0
    """Rank of this process among all, from 0."""
    local_rank: int = 0
    """Its rank on its machine."""

    @property
    def num_processes(self) -> int:
        """Processes on all machines."""
        return self.devices * self.nodes


def find_launch() -> Launch | None:
    """The launch by torchrun or Slurm, from the environment; None if this process is alone.

    Raises:
        ValueError: machines with different numbers of processes, or numbers that are missing.
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


WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
"""Variables by which OpenMP's threads wait for each other; the last two are GNU's and Intel's."""


def wait_passively() -> None:
    """Let torch's threads sleep while they wait for each other, unless the environment says how.

    By default they spin, which takes nothing from a machine that is otherwise idle, but from other
    processes on busy cores what these need, until the one thread that all wait for runs again.
    OpenMP reads the policy once, when torch is loaded: afterwards nothing is changed. Processes
    that this one starts inherit it.
    """
    if "torch" not in sys.modules and not any(name in os.environ for name in WAITING):
        os.environ["OMP_WAIT_POLICY"] = "passive"


LOADER_NICENESS = 2
"""How much a process that reads ahead yields, of the 19 steps there are. On Linux a step is a fifth
of its weight: much more, and busy processes of others would leave a run without clips."""


def yield_to_training(worker: int) -> None:
    """Lower the priority of this process, a worker of a loader; Windows has no such call."""
    if hasattr(os, "nice"):
        os.nice(LOADER_NICENESS)
