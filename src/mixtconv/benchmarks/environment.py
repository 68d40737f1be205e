"""What a figure was measured on: without it a time means nothing."""

import os
import platform
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import timm
import torch

from mixtconv._version import __version__
from mixtconv.data.parallel import usable_cores
from mixtconv.models.fused_conv import fusion_in_use
from mixtconv.ops.filter import kernel_in_use


@dataclass(frozen=True)
class Environment:
    """The machine and the software of a measurement."""

    processor: str
    """Model of the CPU."""
    cores: int
    """Cores that this process may use."""
    load: float | None
    """Processes that wanted to run in the last minute, this one among them; None if unknown."""
    device: str
    """Where the networks ran: the CPU, or the name of the GPU."""
    threads: int
    """Threads of torch's CPU operations."""
    kernel: str
    """What computes the temporal operation there."""
    fusion: str
    """How optimised recognizers run convolutions there in float32, see `fusion_in_use`."""
    python: str
    torch: str
    timm: str
    mixtconv: str

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON holds them."""
        return asdict(self)


def describe_environment(device: torch.device) -> Environment:
    """The environment of a measurement that begins now.

    >>> describe_environment(torch.device("cpu")).device
    'cpu'
    """
    return Environment(
        processor=_processor(),
        cores=usable_cores(),
        load=os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        threads=torch.get_num_threads(),
        kernel=kernel_in_use(device),
        fusion=fusion_in_use(device),
        python=platform.python_version(),
        torch=torch.__version__,
        timm=timm.__version__,
        mixtconv=__version__,
    )


def _processor() -> str:
    """The CPU's name, which Python itself knows on some systems only."""
    table = Path("/proc/cpuinfo")
    for line in table.read_text().splitlines() if table.exists() else ():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()
