"""How many things can be done at once on this machine."""

import os


def usable_cores() -> int:
    """Processor cores that this process may use: a container may have fewer than the machine."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    return len(affinity(0)) if affinity else (os.cpu_count() or 1)
