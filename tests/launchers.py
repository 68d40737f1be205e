"""Starts a command of mixtconv as torchrun and Slurm do, in two processes on this machine."""

import os
import socket
import subprocess
import sys

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
        timeout=120,
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
        outputs = [task.communicate(timeout=120) for task in tasks]
    finally:
        for task in tasks:
            task.kill()
    status = max(task.returncode for task in tasks)
    return status, *("".join(texts) for texts in zip(*outputs, strict=True))


def _environment(**values):
    return os.environ | {"OMP_NUM_THREADS": "1"} | values
