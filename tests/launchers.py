"""Starts a command as torchrun and Slurm do, in two processes, or code in one of its own.

A new interpreter imports torch and Lightning for five seconds. A fork of one that has done only
that is as good, and at once there. A fork of this process has its state too, but torch's threads
are gone in it: nothing computes there.
"""

import gc
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from functools import partial

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


def in_new_process(source, seconds=300, **names):
    """Runs source code with these names in a process that has done nothing but imports.

    Gives its exit status as `subprocess` has it, and its errors.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["mixtconv.training.fit", "mixtconv.cli.main"])
    with tempfile.NamedTemporaryFile() as errors:
        process = context.Process(target=exec, args=(_START + source, names | {"err": errors.name}))
        process.start()
        process.join(seconds)
        if process.is_alive():
            process.kill()
            raise TimeoutError(f"not ended after {seconds} s")
        return process.exitcode, errors.read().decode()


# One thread, as the tests: sums are then the same to the last bit. Ctrl-C is what pytest's workers
# ignore. Its own processes start as those of any program, not by the server.
_START = """
import multiprocessing, os, signal, torch
file = os.open(err, os.O_WRONLY)
for descriptor in (1, 2):
    os.dup2(file, descriptor)
signal.signal(signal.SIGINT, signal.default_int_handler)
torch.set_num_threads(1)
multiprocessing.set_start_method(None, force=True)
"""


def alone(words, cwd, *, before=lambda: None):
    """The same in one fork."""
    return _Fork(partial(_command, words, cwd, before)).wait()


def _command(words, cwd, before):
    """What a fork does as a process of `mixtconv`."""
    from mixtconv.cli.main import main

    os.chdir(cwd)
    before()
    if status := main(words):
        sys.exit(status)


def forked(function, seconds=300):
    """Calls a function in a fork; gives its exit status as `subprocess` has it, and its errors."""
    status, _, errors = _Fork(function, seconds).wait()
    return status, errors


class _Fork:
    """A process that calls a function; its exit status is 1 if that raises, or what exits."""

    def __init__(self, function, seconds=300):
        gc.collect()  # garbage that owns threads, freed in the fork, would deadlock it
        self._files = [tempfile.TemporaryFile() for _ in range(2)]  # noqa: SIM115, closed by wait
        self._child = os.fork()
        if self._child == 0:
            os._exit(self._call(function, seconds))

    def _call(self, function, seconds):
        signal.alarm(seconds)  # ends it, if it hangs
        for descriptor, file in enumerate(self._files, start=1):
            os.dup2(file.fileno(), descriptor)
        with (
            os.fdopen(1, "w", closefd=False) as sys.stdout,
            os.fdopen(2, "w", closefd=False) as sys.stderr,
        ):
            try:
                function()
            except SystemExit as end:
                return end.code or 0
            except BaseException:
                traceback.print_exc()
                return 1
            return 0

    def wait(self):
        """Gives its exit status as `subprocess` has it, its output, and what it said of errors."""
        status = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        texts = []
        for file in self._files:
            with file:
                file.seek(0)
                texts.append(file.read().decode())
        return status, *texts


def _environment(**values):
    return os.environ | {"OMP_NUM_THREADS": "1"} | values
