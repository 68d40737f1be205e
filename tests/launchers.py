"""Starts a command as torchrun and Slurm do, in two processes, or a function in a forked one."""

import gc
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]

SLURM = {"SLURM_JOB_ID": "4242", "SLURM_JOB_NAME": "train", "SLURM_NODELIST": "127.0.0.1"}


def run(command, cwd):
    """Runs a command to its end."""
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=_environment(),
        timeout=600,
    )


def torchrun(words, cwd):
    """Runs `mixtconv` with these words in two processes; gives status, output and errors."""
    done = run([*TORCHRUN, "-m", "mixtconv", *words], cwd)
    return done.returncode, done.stdout, done.stderr


def slurm(words, cwd):
    """The same as on two machines of one process each, with what srun says to them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    size = {"SLURM_NTASKS": "2", "SLURM_NNODES": "2", "SLURM_NTASKS_PER_NODE": "1"}
    tasks = []
    for rank in ("0", "1"):
        place = {"SLURM_PROCID": rank, "SLURM_NODEID": rank, "SLURM_LOCALID": "0"}
        task = subprocess.Popen(
            [sys.executable, "-m", "mixtconv", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
            env=_environment(MASTER_PORT=port, **SLURM, **size, **place),
        )
        tasks.append(task)
    try:
        outputs = [task.communicate(timeout=600) for task in tasks]
    finally:
        for task in tasks:
            task.kill()
    status = max(task.returncode for task in tasks)
    return status, *("".join(texts) for texts in zip(*outputs, strict=True))


def forked(function, seconds=300):
    """Calls a function in a fork of this process, which has imported all that it needs.

    A new interpreter would import torch and Lightning for five seconds. The fork has one thread.

    Gives its exit status as `subprocess` has it, and what it wrote to standard error.
    """
    gc.collect()  # garbage that owns threads, freed in the fork, would deadlock it
    with tempfile.TemporaryFile() as errors:
        child = os.fork()
        if child == 0:
            status = 1
            os.dup2(errors.fileno(), 2)
            signal.alarm(seconds)  # ends it, if it hangs
            with os.fdopen(2, "w", closefd=False) as sys.stderr:
                try:
                    function()
                    status = 0
                except BaseException:
                    traceback.print_exc()
            os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        errors.seek(0)
        return status, errors.read().decode()


def _environment(**values):
    return os.environ | {"OMP_NUM_THREADS": "1"} | values
