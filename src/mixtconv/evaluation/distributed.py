"""Several processes that evaluate together: the group they form, its devices, its exchange."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from mixtconv._processes import Launch

T = TypeVar("T")


def local_device(device: str, launch: Launch | None) -> str:
    """The device of this process: one GPU each where the user names no number."""
    if launch is None or device not in ("auto", "cuda") or not torch.cuda.is_available():
        return device
    return f"cuda:{launch.local_rank % torch.cuda.device_count()}"


@contextmanager
def process_group(launch: Launch | None) -> Iterator[None]:
    """Initialise torch.distributed for the block, if several processes were launched.

    By gloo, as scores are exchanged on the CPU; under Slurm the address is the one that Lightning
    uses.
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


def gather_items(items: Sequence[T]) -> list[T]:
    """The items of all processes, one process after the other by rank; a collective call."""
    return [item for process in gather(items) for item in process]


def gather(value: T) -> list[T]:
    """The values of all processes by rank; a collective call. Alone, the one value."""
    if not (dist.is_available() and dist.is_initialized()):
        return [value]
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, value)
    return gathered
