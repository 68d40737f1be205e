"""The processes that train together: which of them this one is, and how many a launcher started."""

import os
from dataclasses import dataclass, replace

from mixtconv.training.settings import TrainingSettings

_RANKS = ("NODE_RANK", "GROUP_RANK", "LOCAL_RANK", "RANK", "SLURM_PROCID")

_SHELLS = ("bash", "interactive")
"""Names of Slurm jobs that are shells for a person: Lightning starts the processes there."""


def is_first_process() -> bool:
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
    elif "SLURM_NTASKS" in environment and environment.get("SLURM_JOB_NAME") not in _SHELLS:
        launcher, count, remedy = "Slurm", "SLURM_NTASKS", "--nodes and --ntasks-per-node"
        devices = int(environment.get("SLURM_NTASKS_PER_NODE", "1"))
        nodes = int(environment.get("SLURM_NNODES", "1"))
    else:
        return None
    if devices * nodes != int(environment[count]):
        raise ValueError(
            f"{launcher} started {environment[count]} processes, which are not {nodes} x {devices}:"
            f" give every machine as many, with {remedy}"
        )
    return Launch(launcher, devices, nodes)


def as_launched(settings: TrainingSettings) -> TrainingSettings:
    """Settings with the numbers of devices and machines that a launcher has decided on.

    Raises:
        ValueError: the settings ask for others.
    """
    launch = find_launch()
    if launch is None:
        return settings
    asked = (settings.devices, settings.nodes)
    started = (launch.devices, launch.nodes)
    if asked not in ((1, 1), started):
        remedy = "" if launch.launcher == "torchrun" else ", and start one task a device with srun"
        raise ValueError(
            f"--devices is {asked[0]} and --nodes {asked[1]}, but {launch.launcher} started "
            f"{started[0]} on {started[1]}; leave both out{remedy}"
        )
    return replace(settings, devices=launch.devices, nodes=launch.nodes)
