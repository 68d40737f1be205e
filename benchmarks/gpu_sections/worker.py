"""The process that runs the sections on a GPU and sends what they record.

It is a process of its own: a kernel that reads where it may not leaves the GPU's context useless,
and another process then goes on with the next section.
"""

import platform
import subprocess
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from multiprocessing.connection import Connection
from typing import Any

import torch

from gpu_sections import correctness, operation, recognizers, streams, transformer
from gpu_sections.run import SMALL, Run, Sizes, describe
from mixtconv.benchmarks.environment import describe_environment

SECTIONS: dict[str, Callable[[Run], None]] = {
    "correctness": correctness.check,
    "operation": operation.measure,
    "inference": recognizers.infer,
    "training": recognizers.train,
    "streams": streams.measure,
    "transformer": transformer.measure,
    "compiled": recognizers.compiled,
}


def work(
    connection: Connection,
    shares: Sequence[tuple[str, float]],
    seconds: float,
    *,
    small: bool,
    interpret: bool,
) -> None:
    """Run sections and send (kind, section, values); the first message is about the machine.

    Args:
        connection: to the process that collects.
        shares: sections in order, each with its share of the time; what one leaves is the others'.
        seconds: for all of them.
        small: sizes that prove the script.
        interpret: on the CPU, the kernel in Triton's interpreter.
    """
    end = time.monotonic() + seconds
    is_gpu = torch.cuda.is_available()
    if not is_gpu and not interpret:
        connection.send(("no device", "", {}))
        return
    device = torch.device("cuda", 0) if is_gpu else torch.device("cpu")
    connection.send(("environment", "", environment(device)))
    torch.backends.cudnn.benchmark = True  # the fastest algorithms, of the baselines as well
    for index, (name, share) in enumerate(shares):
        left = end - time.monotonic()
        own = left * share / sum(each for _, each in shares[index:])
        connection.send(("start", name, {"seconds": own}))
        run = Run(
            device,
            SMALL if small else Sizes(),
            lambda kind, values, name=name: connection.send((kind, name, values)),
            time.monotonic() + own,
        )
        try:
            if run.seconds_left() > 0:
                SECTIONS[name](run)
            else:
                run.send("skipped", {"what": "all", "reason": "no time is left"})
            if is_gpu:
                torch.cuda.synchronize()
        except Exception as error:
            # What the GPU is left in is unknown: the next section gets another process.
            values = {"what": name, "error": describe(error), "trace": traceback.format_exc()}
            connection.send(("errors", name, values))
            connection.send(("end", name, {}))
            return
        connection.send(("end", name, {}))
        run.free()


def environment(device: torch.device) -> dict[str, Any]:
    """The machine and the software of a measurement."""
    about = asdict(describe_environment(device)) | {
        "triton": version("triton") if find_spec("triton") else None,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "system": platform.platform(),
    }
    if device.type == "cuda":
        found = torch.cuda.get_device_properties(device)
        about |= {
            "capability": f"{found.major}.{found.minor}",
            "multiprocessors": found.multi_processor_count,
            "memory_bytes": found.total_memory,
            "l2_cache_bytes": found.L2_cache_size,
            "driver": _driver(),
        }
    return about


def _driver() -> str | None:
    """The driver's version; None where `nvidia-smi` is not at hand."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
