"""Processes that score together: each its share of the videos, and all of them the whole result."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from mixtconv._processes import Launch

T = TypeVar("T")


def own_device(device: str, launch: Launch | None) -> str:
    """The device named, or this process's own where a GPU is only asked for by its kind."""
    if launch is None or device not in ("auto", "cuda") or not torch.cuda.is_available():
        return device
    return f"cuda:{launch.local_rank % torch.cuda.device_count()}"


@contextmanager
def meeting(launch: Launch | None) -> Iterator[None]:
    """Lets the processes that were started together exchange what they have, for the while.

    They find each other as Lightning's do. What they exchange are scores, on the CPU.
    """
    if launch is None or launch.num_processes == 1:
        yield
        return
    if launch.launcher == "torchrun":
        dist.init_process_group("gloo")
    else:
        from lightning.fabric.plugins.environments import SLURMEnvironment  # noqa: PLC0415

        slurm = SLURMEnvironment(auto_requeue=False)
        address = f"tcp://{slurm.main_address}:{slurm.main_port}"
        dist.init_process_group(
            "gloo", init_method=address, rank=launch.rank, world_size=launch.num_processes
        )
    try:
        yield
    finally:
        dist.destroy_process_group()


def gather(own: T) -> list[T]:
    """What every process has, in the order of their ranks; all of them must ask."""
    if not (dist.is_available() and dist.is_initialized()):
        return [own]
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, own)
    return gathered
