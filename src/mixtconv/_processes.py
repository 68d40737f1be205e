"""Processes: those started together, how they share cores with others, and how one has died."""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from types import ModuleType
from typing import Any

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


def find_launcher() -> str | None:
    """What has started this process, `torchrun` or `Slurm`; None if it is alone."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return "torchrun"
    is_step = "SLURM_NTASKS" in os.environ and os.environ.get("SLURM_JOB_NAME") not in _SHELLS
    return "Slurm" if is_step else None


def find_launch() -> Launch | None:
    """The launch by torchrun or Slurm, from the environment; None if this process is alone.

    Raises:
        ValueError: machines with different numbers of processes, or numbers that are missing.
    """
    environment, launcher = os.environ, find_launcher()
    if launcher == "torchrun":
        count, remedy = "WORLD_SIZE", "--nproc-per-node"
        devices = int(environment["LOCAL_WORLD_SIZE"])
        nodes = int(environment[count]) // devices
        ranks = ("RANK", "LOCAL_RANK")
    elif launcher == "Slurm":
        count, remedy = "SLURM_NTASKS", "--nodes and --ntasks-per-node"
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


SECONDS_AFTER_SIGTERM = 60.0
"""That a worker of a loader goes on for after a SIGTERM of others, unless the process that it reads
for ends before."""


def begin_loading(worker: int) -> None:
    """Make this process, a worker of a loader, yield to training and end with it.

    Not by Ctrl-C, which a terminal sends to all, and not at once by SIGTERM, which a cluster does:
    the training needs clips until the step that it ends after.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(signal, "sigwait"):
        # first, as the threads that follow inherit that they are not interrupted
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        threading.Thread(target=_end_later, name="end after SIGTERM", daemon=True).start()
    yield_to_training()
    end_with_parent()


def _end_later() -> None:
    """End this process some time after a SIGTERM; in a thread, whatever the others hang in.

    At once if it is sent by the process that it reads for, which needs no more.
    """
    parent = parent_process()
    if hasattr(signal, "sigwaitinfo"):
        sender = signal.sigwaitinfo({signal.SIGTERM}).si_pid
    else:  # macOS does not tell
        signal.sigwait({signal.SIGTERM})
        sender = -1
    if parent is None or sender != parent.pid:
        time.sleep(SECONDS_AFTER_SIGTERM)
    os._exit(0)


def yield_to_training() -> None:
    """Lower the priority of this process; Windows has no such call."""
    if hasattr(os, "nice"):
        os.nice(LOADER_NICENESS)


class _FreshProcess(SpawnProcess):
    @staticmethod
    def _Popen(process_obj: Any) -> Any:  # noqa: N802, multiprocessing's name
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")  # which has no file to run again
        try:
            return SpawnProcess._Popen(process_obj)
        finally:
            sys.modules["__main__"] = main


class FreshContext(SpawnContext):
    """Starts processes anew, as `spawn` does, but without running the caller's script again.

    So a script needs no `if __name__ == "__main__"`. What the processes do is defined in modules.
    """

    Process = _FreshProcess


@contextmanager
def deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that are started in the block get no Ctrl-C; this one gets it after the block.

    A terminal sends it to all. On Windows nothing is changed.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """End this process, one of multiprocessing, as soon as the one that started it has died.

    torch's workers look at the number of their parent process, which where a server starts them
    (the default on Linux from Python 3.14 on) is that of the server, and stays.
    """
    parent = parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name="end with parent", daemon=True).start()


_DEAD_READER = re.compile(
    r"DataLoader worker \(pid(?:\(s\))? ([\d, ]+)\)(?: is killed by signal: (.*))?"
)
"""What torch's loaders (2.14) say of a worker that has died, as a RuntimeError."""

_LESS_MEMORY = "give fewer --workers or a smaller --batch-size"
_LIKELY = {
    "SIGKILL": f"most likely memory ran out: {_LESS_MEMORY}",
    "SIGBUS": "shared memory ran out: enlarge /dev/shm, or give --workers 0",
    "SIGSEGV": "mixtconv check finds a video at which reading crashes",
}


def death(process: str, exit_code: int | None) -> str:
    """How a process died and what may help, in words.

    Args:
        process: what it was.
        exit_code: as `subprocess` has it, minus the number of a signal; None if it is not known.

    >>> death("process 7, which reads videos,", -11)
    'process 7, which reads videos, was ended by SIGSEGV; mixtconv check finds a video at which \
reading crashes'
    """
    if exit_code is None:
        return f"{process} died; if memory ran out, {_LESS_MEMORY}"
    if exit_code >= 0:
        return f"{process} ended with exit code {exit_code}"
    name = signal.Signals(-exit_code).name
    return f"{process} was ended by {name}" + (f"; {_LIKELY[name]}" if name in _LIKELY else "")


@contextmanager
def naming_dead_readers(remedy: Callable[[], str] = str) -> Iterator[None]:
    """Say in one line if a process that reads videos ahead has died during the block.

    Torch raises that wherever the main thread happens to be, not only where a batch is awaited.

    Args:
        remedy: says what else may help, after the reason.

    Raises:
        ChildProcessError: one has died.
    """
    try:
        yield
    except RuntimeError as error:
        found = [each for each in map(_DEAD_READER.search, _messages(error)) if each]
        if not found:
            raise
        pids, said = next((each.groups() for each in found if each[2]), found[0].groups())
        numbers = {signal.strsignal(each): each for each in signal.valid_signals()}
        number = numbers.get((said or "").split(".")[0])
        line = death(f"process {pids}, which reads videos,", -number if number else None)
        raise ChildProcessError(f"{line}{remedy()}") from error


def _messages(error: BaseException | None) -> Iterator[str]:
    """Of an error and of those that it was raised from: only one of them may name the signal."""
    while error is not None:
        yield str(error)
        error = error.__cause__ or error.__context__
